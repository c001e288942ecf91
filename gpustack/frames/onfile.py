"""Files that are read piece by piece, and must not change after they were scanned.

A camera, a pipeline or a synchronised folder may replace a file while it is being stacked. Its
rows would then come from two images, or be decoded by the header of the other image.
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

#: First bytes of a gzip file (RFC 1952, section 2.3.1).
GZIP_MAGIC = b"\x1f\x8b"

#: Bytes that are read as one block where astropy requests only a few.
_BLOCK = 1 << 14

#: How many such blocks are kept.
_BLOCKS = 2

#: Most bytes that are requested from a file at once: some systems refuse 2^31 and more.
_READ = 1 << 30

#: Size of Python's own buffer, which is dropped at each seek.
_BUFFER = 1 << 12

#: Files that stay open where the system has no `resource` limits (Windows).
_DEFAULT_OPEN = 128

#: Files that stay open at most, whatever the limits.
_MOST_OPEN = 1 << 16


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn errors of opening and reading a file into FrameError."""
    try:
        yield
    except FrameError:  # may be about another file, and MissingFileError is an OSError too
        raise
    except FileNotFoundError as err:
        raise MissingFileError(name, "expected a FITS file, got no such file") from err
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise FrameError(name, f"expected an intact gzip file, got: {err}") from err
    except OSError as err:
        raise FrameError(name, f"expected a readable file, got: {err.strerror or err}") from err


class Stamp(NamedTuple):
    """The state of a file; a change to the file changes one of these numbers.

    A change in place goes unnoticed if it keeps the size and either restores the time of the last
    change or happens within the resolution of the file system's clock.

    Parameters
    ----------
    size : int
    modified : int
        The time of the last change, in nanoseconds since 1970.
    inode : int
        Differs where another file has been put in its place.
    """

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, file: Any) -> Self:
        """Return the stamp of an open file, or of the file that has this name now."""
        found = os.stat(file if isinstance(file, str) else file.fileno())  # noqa: PTH116, per read
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)

    def __str__(self) -> str:
        moment = np.datetime64(self.modified, "ns")
        return f"{self.size:,} bytes, modified {moment} UTC, inode {self.inode}"


@contextmanager
def unchanged(name: str, stamp: Stamp) -> Iterator[io.RawIOBase]:
    """Open the file `name`, unbuffered, and check before and after that it has not changed.

    The file may be positioned anywhere, and may have been open before; see `kept_open`.

    Raises
    ------
    FrameError
        Where the file is not in the state of `stamp`, when it is opened or after it was read.
    OSError
        Where it cannot be opened, or is gone after it was read.
    """
    with _open_files.lent(name, stamp) as file:
        try:
            yield file
        finally:
            # By name, so that a file that was put in its place is noticed too.
            _check(name, stamp, name)


def read_at(file: io.RawIOBase, at: int, buffer: memoryview) -> int:
    """Read into a buffer from byte `at` of a file, and return how many bytes were read.

    These may be fewer than asked for: at most `_READ`, or what one call of the system returns.

    Where the system has `preadv`, this is one system call. Each call releases the GIL, and where
    two threads read small bands, getting it back took a tenth of the time.
    """
    buffer = buffer[:_READ]
    if hasattr(os, "preadv"):
        return os.preadv(file.fileno(), [buffer], at)
    file.seek(at)
    return file.readinto(buffer) or 0


def _check(name: str, stamp: Stamp, file: Any) -> None:
    found = Stamp.of(file)
    if found != stamp:
        raise FrameError(name, f"changed since it was opened: expected {stamp}, got {found}")


def kept_open() -> AbstractContextManager[None]:
    """Keep files open from one read to the next, in all threads, within this context.

    At most half of the descriptors that a process may have are used; other files are opened for
    each read. After each read, the name must still refer to the file that was opened.
    """
    return _open_files.kept()


class _OpenFiles:
    """A pool of open files, each lent to one reader at a time."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start empty: a forked child shares its parent's file offsets, but none of its threads."""
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
    def lent(self, name: str, stamp: Stamp) -> Iterator[io.FileIO]:
        with self._lock:
            free = self._free.get((name, stamp))
            kept = free.pop() if free else None
        keep, file = False, self._opened(name) if kept is None else kept
        try:
            if kept is None:  # a kept file was checked when it was opened
                _check(name, stamp, file)
            yield file
            keep = True
        finally:
            if not self._give_back((name, stamp), file, keep, has_place=kept is not None):
                file.close()

    def _give_back(
        self, key: tuple[str, Stamp], file: io.FileIO, keep: bool, has_place: bool
    ) -> bool:
        """Keep a file open if there is room, and return whether; one kept before has its place."""
        with self._lock:
            keep = keep and self._users > 0 and (has_place or self._count < _open_limit())
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
        """Close the files that are not lent, and return how many."""
        with self._lock:
            files = [file for free in self._free.values() for file in free]
            self._free.clear()
            self._count -= len(files)
        for file in files:
            file.close()
        return len(files)


