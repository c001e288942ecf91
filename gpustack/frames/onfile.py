"""Files that are opened anew for each read, and must stay as they were when they were scanned.

A camera, a pipeline or a synchronised folder may replace a file while a stack is made of it. Its
rows would then be those of two images, or be decoded as the header of the other one says.
"""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.io import fits

from gpustack.errors import FrameError, MissingFileError

#: What a gzip file begins with (RFC 1952, section 2.3.1).
GZIP_MAGIC = b"\x1f\x8b"

#: Bytes that are read at once where astropy asks for a few.
_BUFFER = 1 << 16


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what opening and reading a file raise into a FrameError."""
    try:
        yield
    except FrameError:  # of another file it may be, and an OSError
        raise
    except FileNotFoundError as err:
        raise MissingFileError(name, "expected a FITS file, got no such file") from err
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise FrameError(name, f"expected an intact gzip file, got: {err}") from err
    except OSError as err:
        raise FrameError(name, f"expected a readable file, got: {err.strerror or err}") from err


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a file from what it was before: who changes it, changes one of these.

    Parameters
    ----------
    size : int
    modified : int
        Nanoseconds since 1970.
    inode : int
        Another one where a file has been put in its place.
    """

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, file: Any) -> Self:
        """Of an open file."""
        found = os.fstat(file.fileno())
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)

    def __str__(self) -> str:
        moment = np.datetime64(self.modified, "ns")
        return f"{self.size:,} bytes, modified {moment} UTC, inode {self.inode}"


@contextmanager
def unchanged(name: str, stamp: Stamp) -> Iterator[io.RawIOBase]:
    """The file `name`, open for reading without a buffer.

    Raises
    ------
    FrameError
        Where it is not the one that `stamp` is of, or no longer after it has been read.
    OSError
        Where it cannot be opened.
    """
    with Path(name).open("rb", buffering=0) as file:
        _check(name, stamp, file)
        try:
            yield file
        finally:
            _check(name, stamp, file)


def _check(name: str, stamp: Stamp, file: Any) -> None:
    found = Stamp.of(file)
    if found != stamp:
        raise FrameError(name, f"changed since it was opened: expected {stamp}, got {found}")


class _Anywhere(io.RawIOBase):
    """What can be read from any byte on."""

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read anywhere."""
        return True


class Reopened(_Anywhere):
    """A file that is open only while it is read; see `unchanged`."""

    def __init__(self, name: str, stamp: Stamp) -> None:
        self._name, self._stamp = name, stamp
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte; whence is not the end."""
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read on, as much as there is or less."""
        with unchanged(self._name, self._stamp) as file:
            file.seek(self._at)
            got = file.readinto(buffer) or 0
        self._at += got
        return got


class _Nameless(_Anywhere):
    """An open file that shows nothing but its bytes: astropy reads others past Python."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        """Read on, as much as there is or less."""
        return self._file.readinto(buffer) or 0


@contextmanager
def as_hdus(name: str, stamp: Stamp, *, tiles: bool = True) -> Iterator[fits.HDUList]:
    """The file as astropy sees it, samples not scaled; without `tiles`, these as their tables.

    It gets no name, which it would take an address on the network from, and no memory map, which
    would end the process where the file shrinks.
    """
    with unchanged(name, stamp) as file:
        stream: Any = io.BufferedReader(_Nameless(file), _BUFFER)
        if stream.peek(2).startswith(GZIP_MAGIC):
            stream = gzip.GzipFile(fileobj=stream, mode="rb")
        how = {"memmap": False, "do_not_scale_image_data": True}
        with stream, fits.open(stream, disable_image_compression=not tiles, **how) as hdus:
            yield hdus
