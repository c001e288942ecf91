"""Previews and reports that commands write beside a result, and the stacks of `gpustack watch`."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpustack.cli.shown import Loudness, loudness, say
from gpustack.errors import FrameError, InputError, MissingFileError, OutputError

if TYPE_CHECKING:  # the command line starts without it
    from gpustack.result import StackResult


def client_of(dask: str | None) -> AbstractContextManager[Any]:
    """A context with a client of the dask scheduler, or with None, which loads nothing."""
    if dask is None:
        return nullcontext()
    from gpustack.cluster import connected

    return connected(dask)


class Extras:
    """The preview and reports of a result; that they can be made is checked before the work.

    Parameters
    ----------
    preview : Path or None
        Ends in .png.
    reports : sequence of Path
        Files that end in .json or .html, at most one of each.
    overwrite : bool
    dask : str or None
        The scheduler whose workers make the result.

    Raises
    ------
    OutputError
        Where a file exists, has another ending, or is a second report of its kind.
    InputError
        Where a picture needs samples that stay at the workers.
    MissingPackageError
        Where matplotlib is needed and not installed.
    """

    def __init__(
        self, preview: Path | None, reports: Sequence[Path], overwrite: bool, dask: str | None
    ) -> None:
        from gpustack.writing import PICTURES, REPORTS, check_target

        self._preview, self._overwrite = preview, overwrite
        self._reports: dict[str, Path] = {}
        for path in reports:
            check_target(path, overwrite, REPORTS)
            kind = path.suffix.lower()
            if kind in self._reports:
                other = self._reports[kind]
                raise OutputError(f"{path}: expected one report in {kind[1:]}, got {other} too")
            self._reports[kind] = path
        if preview is not None:
            check_target(preview, overwrite, PICTURES)
        if self.wanted["look"]:
            from gpustack.drawing import require_matplotlib

            if dask is not None:
                raise self._at_workers()
            require_matplotlib("a report" if preview is None else "a preview")

    def _at_workers(self) -> InputError:
        given = "--report" if self._preview is None else "--preview"
        return InputError(
            f"{given} {self._preview or self._reports['.html']}: expected none with --dask, as the "
            "samples stay on the workers; only a --report in .json is possible"
        )

    @property
    def wanted(self) -> dict[str, bool]:
        """Keywords of `gpustack.stack`: whether to make a report, and keep samples for pictures."""
        look = self._preview is not None or ".html" in self._reports
        return {"report": ".json" in self._reports, "look": look}

    def write(self, result: "StackResult", output: Path) -> None:
        """Write the files; the result itself has been written to `output`.

        Raises
        ------
        OutputError
            Where a file cannot be written; it says that the result was written.
        """
        if ".json" in self._reports:
            from gpustack.provenance import dumps
            from gpustack.writing import write_text

            assert result.report is not None  # it was `wanted`
            with _beside(output, "report"):
                write_text(self._reports[".json"], dumps(result.report), overwrite=self._overwrite)
        if self.wanted["look"]:
            self._show(result, output)

    def _show(self, result: "StackResult", output: Path) -> None:
        from gpustack.show import write_page, write_preview

        if self._preview is not None:
            with _beside(output, "preview"):
                write_preview(result, self._preview, overwrite=self._overwrite)
        if ".html" in self._reports:
            name = os.fsdecode(output.name)
            with _beside(output, "report"):
                write_page(result, self._reports[".html"], overwrite=self._overwrite, name=name)


@contextmanager
def _beside(output: Path, what: str) -> Iterator[None]:
    """Have an error in writing a file beside a result say that the result itself was written."""
    try:
        yield
    except OutputError as err:
        raise type(err)(f"{output} was written; its {what} was not: {err}") from err


class Restack:
    """Stacks whenever frames arrive, and goes on after frames that cannot be combined.

    Parameters
    ----------
    make : callable
        Takes the names of all frames, makes the result, and returns the line to print about it.
    """

    def __init__(self, make: Callable[[list[str]], str]) -> None:
        self._make = make
        self._made = self._failed = False
        self._told = ""

    def __call__(self, frames: list[str]) -> None:
        """Stack the frames, or print why they cannot be combined: the next one may change that."""
        try:
            told = self._make(frames)
        except InputError as err:
            self._failed = True
            self._tell(f"gpustack: {err}{_until(err, frames)}")
            return
        self._made, self._told = True, ""
        if loudness() > Loudness.QUIET:
            say(told)

    def _tell(self, text: str) -> None:
        """Print an error, unless the last attempt, with fewer frames, printed the same."""
        if text != self._told:
            say(text)
        self._told = text

    def check(self, output: Path, refused: bool) -> None:
        """Raise where no result was ever made, although files came.

        Parameters
        ----------
        output : Path
        refused : bool
            Whether files were left out that could not be opened or did not agree with others.

        Raises
        ------
        InputError
        """
        if (self._failed or refused) and not self._made:
            problem = "frames could not be combined" if self._failed else "files could not be used"
            raise InputError(f"{output}: not made, as the {problem}")


def _until(err: InputError, frames: Sequence[str]) -> str:
    """Words that say until when the last result stays, where one file prevents a new result."""
    if isinstance(err, MissingFileError):
        return "; the last result is kept until this file exists"
    if isinstance(err, FrameError) and err.name in frames:
        return "; the last result is kept until this frame changes or is removed"
    return ""