_open_files = _OpenFiles()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_files.reset)


def _open_limit() -> int:
    """Return how many files may stay open."""
    try:
        import resource
    except ImportError:  # Windows
        return _DEFAULT_OPEN
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_OPEN if soft == resource.RLIM_INFINITY else min(soft // 2, _MOST_OPEN)


class _RawStream(io.RawIOBase):
    """A raw stream that can be read and positioned."""

    def readable(self) -> bool:
        """Always True."""
        return True

    def seekable(self) -> bool:
        """Always True."""
        return True


class Reopened(_RawStream):
    """A file that is opened for each read, unless it is kept by `kept_open`; see `unchanged`."""

    def __init__(self, name: str, stamp: Stamp) -> None:
        self._name, self._stamp = name, stamp
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position; `whence` must not be the end."""
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the position on, and return how many bytes were read."""
        with unchanged(self._name, self._stamp) as file:
            file.seek(self._at)
            got = file.readinto(buffer) or 0
        self._at += got
        return got


class _BlockCachedStream(_RawStream):
    """A stream without the name and descriptor of its file, which astropy would read directly.

    It keeps the last blocks that were read: for each tile, of a few thousand bytes, astropy seeks
    to its position and then to the end of the table.
    """

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self._at = 0
        self._blocks: dict[int, memoryview] = {}

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        before = self._at if whence == io.SEEK_CUR else 0
        is_end = whence == io.SEEK_END
        self._at = self._file.seek(offset, whence) if is_end else before + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the position on, and return how many bytes were read."""
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
        """Read a block, shorter at the end of the file; one call of the system may return less."""
        view, done = memoryview(bytearray(_BLOCK)), 0
        while got := read_at(self._file, start + done, view[done:]):
            done += got
        return view[:done]


#: A primary HDU without data.
_EMPTY_PRIMARY = fits.PrimaryHDU().header.tostring().encode("ascii")


class _OneHdu(_RawStream):
    """A FITS stream of an empty primary HDU and the one HDU in bytes `span` of a FITS stream."""

    def __init__(self, stream: Any, span: tuple[int, int]) -> None:
        self._stream = stream
        self._shift = span[0] - len(_EMPTY_PRIMARY)
        #: How many bytes there are.
        self.size = span[1] - self._shift
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        self._at = offset + {io.SEEK_CUR: self._at, io.SEEK_END: self.size}.get(whence, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the position on, and return how many bytes were read."""
        view = memoryview(buffer).cast("B")
        found = _EMPTY_PRIMARY[self._at : self._at + len(view)]
        got = len(found)
        if found:
            view[:got] = found
        else:
            self._stream.seek(self._shift + self._at)
            got = self._stream.readinto(view[: max(self.size - self._at, 0)])
        self._at += got
        return got


class _BufferedHdu(io.BufferedReader):
    """A buffered `_OneHdu`, which allocates no more bytes than there are.

    A damaged tile may claim any size, and astropy requests it. Python's own reader allocates the
    bytes that are requested before it reads.
    """

    raw: _OneHdu

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, or fewer at the end."""
        if size is not None and size > _BUFFER:
            size = min(size, max(self.raw.size - self.tell(), 0))
        return super().read(size)


@contextmanager
def as_hdus(
    name: str,
    stamp: Stamp,
    span: tuple[int, int] | None = None,
    *,
    tiles: bool = True,
    scaled: bool = False,
) -> Iterator[fits.HDUList]:
    """Open a file with `astropy.io.fits`; samples stay as stored unless they are to be `scaled`.

    With `span`, the first byte of an HDU and the byte after its last, the list contains this HDU
    alone, as number 1. astropy would read the headers of all HDUs before it, which for the last of
    60 tile-compressed images took a second for each band of rows.

    Without `tiles`, tile-compressed images are opened as tables. astropy gets no file name, which
    it might take for a network address, and uses no memory map, which would end the process if
    the file shrinks.
    """
    with unchanged(name, stamp) as file:
        stream: Any = io.BufferedReader(_BlockCachedStream(file), _BUFFER)
        if stream.peek(2).startswith(GZIP_MAGIC):
            stream = gzip.GzipFile(fileobj=stream, mode="rb")
        if span is not None:
            stream = _BufferedHdu(_OneHdu(stream, span), _BUFFER)
        how = {"memmap": False, "do_not_scale_image_data": not scaled}
        with stream, fits.open(stream, disable_image_compression=not tiles, **how) as hdus:
            yield hdus
