"""Files that are read piece by piece, and must stay as they were when they were scanned.

A camera, a pipeline or a synchronised folder may replace a file while a stack is made of it. Its
rows would then be those of two images, or be decoded as the header of the other one says.
"""

import errno
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

import numpy as np
from astropy.io import fits

from gpustack.errors import FrameError, MissingFileError

#: What a gzip file begins with (RFC 1952, section 2.3.1).
GZIP_MAGIC = b"\x1f\x8b"

#: Bytes of a file that are read at once where astropy asks for a few, as one block, and how many
#: blocks are kept; and what Python's own buffer takes of one, which it drops at each seek.
_BLOCK, _BLOCKS, _BUFFER = 1 << 14, 2, 1 << 12

#: Files that stay open where the system says nothing of how many may, and at most.
_FEW, _MANY = 128, 1 << 16


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


class Stamp(NamedTuple):
    """What identifies the state of a file: any change to it changes one of these.

    Parameters
    ----------
    size : int
    modified : int
        Nanoseconds since 1970.
    inode : int
        Differs where another file has been put in its place.
    """

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, file: Any) -> Self:
        """Of an open file, or of that which has a name now."""
        found = os.stat(file if isinstance(file, str) else file.fileno())  # noqa: PTH116, per read
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)

    def __str__(self) -> str:
        moment = np.datetime64(self.modified, "ns")
        return f"{self.size:,} bytes, modified {moment} UTC, inode {self.inode}"


@contextmanager
def unchanged(name: str, stamp: Stamp) -> Iterator[io.RawIOBase]:
    """The file `name`, open for reading without a buffer, anywhere in it; see `kept_open`.

    Raises
    ------
    FrameError
        Where it is not the one that `stamp` is of, or no longer after it has been read.
    OSError
        Where it cannot be opened.
    """
    with _open_files.borrowed(name, stamp) as file:
        try:
            yield file
        finally:
            # By its name: so it is seen too that another file has been put in its place.
            _check(name, stamp, name)


def read_at(file: io.RawIOBase, at: int, buffer: memoryview) -> int:
    """Read into a buffer from a byte of a file on, as much as there is or less: how many bytes.

    In one call of the system, where it has one: each hands the GIL over, and where bands are small
    and read by two threads, getting it back took a tenth of the time.
    """
    if hasattr(os, "preadv"):
        return os.preadv(file.fileno(), [buffer], at)
    file.seek(at)
    return file.readinto(buffer) or 0


def _check(name: str, stamp: Stamp, file: Any) -> None:
    found = Stamp.of(file)
    if found != stamp:
        raise FrameError(name, f"changed since it was opened: expected {stamp}, got {found}")


def kept_open() -> AbstractContextManager[None]:
    """Within it, in all threads, a file stays open from one read to the next.

    As many as half of the descriptors that a process may have; others are opened for each read.
    After each, its name is looked at: it must still be that of the file that was opened.
    """
    return _open_files.kept()


class _OpenFiles:
    """Files that are open, each lent to one reader at a time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: a child shares the offsets of its parent's files, and none of its threads."""
        self._lock = Lock()
        self._users = self._count = 0
        self._free: dict[tuple[str, Stamp], list[io.FileIO]] = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                last = self._users == 0
            if last:
                self._close()

    @contextmanager
    def borrowed(self, name: str, stamp: Stamp) -> Iterator[io.FileIO]:
        with self._lock:
            free = self._free.get((name, stamp))
            kept = free.pop() if free else None
        keep, file = False, self._opened(name) if kept is None else kept
        try:
            if kept is None:  # one that is open already was looked at when it was opened
                _check(name, stamp, file)
            yield file
            keep = True
        finally:
            if not self._give_back((name, stamp), file, keep, has_place=kept is not None):
                file.close()

    def _give_back(
        self, key: tuple[str, Stamp], file: io.FileIO, keep: bool, has_place: bool
    ) -> bool:
        """Whether it stays open: a file that did before has its place still."""
        with self._lock:
            keep = keep and self._users > 0 and (has_place or self._count < _most_open())
            self._count += keep - has_place
            if keep:
                self._free.setdefault(key, []).append(file)
        return keep

    def _opened(self, name: str) -> io.FileIO:
        try:
            return Path(name).open("rb", buffering=0)
        except OSError as err:
            if err.errno not in (errno.EMFILE, errno.ENFILE) or not self._close():
                raise
        return Path(name).open("rb", buffering=0)

    def _close(self) -> int:
        """Close what is not lent; how many that were."""
        with self._lock:
            files = [file for free in self._free.values() for file in free]
            self._free.clear()
            self._count -= len(files)
        for file in files:
            file.close()
        return len(files)


_open_files = _OpenFiles()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_files.forget)


def _most_open() -> int:
    """How many files stay open."""
    try:
        import resource
    except ImportError:  # Windows
        return _FEW
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MANY if soft == resource.RLIM_INFINITY else min(soft // 2, _MANY)


class _Anywhere(io.RawIOBase):
    """What can be read from any byte on."""

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read anywhere."""
        return True


class Reopened(_Anywhere):
    """A file that is open only while it is read, or as `kept_open` says; see `unchanged`."""

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
    """An open file that shows nothing but its bytes: astropy reads others past Python.

    It keeps the last blocks that were read: for each tile, a few thousand bytes, astropy goes to
    where that lies, and then to the end of the table.
    """

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self._at = 0
        self._blocks: dict[int, memoryview] = {}

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        before = self._at if whence == io.SEEK_CUR else 0
        is_end = whence == io.SEEK_END
        self._at = self._file.seek(offset, whence) if is_end else before + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read on, as much as there is or less."""
        view = memoryview(buffer).cast("B")
        if len(view) >= _BLOCK:
            got = read_at(self._file, self._at, view)
        else:
            number, first = divmod(self._at, _BLOCK)
            found = self._block(number)[first : first + len(view)]
            got = len(found)
            view[:got] = found
        self._at += got
        return got

    def _block(self, number: int) -> memoryview:
        if number not in self._blocks:
            if len(self._blocks) == _BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = self._read(number * _BLOCK)
        return self._blocks[number]

    def _read(self, start: int) -> memoryview:
        """A block, shorter where the file ends in it; a system may give less at a time."""
        view, done = memoryview(bytearray(_BLOCK)), 0
        while got := read_at(self._file, start + done, view[done:]):
            done += got
        return view[:done]


@contextmanager
def as_hdus(
    name: str, stamp: Stamp, *, tiles: bool = True, scaled: bool = False
) -> Iterator[fits.HDUList]:
    """The file as astropy sees it, samples not `scaled`; without `tiles`, these as their tables.

    It gets no name, which it would take an address on the network from, and no memory map, which
    would end the process where the file shrinks.
    """
    with unchanged(name, stamp) as file:
        stream: Any = io.BufferedReader(_Nameless(file), _BUFFER)
        if stream.peek(2).startswith(GZIP_MAGIC):
            stream = gzip.GzipFile(fileobj=stream, mode="rb")
        how = {"memmap": False, "do_not_scale_image_data": not scaled}
        with stream, fits.open(stream, disable_image_compression=not tiles, **how) as hdus:
            yield hdus
