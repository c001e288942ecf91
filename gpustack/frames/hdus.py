"""The HDUs of a FITS file, found by reading only headers.

Every size that a header promises is checked against the file before memory is allocated for it.
"""

import gzip
import logging
import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal

from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from gpustack.cards.texts import read_text
from gpustack.errors import FrameError, MissingFileError
from gpustack.frames.cards import CARD, parse
from gpustack.frames.onfile import GZIP_MAGIC, Stamp, reading

#: Headers and data are padded to blocks of this size (FITS standard 4.0, section 3.1).
_BLOCK = 2880

#: BITPIX -> the numpy type of a sample (FITS standard 4.0, table 8).
BITPIX = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}

#: First bytes of files that other programs have compressed; gzip files are read directly.
_PACKED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}

#: Longest header that is read: 100,000 cards. A file whose END is further off is broken.
_MAX_HEADER = 8 << 20

#: Columns that a table may have (FITS standard 4.0, section 7.3.1).
_MAX_COLUMNS = 999

#: Deflate makes at most 1032 bytes of one (zlib technical details, "maximum compression factor").
_MAX_INFLATION = 1032

Kind = Literal["image", "tiles", "other"]

_warning_filters = threading.RLock()
_astropy_log = logging.getLogger("astropy")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence astropy's warnings, which are checked for here or do no harm.

    Messages of this thread on astropy's log are silenced too, below ERROR: astropy prints its log,
    and INFO to standard output, where results go.
    """
    thread = threading.get_ident()

    def is_loud(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or record.thread != thread

    with _warning_filters, warnings.catch_warnings():  # the filters belong to all threads
        warnings.simplefilter("ignore", AstropyWarning)
        _astropy_log.addFilter(is_loud)
        try:
            yield
        finally:
            _astropy_log.removeFilter(is_loud)


@contextmanager
def quietly(opening: AbstractContextManager[fits.HDUList]) -> Iterator[fits.HDUList]:
    """Open a file with warnings silenced, as astropy reads the first header then.

    Silence applies to all threads, so it ends before anything else is read from the file.
    """
    with ExitStack() as held:
        with quiet():
            hdus = held.enter_context(opening)
        yield hdus


@dataclass(frozen=True, slots=True, eq=False)
class Hdu:
    """One header and data unit.

    Parameters
    ----------
    index : int
        The number of the HDU in the file; the primary HDU is 0.
    kind : {"image", "tiles", "other"}
        ``"tiles"``: a tile-compressed image.
    name, version
        EXTNAME in capitals (PRIMARY for a first HDU without one), and EXTVER, 1 by default.
    header : astropy.io.fits.Header
        As it is in the file: the header of the table where `kind` is ``"tiles"``.
    shape : tuple of int
        The shape of the image, in numpy order; () where `kind` is ``"other"``.
    begin, start, stop : int
        Byte positions of the header, of the data, and of the end of the data without padding; in
        a gzip file, positions in the uncompressed stream.
    stamp : Stamp
        The state of the file when its headers were read.
    """

    index: int
    kind: Kind
    name: str
    version: Any
    header: fits.Header
    shape: tuple[int, ...]
    begin: int
    start: int
    stop: int
    stamp: Stamp

    @property
    def span(self) -> tuple[int, int]:
        """The first byte of its header, and the byte after its last block of data."""
        return self.begin, self.start + -(-(self.stop - self.start) // _BLOCK) * _BLOCK

    @property
    def has_image(self) -> bool:
        """Whether there is an image with at least one sample."""
        return len(self.shape) > 0 and 0 not in self.shape

    def __str__(self) -> str:
        content = f"image {self.shape}" if self.shape else "no image"
        return " ".join(filter(None, (str(self.index), self.name, content)))


#: How many scans are kept: of an image file, and of the files of its mask and weights or variances.
_SCANS_KEPT = 3

#: The latest scans, by file name and stamp; None outside `keeping_scans`.
_last_scans: ContextVar[dict[tuple[str, Stamp], tuple[list[Hdu], bool]] | None]
_last_scans = ContextVar("_last_scans", default=None)


@contextmanager
def keeping_scans() -> Iterator[None]:
    """Within this context, images of one file that are opened in a row share one scan of it."""
    before = _last_scans.set({})
    try:
        yield
    finally:
        _last_scans.reset(before)


def scan(name: str) -> tuple[list[Hdu], bool]:
    """Return all HDUs of the file `name`, and whether it is gzip-compressed.

    Raises
    ------
    FrameError
        Where the file is missing, unreadable, not a FITS file, or cut off, that is, has less data
        than a header promises.
    """
    with reading(name):
        _check_regular(name)
        with Path(name).open("rb") as file:
            stamp, last = Stamp.of(file), _last_scans.get()
            if last is None:
                return _scanned(name, file, stamp)
            if (name, stamp) not in last:
                while len(last) >= _SCANS_KEPT:
                    del last[next(iter(last))]
                last[name, stamp] = _scanned(name, file, stamp)
            last[name, stamp] = last.pop((name, stamp))  # the latest one is dropped last
            return last[name, stamp]


def _scanned(name: str, file: BufferedIOBase, stamp: Stamp) -> tuple[list[Hdu], bool]:
    gzipped = file.read(2) == GZIP_MAGIC
    if not gzipped:
        return list(_walk(_Plain(name, file, stamp))), gzipped
    file.seek(-min(4, stamp.size), os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(0)
    with gzip.GzipFile(fileobj=file) as stream:
        return list(_walk(_Gzip(name, stream, stamp, length))), gzipped


def _check_regular(name: str) -> None:
    """Raise unless this is a regular file and not empty: opening a pipe would wait for a writer."""
    if not name:
        raise MissingFileError(repr(name), "expected the name of a file, got an empty one")
    try:
        found = Path(name).stat()
    except ValueError as err:  # a NUL in the name
        raise FrameError(repr(name), f"expected a file name, got: {err}") from err
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "a device or pipe"
        raise FrameError(name, f"expected a FITS file, got {kind}")
    if found.st_size == 0:
        raise FrameError(name, "expected a FITS file, got an empty one")


@dataclass(frozen=True, slots=True, eq=False)
class _Plain:
    """An open file, and what is known about its length."""

    name: str
    file: BufferedIOBase
    stamp: Stamp

    def is_last(self, stop: int, padded: int) -> bool:
        """Whether an HDU whose data end at `stop` is surely complete and the last one."""
        return stop <= self.stamp.size <= padded

    def held(self, stop: int) -> int:
        """Return how many bytes there are, at most `stop`."""
        return min(self.stamp.size, stop)


@dataclass(frozen=True, slots=True, eq=False)
class _Gzip(_Plain):
    """An open gzip stream; `stamp` is that of the compressed file.

    `length` is the last word of the file: the uncompressed length modulo 2**32, or in a file of
    several members that of the last one (RFC 1952). Where it agrees with the end of an HDU, that
    HDU counts as the last one, and its data need not be inflated only to find their end.
    """

    length: int

    def is_last(self, stop: int, padded: int) -> bool:
        fits_in = stop <= _MAX_INFLATION * self.stamp.size
        return fits_in and self.length in (stop % 2**32, padded % 2**32)

    def held(self, stop: int) -> int:
        most = _MAX_INFLATION * self.stamp.size + 1  # seeking beyond 2**63 is another error
        with suppress(EOFError):
            self.file.seek(min(stop, most))
        return self.file.tell()


def _walk(source: _Plain) -> Iterator[Hdu]:
    begin, index = 0, 0
    while header := _read_header(source, begin, first=index == 0):
        hdu = _describe(source, index, header, begin)
        begin = -(-hdu.stop // _BLOCK) * _BLOCK
        last = source.is_last(hdu.stop, begin)
        if not last and (held := source.held(hdu.stop)) < hdu.stop:
            raise FrameError(
                source.name,
                f"cut off in the data of HDU {hdu.index}: expected {hdu.stop - hdu.start:,} bytes "
                f"from byte {hdu.start:,} on, got {held - hdu.start:,} up to the end of the file",
            )
        yield hdu
        if last:
            return
        index += 1


def _read_header(source: _Plain, begin: int, first: bool) -> fits.Header | None:
    """Return the header at byte `begin`; None where no further HDU begins there."""
    source.file.seek(begin)
    text = bytearray()
    while True:
        block = source.file.read(_BLOCK)
        if not text and not block.startswith(b"SIMPLE  =" if first else b"XTENSION"):
            if not first:  # junk and special records may follow the last HDU
                return None
            packers = [name for magic, name in _PACKED.items() if block.startswith(magic)]
            got = f"one packed by {packers[0]}; unpack it first" if packers else repr(block[:9])
            raise FrameError(source.name, f"expected a FITS file, beginning with SIMPLE, got {got}")
        text += block
        if any(block[i : i + CARD].rstrip() == b"END" for i in range(0, len(block), CARD)):
            return parse(source.name, bytes(text))
        if len(block) < _BLOCK or len(text) >= _MAX_HEADER:
            raise FrameError(
                source.name,
                f"cut off in the header that begins at byte {begin:,}: expected an END card, "
                f"got none up to byte {begin + len(text):,}",
            )


def _describe(source: _Plain, index: int, header: fits.Header, begin: int) -> Hdu:
    kind = _kind(index, header)
    axes = shape = _axes(source.name, header)
    columns = whole_card(source.name, header, "TFIELDS", 0)
    if not 0 <= columns <= _MAX_COLUMNS:  # astropy loops over all of them, even for an image
        raise FrameError(
            source.name, f"expected TFIELDS from 0 to {_MAX_COLUMNS} in HDU {index}, got {columns}"
        )
    if kind != "image":
        shape = _axes(source.name, header, "Z") if kind == "tiles" else ()
    start = source.file.tell()
    return Hdu(
        index=index,
        kind=kind,
        name=read_text(header, "EXTNAME", "" if index else "PRIMARY").upper(),
        version=header.get("EXTVER", 1),
        header=header,
        shape=shape,
        begin=begin,
        start=start,
        stop=start + _data_bytes(source.name, header, axes),
        stamp=source.stamp,
    )


def _kind(index: int, header: fits.Header) -> Kind:
    extension = read_text(header, "XTENSION") if index else "IMAGE"
    if extension == "BINTABLE" and header.get("ZIMAGE") is True:
        return "tiles"
    return "image" if extension in ("IMAGE", "IUEIMAGE") else "other"


def _axes(name: str, header: fits.Header, prefix: str = "") -> tuple[int, ...]:
    """Return the shape in numpy order, from NAXIS and NAXISn."""
    count = whole_card(name, header, f"{prefix}NAXIS")
    shape = tuple(whole_card(name, header, f"{prefix}NAXIS{n}") for n in range(count, 0, -1))
    if count < 0 or any(length < 0 for length in shape):
        raise FrameError(
            name, f"expected {prefix}NAXIS and axes >= 0, got {count} axes of {shape[::-1]}"
        )
    return shape


def _data_bytes(name: str, header: fits.Header, axes: tuple[int, ...]) -> int:
    """Return the length of the data without padding (FITS standard 4.0, eq. 1, 2 and 4)."""
    bits = whole_card(name, header, "BITPIX")
    extra, copies = whole_card(name, header, "PCOUNT", 0), whole_card(name, header, "GCOUNT", 1)
    if bits not in BITPIX or extra < 0 or copies < 1:
        raise FrameError(
            name,
            f"expected BITPIX one of {', '.join(map(str, BITPIX))}, PCOUNT >= 0, GCOUNT >= 1, "
            f"got {bits}, {extra}, {copies}",
        )
    if header.get("GROUPS") is True and axes[-1:] == (0,):  # random groups: NAXIS1 is 0
        axes = axes[:-1]
    return abs(bits) // 8 * copies * (extra + (math.prod(axes) if axes else 0))


def whole_card(name: str, header: fits.Header, key: str, default: int | None = None) -> int:
    """Return a whole number from the header of file `name`; raise FrameError where it is none."""
    value = header.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise FrameError(name, f"{key}: expected a whole number in the header, got {value!r}")
    return value


def real_card(name: str, header: fits.Header, key: str, default: float) -> float:
    """Return a finite number from the header of file `name`; raise FrameError if it is none."""
    value = header.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise FrameError(name, f"{key}: expected a number in the header, got {value!r}")
    return float(value)
