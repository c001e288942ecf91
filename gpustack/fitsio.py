"""FITS files: where their images lie, and how rows are read without holding an image whole.

Only headers are read before sizes are checked against the file, and a file is open
only while it is read: a stack may have more frames than a process may have open files.
"""

import gzip
import io
import logging
import math
import os
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from gpustack.errors import FrameError

_log = logging.getLogger(__name__)

_BLOCK = 2880  # FITS standard 4.0, section 3.1: everything is padded to blocks of this size
_CARD = 80
_CHUNK = 1 << 20

#: Longest header looked at: 100,000 cards. A longer one is a broken file.
_MAX_HEADER = 8 << 20

#: Deflate makes at most 1032 bytes of one (zlib technical details, "maximum compression factor").
_MAX_INFLATION = 1032

#: The densest tile compression is HCOMPRESS of a constant image; 100,000 lets the largest pass.
_MAX_TILE_EXPANSION = 100_000

#: BITPIX -> the numpy type of a sample (FITS standard 4.0, table 8).
_BITPIX = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}
_SIGN64 = np.uint64(1 << 63)

_TILE_CODECS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS")

_quiet_lock = threading.Lock()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence astropy's warnings: what they say is either checked here or harmless."""
    with _quiet_lock, warnings.catch_warnings():  # the warning filters belong to all threads
        warnings.simplefilter("ignore", AstropyWarning)
        yield


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what opening and reading raise into a FrameError."""
    try:
        yield
    except FileNotFoundError as err:
        raise FrameError(name, "expected a FITS file, got no such file") from err
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise FrameError(name, f"expected an intact gzip file, got: {err}") from err
    except OSError as err:
        raise FrameError(
            name, f"expected a readable file, got: {err.strerror or err}"
        ) from err


@dataclass(frozen=True, slots=True)
class Hdu:
    """One header and data unit: what it is and where its data lie.

    Parameters
    ----------
    index : int
        Its place in the file, the primary HDU being 0.
    header : astropy.io.fits.Header
        As it stands in the file.
    offset : int
        First byte of the data (of a gzip file: in the uncompressed stream).
    kind : {"image", "tiles", "other"}
        ``"tiles"``: a tile-compressed image.
    shape : tuple of int
        Of the image, numpy order; of other kinds empty.
    """

    index: int
    header: fits.Header
    offset: int
    kind: Literal["image", "tiles", "other"]
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """EXTNAME in capitals; PRIMARY for a first HDU without one."""
        fallback = "" if self.index else "PRIMARY"
        return str(self.header.get("EXTNAME", fallback)).strip().upper()

    @property
    def version(self) -> Any:
        """EXTVER."""
        return self.header.get("EXTVER", 1)

    @property
    def has_image(self) -> bool:
        """Whether there is an image with at least one sample."""
        return math.prod(self.shape) > 0 and len(self.shape) > 0

    def __str__(self) -> str:
        what = f"image of shape {self.shape}" if self.has_image else "no image data"
        return f"{self.index} {self.name} ({what})".replace("  ", " ")


def scan(name: str) -> tuple[list[Hdu], bool]:
    """Find all HDUs of a file by reading its headers alone.

    Returns
    -------
    list of Hdu
    bool
        Whether the file is gzip-compressed.

    Raises
    ------
    FrameError
        Where the file is missing, unreadable, no FITS file, cut off, or where a header
        promises more data than the file holds.
    """
    with _readable(name):
        size = _file_size(name)
        with open(name, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            if not packed:
                file.seek(0)
                return list(_walk(name, file, size)), False
            file.seek(-min(4, size), os.SEEK_END)
            trailer = int.from_bytes(file.read(4), "little")
            file.seek(0)
            with gzip.GzipFile(fileobj=file) as stream:
                return list(_walk(name, stream, size, trailer)), True


def _file_size(name: str) -> int:
    try:
        found = os.stat(name)
    except ValueError as err:  # a NUL in the name
        raise FrameError(repr(name), f"expected a file name, got: {err}") from err
    if not stat.S_ISREG(found.st_mode):
        kind = "directory" if stat.S_ISDIR(found.st_mode) else "device or pipe"
        raise FrameError(name, f"expected a FITS file, got a {kind}")
    if found.st_size == 0:
        raise FrameError(name, "expected a FITS file, got an empty one")
    return found.st_size


def _walk(name: str, file: Any, size: int, trailer: int | None = None) -> Iterator[Hdu]:
    """The HDUs of an open file of `size` bytes; `trailer` is the gzip file's last word."""
    start, index = 0, 0
    while True:
        file.seek(start)
        header = _read_header(name, file, first=index == 0)
        if header is None:
            return
        offset = file.tell()
        hdu, length = _describe(name, index, header, offset)
        end = offset + length
        start = -(-end // _BLOCK) * _BLOCK
        yield_only = trailer is not None and _is_last(trailer, (end, start), size)
        if not yield_only:
            _check_held(name, file, hdu, end, size if trailer is None else None)
        yield hdu
        if yield_only:
            return
        index += 1


def _is_last(trailer: int, ends: tuple[int, int], size: int) -> bool:
    """Whether the gzip trailer says that nothing follows, which spares inflating the data.

    It holds the uncompressed length modulo 2**32 (RFC 1952).
    """
    plausible = ends[0] <= _MAX_INFLATION * size
    return plausible and trailer in (ends[0] % 2**32, ends[1] % 2**32)


def _check_held(name: str, file: Any, hdu: Hdu, end: int, size: int | None) -> None:
    """Raise where the data end before `end`. Of a gzip stream (size None) only reading tells."""
    if size is None:
        with suppress(EOFError):
            file.seek(end)
        size = file.tell()
    if size < end:
        raise FrameError(
            name,
            f"data cut off in HDU {hdu.index}: expected {end - hdu.offset:,} bytes from byte "
            f"{hdu.offset:,} on, got {max(size - hdu.offset, 0):,} (the file ends at byte {size:,})",
        )


def _read_header(name: str, file: Any, first: bool) -> fits.Header | None:
    """The header at the file's position; None where no further HDU begins there."""
    text = b""
    start = file.tell()
    while True:
        block = file.read(_BLOCK)
        if not text and not block.startswith(b"SIMPLE  =" if first else b"XTENSION"):
            if not first:
                return None
            raise FrameError(
                name, f"expected a FITS file, beginning with 'SIMPLE  =', got {block[:16]!r}"
            )
        text += block
        if any(block[i : i + _CARD].rstrip() == b"END" for i in range(0, len(block), _CARD)):
            return fits.Header.fromstring(text)
        if len(block) < _BLOCK or len(text) >= _MAX_HEADER:
            raise FrameError(
                name,
                f"header cut off: expected an END card after byte {start:,}, got none up to "
                f"byte {start + len(text):,}",
            )


def _describe(name: str, index: int, header: fits.Header, offset: int) -> tuple[Hdu, int]:
    """The HDU and the length of its data in bytes, by FITS standard 4.0, eq. 1, 2 and 4."""
    shape = _axes(name, header)
    bits = _whole(name, header, "BITPIX")
    if bits not in _BITPIX:
        raise FrameError(name, f"BITPIX: expected one of {', '.join(map(str, _BITPIX))}, got {bits}")
    groups = index == 0 and shape[-1:] == (0,) and header.get("GROUPS") is True
    samples = math.prod(shape[:-1] if groups else shape) if shape else 0
    extra, copies = _whole(name, header, "PCOUNT", 0), _whole(name, header, "GCOUNT", 1)
    if extra < 0 or copies < 0:
        raise FrameError(name, f"expected PCOUNT and GCOUNT >= 0, got {extra} and {copies}")
    kind = _kind(index, header)
    shapes = {"image": shape, "tiles": (), "other": ()}
    hdu = Hdu(index, header, offset, kind, shapes[kind])
    if kind == "tiles":
        hdu = replace(hdu, shape=_axes(name, header, "Z"))
    return hdu, abs(bits) // 8 * copies * (extra + samples)


def _kind(index: int, header: fits.Header) -> Literal["image", "tiles", "other"]:
    extension = "IMAGE" if index == 0 else str(header.get("XTENSION")).strip()
    if extension == "BINTABLE" and header.get("ZIMAGE") is True:
        return "tiles"
    return "image" if extension in ("IMAGE", "IUEIMAGE") else "other"


def _axes(name: str, header: fits.Header, prefix: str = "") -> tuple[int, ...]:
    """The shape in numpy order from NAXIS and NAXISn."""
    naxis = _whole(name, header, f"{prefix}NAXIS")
    if not 0 <= naxis <= 999:
        raise FrameError(name, f"{prefix}NAXIS: expected 0 to 999, got {naxis}")
    shape = tuple(_whole(name, header, f"{prefix}NAXIS{i}") for i in range(naxis, 0, -1))
    if any(length < 0 for length in shape):
        raise FrameError(name, f"{prefix}NAXISn: expected lengths >= 0, got {shape[::-1]}")
    return shape


def _value(name: str, header: fits.Header, key: str, default: Any) -> Any:
    try:
        return header.get(key, default)
    except fits.VerifyError as err:
        raise FrameError(name, f"{key}: expected a readable header card, got: {err}") from err


def _whole(name: str, header: fits.Header, key: str, default: int | None = None) -> int:
    value = _value(name, header, key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise FrameError(name, f"{key}: expected a whole number in the header, got {value!r}")
    return value


def _real(name: str, header: fits.Header, key: str, default: float) -> float:
    value = _value(name, header, key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise FrameError(name, f"{key}: expected a number in the header, got {value!r}")
    return float(value)
