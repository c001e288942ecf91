"""Planes: rows of one image are read from a FITS file without holding the whole image.

A file is open only while it is read, unless `kept_open` keeps it: a stack may have more frames
than a process may have open files. Uncompressed and gzip files are not decoded: samples stay
big-endian.
"""

import gzip
import io
import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.errors import FrameError
from gpustack.frames.cards import made_safe
from gpustack.frames.hdus import BITPIX, Hdu, quiet, quietly, real_card
from gpustack.frames.onfile import Reopened, as_hdus, read_at, reading, unchanged
from gpustack.frames.tiles import check_streams, check_tiles, has_streams, held_bytes

#: Bytes that a gzip stream inflates at once.
_INFLATE_AT_ONCE = 1 << 18

#: Compressed bytes that a gzip stream keeps between reads.
_INPUT_BUFFER = 1 << 15

#: At most so many streams inflate one gzip file, each at its own position: every band is read for
#: clips that grow, for the combination of what they leave, and for maps, and frames that are
#: resampled read some rows again each time. Two resampled frames with masks and flags take 8 to
#: 16 s of CPU with 3 streams, 5 to 9 s with 6, and 4.4 to 4.9 s with 8.
_MOST_STREAMS = 8

#: At most so many streams of all files together beyond the first of each file: a stream takes
#: 80 kB, which no memory limit counts.
_MOST_EXTRA_STREAMS = 400

#: The open streams beyond the first of each file.
_extra_streams: WeakSet[gzip.GzipFile] = WeakSet()

#: CFITSIO keeps its position in an HCOMPRESS stream in global variables: two threads that
#: decompress at the same time get wrong samples, or errors. Other codecs have no such variables.
_HCOMPRESS = threading.Lock()

_SIGN64 = 1 << 63


@dataclass(eq=False)
class Plane:
    """An image in a FITS file, its rows counted over all axes but the last.

    Parameters
    ----------
    file : str
    hdu : Hdu
    header : astropy.io.fits.Header
        The header of the image, also where it is tile-compressed.
    file_dtype : numpy.dtype
        The dtype of the samples as they are stored, before `_exact_uint64`.
    bscale, bzero : float
    blank : int or None
        How to decode the samples; see `gpustack.backends.base.Samples`.
    """

    file: str
    hdu: Hdu
    header: fits.Header
    file_dtype: np.dtype[Any]
    bscale: float
    bzero: float
    blank: int | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the image, in numpy order."""
        return self.hdu.shape

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the samples as `read` returns them; see `_exact_uint64`."""
        text = self.file_dtype.str
        return np.dtype(text.replace("i", "u")) if self._is_uint64 else self.file_dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.shape[-1] * self.file_dtype.itemsize

    @property
    def held_bytes(self) -> int:
        """Bytes that reading takes in addition to the rows, however few they are."""
        return 0

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Return rows ``[start, stop)``, in the first bytes of the buffer `into` where given.

        Nothing is read where there are no rows.

        Raises
        ------
        FrameError
            Where the file has changed since its headers were read.
        """
        size = (stop - start) * self.row_bytes
        buffer = np.empty(size, np.uint8) if into is None else np.frombuffer(into, np.uint8, size)
        rows = buffer.view(self.file_dtype).reshape(stop - start, self.shape[-1])
        if rows.size:
            with reading(self.file):
                self._fill(rows, start)
        samples = Samples(rows, bscale=self.bscale, bzero=self.bzero, blank=self.blank)
        return _exact_uint64(samples) if self._is_uint64 else samples

    @property
    def _is_uint64(self) -> bool:
        scaling = (self.file_dtype.kind, self.file_dtype.itemsize, self.bscale, self.bzero)
        return scaling == ("i", 8, 1.0, _SIGN64)

    def _fill(self, rows: NDArray[Any], start: int) -> None:
        raise NotImplementedError

    def _fill_by(
        self, read: Callable[[memoryview, int], int], rows: NDArray[Any], most: int = sys.maxsize
    ) -> None:
        """Fill `rows` by calls of ``read(part, bytes done)``, each for at most `most` bytes."""
        view = rows.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(view):
            got = read(view[done : done + most], done)
            if not got:
                raise FrameError(
                    self.file,
                    f"cut off: expected {len(view):,} more bytes, got {done:,}",
                )
            done += got


class PlainPlane(Plane):
    """An image that is stored uncompressed in its file."""

    def _fill(self, rows: NDArray[Any], start: int) -> None:
        first = self.hdu.start + start * self.row_bytes
        with unchanged(self.file, self.hdu.stamp) as file:
            self._fill_by(lambda part, done: read_at(file, first + done, part), rows)


@dataclass(eq=False)
class GzipPlane(Plane):
    """An image in a gzip-compressed file: reading on is cheap, going back means starting again.

    Some maps and clips read each band several times, so further streams are opened where the
    existing ones are past the requested rows.

    The checksum of the data is at the end of the file, so reading goes on to there after the last
    row.
    """

    _streams: list[gzip.GzipFile] = field(init=False, repr=False, default_factory=list)
    _intact: bool = field(init=False, repr=False, default=False)
    _turn: threading.Lock = field(init=False, repr=False, default_factory=threading.Lock)

    def _fill(self, rows: NDArray[Any], start: int) -> None:
        with self._turn:
            stream = self._stream_to(self.hdu.start + start * self.row_bytes)
            self._fill_by(lambda part, _: stream.readinto(part), rows, _INFLATE_AT_ONCE)
            if not self._intact and start + len(rows) == math.prod(self.shape[:-1]):
                while stream.read(_INFLATE_AT_ONCE):
                    pass
                self._intact = True

    def _stream_to(self, place: int) -> gzip.GzipFile:
        """Return a stream positioned at a byte, inflating as little as possible.

        It is the nearest stream before that byte. Where all are past it, a further one is opened,
        or if there are too many, the one furthest on starts again.
        """
        before = [stream for stream in self._streams if stream.tell() <= place]
        if not before and not self._streams:
            self._streams.append(self._fresh())
        elif not before and self._may_open_another():
            before = [self._fresh()]
            _extra_streams.update(before)
            self._streams += before
        stream = max(before or self._streams, key=gzip.GzipFile.tell)
        stream.seek(place)
        return stream

    def _may_open_another(self) -> bool:
        return len(self._streams) < _MOST_STREAMS and len(_extra_streams) < _MOST_EXTRA_STREAMS

    def _fresh(self) -> gzip.GzipFile:
        kept = io.BufferedReader(Reopened(self.file, self.hdu.stamp), _INPUT_BUFFER)
        return gzip.GzipFile(fileobj=kept, mode="rb")


@dataclass(eq=False)
class TiledPlane(Plane):
    """A tile-compressed image: astropy decompresses the tiles that contain the rows."""

    _checked: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._checked = not has_streams(self.hdu)

    @property
    def held_bytes(self) -> int:
        """Bytes that decoding takes; see `gpustack.frames.tiles.held_bytes`."""
        return held_bytes(self.file, self.hdu)

    def _fill(self, rows: NDArray[Any], start: int) -> None:
        alone = self.hdu.header.get("ZCMPTYPE") == "HCOMPRESS_1"
        if not self._checked:
            with _decoding(self.file):
                check_streams(self.file, self.hdu)
            self._checked = True
        with _HCOMPRESS if alone else nullcontext(), _astropy(self.file, self.hdu) as image:
            with quiet():
                section = image.section
            for piece, at in _pieces(self.shape, start, start + len(rows)):
                rows[at] = section[piece]


@contextmanager
def _astropy(file: str, hdu: Hdu) -> Iterator[fits.CompImageHDU]:
    """Open an HDU with astropy; raise FrameError where astropy cannot read it."""
    with _decoding(file), quietly(as_hdus(file, hdu.stamp, hdu.span)) as hdus:
        with quiet():
            image = hdus[1]
        yield image


@contextmanager
def _decoding(file: str) -> Iterator[None]:
    """Turn errors of astropy's decoders into FrameError, except for a lack of memory."""
    try:
        yield
    except (OSError, FrameError):
        raise
    except MemoryError as err:
        raise MemoryError(f"{file}: {err}") from err
    except Exception as err:  # broken tiles raise errors of all kinds
        raise FrameError(
            file, f"expected an intact tile-compressed image, got {type(err).__name__}: {err}"
        ) from err


