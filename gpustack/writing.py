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


def check_target(path: PathLike, overwrite: bool) -> Path:
    """The path, if a file can be written there; meant to be called before the work.

    Raises
    ------
    OutputError
        Where it exists and `overwrite` is False, its folder is missing, is no folder or
        may not be written to, or its name does not end as a FITS file's.
    """
    target = Path(path)
    if not target.name.lower().endswith(ENDINGS):
        raise OutputError(f"{target}: expected a name ending in {', '.join(ENDINGS)}")
    if target.is_dir():
        raise OutputError(f"{target}: expected a file to write, got a folder")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: exists; replace it with overwrite=True (--overwrite)")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: expected a folder {target.parent} to write in, found none")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{target}: may not write in the folder {target.parent}")
    return target


def write_whole(path: PathLike, hdus: fits.HDUList, *, overwrite: bool = False) -> None:
    """Write `hdus` to a temporary file beside `path` and give it that name at the end.

    Raises
    ------
    OutputError
        As `check_target`, or where writing fails, a full disk for one.
    """
    target = check_target(path, overwrite)
    with _temporary(target) as temporary:
        try:
            hdus.writeto(temporary, output_verify="silentfix+ignore")
            _sync(temporary)
            _take_name(temporary, target, overwrite)
        except FileExistsError as err:
            raise OutputError(f"{target}: appeared while the result was being made") from err
        except OSError as err:
            raise OutputError(f"{target}: could not be written: {err}") from err


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A name beside `target` that nobody has; whatever stands there at the end is removed."""
    ending = next(end for end in reversed(ENDINGS) if target.name.lower().endswith(end))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part{ending}")
    try:
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
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
