"""A result shown: as a picture, and as a page that tells all there is to tell.

Both are made of the samples that ``stack(look=True)`` kept. Modules, each importing only those
before it: `stacked` stacks these once more, `noise`, `residuals` and `frames` measure, `pictures`
makes panels, `charts` draws, `listing` is the table of frames, `page` the page. This is their door.
"""

from gpustack.drawing import draw, require_matplotlib
from gpustack.errors import InputError
from gpustack.kept_samples import Look
from gpustack.paths import PathLike
from gpustack.result import StackResult, left_out
from gpustack.show.page import page
from gpustack.show.pictures import pictures
from gpustack.writing import PICTURES, write_text

__all__ = ["write_page", "write_preview"]


def write_preview(result: StackResult, path: PathLike, *, overwrite: bool = False) -> None:
    """Write a picture: the stack, the plain mean, how many samples survived, what was rejected.

    Of the whole field above, and of its middle, pixel by pixel, below.

    Parameters
    ----------
    result : StackResult
        Of ``stack(look=True)``.
    path : path-like
        Ends in .png.
    overwrite : bool
        Replace the file if there is one.

    Raises
    ------
    InputError
        Where the result has no look.
    MissingPackageError
        Where matplotlib is not installed.
    OutputError
        Where the file exists, or cannot be written; nothing is left behind.
    """
    require_matplotlib("a preview")
    n = left_out(result.per_frame).count("")
    rows = [shown.panels for shown in pictures(_look(result), result.recipe, n)]
    write_text(path, draw(rows), overwrite=overwrite, endings=PICTURES)


def write_page(
    result: StackResult, path: PathLike, *, overwrite: bool = False, name: str = ""
) -> None:
    """Write a page of HTML: recipe, pictures, frames, noise, and where the time went.

    It needs no other file, no network and no script.

    Parameters
    ----------
    result : StackResult
        Of ``stack(look=True)``.
    path : path-like
        Ends in .html.
    overwrite : bool
        Replace the file if there is one.
    name : str
        What the result is called; its file name, for one.

    Raises
    ------
    InputError
        Where the result has no look.
    MissingPackageError
        Where matplotlib is not installed.
    OutputError
        Where the file exists, or cannot be written; nothing is left behind.
    """
    require_matplotlib("a report")
    # Names of files may hold bytes that are no text.
    text = page(result, _look(result), name).encode("utf-8", "backslashreplace")
    write_text(path, text, overwrite=overwrite, endings=(".html",))


def _look(result: StackResult) -> Look:
    if result.look is None:
        raise InputError("expected a result of stack(look=True), got one that kept no samples")
    return result.look
