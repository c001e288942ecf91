"""Show a result: as a picture, or as an HTML page with recipe, pictures, noise, frames and times.

Both are made from the samples that ``stack(look=True)`` kept. Modules, each importing only those
before it:

- `stacked`: stacks the kept samples once more.
- `noise`, `residuals`, `frames`: measure them.
- `pictures`: the panels.
- `charts`: the charts, as SVG.
- `listing`: the table of frames.
- `page`: the page.

Other modules import from here.
"""

from gpustack.drawing import draw, require_matplotlib
from gpustack.errors import InputError
from gpustack.files.paths import PathLike
from gpustack.kept_samples import Look
from gpustack.result import StackResult, left_out
from gpustack.show.page import page
from gpustack.show.pictures import pictures
from gpustack.writing import PICTURES, write_text

__all__ = ["write_page", "write_preview"]


def write_preview(result: StackResult, path: PathLike, *, overwrite: bool = False) -> None:
    """Write a picture: the stack, the plain mean, how many samples survived, what was rejected.

    The upper row shows the whole field. If that skips pixels, a lower row shows the middle of the
    field, pixel by pixel.

    Parameters
    ----------
    result : StackResult
        From ``stack(look=True)``.
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
    rows = [shown.panels for shown in pictures(_look(result), n)]
    write_text(path, draw(rows), overwrite=overwrite, endings=PICTURES)


def write_page(
    result: StackResult, path: PathLike, *, overwrite: bool = False, name: str = ""
) -> None:
    """Write an HTML page: recipe, pictures, noise, frames, and where the time went.

    The page needs no other file, no network and no script.

    Parameters
    ----------
    result : StackResult
        From ``stack(look=True)``.
    path : path-like
        Ends in .html.
    overwrite : bool
        Replace the file if there is one.
    name : str
        The title of the page, such as the file name of the result.

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
    # File names may contain bytes that are not valid text.
    text = page(result, _look(result), name).encode("utf-8", "backslashreplace")
    write_text(path, text, overwrite=overwrite, endings=(".html",))


def _look(result: StackResult) -> Look:
    if result.look is None:
        raise InputError("expected a result of stack(look=True), got one that kept no samples")
    return result.look