def _pieces(
    shape: tuple[int, ...], start: int, stop: int
) -> Iterator[tuple[tuple[Any, ...], slice]]:
    """Yield rows ``[start, stop)`` as indices of the image, each with its place in the result."""
    if len(shape) == 1:
        yield (slice(None),), slice(0, 1)
        return
    row = start
    while row < stop:
        outer, first = divmod(row, shape[-2])
        count = min(shape[-2] - first, stop - row)
        index = (int(i) for i in np.unravel_index(outer, shape[:-2]))
        yield (*index, slice(first, first + count)), slice(row - start, row - start + count)
        row += count


def open_plane(file: str, hdu: Hdu, gzipped: bool) -> Plane:
    """Open the image in `hdu` of `file`, a gzip file where `gzipped`, without reading samples.

    Raises
    ------
    FrameError
        Where the header does not say how to decode the image, or promises more than there can be.
    """
    if hdu.kind == "tiles":
        check_tiles(file, hdu)
        with _astropy(file, hdu) as image:
            header = made_safe(file, image.header, parsed=hdu.header)
        dtype = np.dtype(BITPIX[header["BITPIX"]])
        kind: type[Plane] = TiledPlane
    else:
        header = hdu.header
        dtype = np.dtype(">" + BITPIX[header["BITPIX"]])
        kind = GzipPlane if gzipped else PlainPlane
    return kind(
        file,
        hdu,
        header,
        dtype,
        bscale=real_card(file, header, "BSCALE", 1.0),
        bzero=real_card(file, header, "BZERO", 0.0),
        blank=_blank(file, hdu.header.get("ZBLANK", header.get("BLANK")), dtype),
    )


def _blank(file: str, value: Any, dtype: np.dtype[Any]) -> int | None:
    """Return BLANK as an integer that samples of `dtype` can have; None if none can be blank."""
    if value is None or dtype.kind == "f":
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not float(value).is_integer():
        raise FrameError(file, f"BLANK: expected a whole number in the header, got {value!r}")
    limits = np.iinfo(dtype)
    return int(value) if limits.min <= value <= limits.max else None


def _exact_uint64(samples: Samples) -> Samples:
    """Convert int64 with BZERO = 2**63 to uint64 in place, without the rounding of floats.

    FITS stores uint64 in this way. Adding 2**63 only flips the sign bit.
    """
    turned = samples.data.view(samples.data.dtype.str.replace("i", "u"))
    np.bitwise_xor(turned, np.uint64(_SIGN64), out=turned)
    return Samples(turned, blank=None if samples.blank is None else samples.blank + _SIGN64)
