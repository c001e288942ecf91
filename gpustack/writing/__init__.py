"""Writes files completely or not at all.

The temporary files that they are first are in `temporary`.
"""

import gzip
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from astropy.io import fits

from gpustack.errors import OutputError, WriteError
from gpustack.files.paths import PathLike, at_home
from gpustack.writing.temporary import remove_abandoned, temporary_file

ENDINGS = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz")

#: How astropy handles invalid cards: it silently fixes what it can, and ignores the rest.
VERIFY = "silentfix+ignore"

#: The level of gzip. A result is a quarter larger than at level 9, and written 30 times as fast.
#: Measured on a median of five CCD images, 14 MB: 3.7 MB in 0.45 s at level 4, 3.3 MB in 1.9 s at
#: level 6, 3.0 MB in 15 s at level 9.
LEVEL = 4

#: Endings of reports and of pictures.
REPORTS, PICTURES = (".json", ".html"), (".png",)


def check_target(path: PathLike, overwrite: bool, endings: tuple[str, ...] = ENDINGS) -> Path:
    """Return the file that `path` stands for, or raise if it cannot be written.

    Meant to be called before a run. A symbolic link stands for the file that it points to, and ~
    for the home of a user.

    Raises
    ------
    OutputError
        Where the file exists and `overwrite` is False, or it is no regular file, or its folder does
        not exist, or its name has none of the `endings`.
    WriteError
        Where the folder is not writable.
    """
    with errors_of(path):
        check_ending(path, endings)
        target = Path(at_home(path)).resolve()
        if target.is_dir():
            raise OutputError(f"{path}: expected a file to write, got a folder")
        if os.path.lexists(target) and not target.is_file():
            raise OutputError(f"{path}: expected a file to write, got a device, pipe or empty link")
        if os.path.lexists(target) and not overwrite:
            raise OutputError(f"{path}: exists; replace it with overwrite=True (--overwrite)")
        if not target.parent.is_dir():
            raise OutputError(f"{path}: expected a folder {target.parent} to write in, found none")
        if not os.access(target.parent, os.W_OK):
            raise WriteError(f"{path}: no permission to write in the folder {target.parent}")
    return target


def check_ending(path: PathLike, endings: tuple[str, ...] = ENDINGS) -> None:
    """Raise OutputError if the name of a file has none of the `endings`."""
    if not (isinstance(path, str | os.PathLike) and isinstance(os.fspath(path), str)):
        raise OutputError(f"expected the name of a file to write, got {path!r}")
    if not os.fsdecode(path).lower().endswith(endings):
        raise OutputError(f"{path}: expected a name ending in {', '.join(endings)}")


def write_whole(path: PathLike, hdus: fits.HDUList, *, overwrite: bool = False) -> None:
    """Write `hdus` to a temporary file next to `path`, and rename it at the end.

    Temporary files of killed runs are removed from the folder first. The same HDUs give the same
    bytes, also compressed.

    Raises
    ------
    OutputError
        As `check_target`, or where the file has appeared meanwhile.
    WriteError
        Where writing fails, for example because the disk is full.
    """
    with (
        _replacing(path, overwrite, ENDINGS) as (file, temporary),
        packing(file, is_packed(path)) as stream,
    ):
        hdus.writeto(_Plain(stream, str(temporary)), output_verify=VERIFY)


def is_packed(path: PathLike) -> bool:
    """Whether a file of this name is compressed."""
    return os.fspath(path).lower().endswith(".gz")


def packing(file: BinaryIO, packed: bool) -> AbstractContextManager[Any]:
    """Return a stream that writes to `file`; if `packed`, as gzip without a name and a time."""
    if packed:
        return gzip.GzipFile("", "wb", LEVEL, file, mtime=0)
    return nullcontext(file)


@dataclass(frozen=True, slots=True, eq=False)
class _Plain:
    """A file that shows astropy nothing but methods to write to it.

    Into a real file astropy writes past Python, whose error then does not say why writing failed.
    From the name astropy takes the folder, to report how much of a full disk is free.
    """

    file: Any
    name: str

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        return int(self.file.write(data))

    def tell(self) -> int:
        """How many bytes have been written."""
        return int(self.file.tell())

    def flush(self) -> None:
        """Do nothing: flushing makes compressed data longer, and the end flushes everything."""


def write_text(
    path: PathLike,
    text: str | bytes,
    *,
    overwrite: bool = False,
    endings: tuple[str, ...] = REPORTS,
) -> None:
    """Write a report or a picture completely or not at all, as `write_whole` does.

    Raises
    ------
    OutputError
        As `check_target`, or where writing fails.
    """
    with _replacing(path, overwrite, endings) as (file, _):
        file.write(text.encode() if isinstance(text, str) else text)


@contextmanager
def _replacing(
    path: PathLike, overwrite: bool, endings: tuple[str, ...]
) -> Iterator[tuple[BinaryIO, Path]]:
    """A temporary file next to `path`, open, and its name; it is renamed at the end."""
    target = check_target(path, overwrite, endings)
    with errors_of(path):
        remove_abandoned(target.parent)
        with temporary_file(target.parent) as (file, temporary):
            yield file, temporary
            seal(file, temporary, target, overwrite)


@contextmanager
def errors_of(path: PathLike) -> Iterator[None]:
    """Turn errors raised within it, while the file `path` is written, into OutputError."""
    try:
        yield
    except OutputError:
        raise
    except FileExistsError as err:
        raise OutputError(f"{path}: appeared while the result was being made") from err
    except (OSError, RuntimeError, ValueError, fits.VerifyError) as err:
        raise WriteError(f"{path}: could not be written: {err}") from err


def seal(file: BinaryIO, temporary: Path, target: Path, overwrite: bool) -> None:
    """Flush a file to the disk, and rename it from `temporary` to `target`.

    Raises
    ------
    FileExistsError
        Where the target exists and `overwrite` is False.
    """
    file.flush()
    os.fsync(file.fileno())
    if os.name == "nt":
        file.close()  # Windows renames no open file
    _take_name(temporary, target, overwrite)


def _take_name(temporary: Path, target: Path, overwrite: bool) -> None:
    """Rename; without `overwrite`, raise FileExistsError if the target exists."""
    if overwrite:
        temporary.replace(target)
        return
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError as err:
        # A file system without hard links, for which each system has its own error: check for the
        # target and rename, which is not atomic.
        if target.exists():
            raise FileExistsError(str(target)) from err
        temporary.rename(target)
