"""Writing a file whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from astropy.io import fits

from gpustack.errors import OutputError

PathLike = str | os.PathLike[str]

ENDINGS = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz")

#: Of reports.
REPORTS = (".json",)


def check_target(path: PathLike, overwrite: bool, endings: tuple[str, ...] = ENDINGS) -> Path:
    """The file that `path` stands for, if it can be written; meant to be called before the work.

    A symbolic link stands for the file that it points to.

    Raises
    ------
    OutputError
        Where it exists and `overwrite` is False or it is no file, its folder is missing, is
        no folder or may not be written to, or its name has none of the `endings`.
    """
    with _errors_of(path):
        target = Path(path).resolve()
        if not os.fspath(path).lower().endswith(endings):
            raise OutputError(f"{path}: expected a name ending in {', '.join(endings)}")
        if target.is_dir():
            raise OutputError(f"{path}: expected a file to write, got a folder")
        if os.path.lexists(target) and not target.is_file():
            raise OutputError(f"{path}: expected a file to write, got a device, pipe or empty link")
        if os.path.lexists(target) and not overwrite:
            raise OutputError(f"{path}: exists; replace it with overwrite=True (--overwrite)")
        if not target.parent.is_dir():
            raise OutputError(f"{path}: expected a folder {target.parent} to write in, found none")
        if not os.access(target.parent, os.W_OK):
            raise OutputError(f"{path}: may not write in the folder {target.parent}")
    return target


def write_whole(path: PathLike, hdus: fits.HDUList, *, overwrite: bool = False) -> None:
    """Write `hdus` to a temporary file beside `path` and give it that name at the end.

    Raises
    ------
    OutputError
        As `check_target`, or where writing fails, a full disk for one.
    """
    target = check_target(path, overwrite)
    ending = next(end for end in reversed(ENDINGS) if os.fspath(path).lower().endswith(end))
    with _errors_of(path), _temporary(target.parent, ending) as temporary:
        hdus.writeto(temporary, output_verify="silentfix+ignore")
        _sync(temporary)
        _take_name(temporary, target, overwrite)


def write_text(path: PathLike, text: str, *, overwrite: bool = False) -> None:
    """Write a report as `write_whole` does a result.

    Raises
    ------
    OutputError
        As `check_target`, or where writing fails.
    """
    target = check_target(path, overwrite, REPORTS)
    with _errors_of(path), _temporary(target.parent, REPORTS[0]) as temporary:
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        _take_name(temporary, target, overwrite)


@contextmanager
def _errors_of(path: PathLike) -> Iterator[None]:
    """What goes wrong in writing the file `path`, as OutputError."""
    try:
        yield
    except OutputError:
        raise
    except FileExistsError as err:
        raise OutputError(f"{path}: appeared while the result was being made") from err
    except (OSError, RuntimeError, ValueError, fits.VerifyError) as err:
        raise OutputError(f"{path}: could not be written: {err}") from err


@contextmanager
def _temporary(folder: Path, ending: str) -> Iterator[Path]:
    """A name in `folder` that nobody has; whatever stands there at the end is removed."""
    temporary = folder / f".gpustack-{secrets.token_hex(4)}.part{ending}"
    try:
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink()


def _sync(path: Path) -> None:
    with path.open("r+b") as file:  # Windows syncs only what is open for writing
        os.fsync(file.fileno())


def _take_name(temporary: Path, target: Path, overwrite: bool) -> None:
    """Rename; without `overwrite`, fail with FileExistsError if the name has been taken."""
    if overwrite:
        temporary.replace(target)
        return
    try:
        os.link(temporary, target)
    except OSError as err:
        # Some file systems have no hard links; there, a look must do.
        if err.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS) or target.exists():
            raise
        temporary.rename(target)
