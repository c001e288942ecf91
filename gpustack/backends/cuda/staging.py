"""The layouts in memory of a band's samples and of its results.

The block in pinned host memory and its counterpart on the device have the same layout, so that
neighbouring arrays are transferred in one copy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples, Source
from gpustack.backends.cuda import abi
from gpustack.backends.loading import decode
from gpustack.backends.tiles import TilePixels
from gpustack.plan import Band

#: Bytes. Every array begins at a multiple of this; CuPy's pools allocate multiples of it.
ALIGNMENT = 512

#: Pieces with a smaller gap between them are transferred in one copy: to start another copy takes
#: as long as to transfer some hundred kB more.
GAP = 64 << 10

#: A part of a block: offset and size, in bytes.
Piece = tuple[int, int]


def aligned(size: int) -> int:
    """`size`, rounded up to a multiple of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def merged(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces in order of offset; those with less than `GAP` between them are merged."""
    result: list[Piece] = []
    for offset, size in sorted(pieces):
        if result and offset - sum(result[-1]) < GAP:
            start, _ = result.pop()
            result.append((start, offset + size - start))
        else:
            result.append((offset, size))
    return result


@dataclass(frozen=True)
class Intake:
    """The layout of `rows` rows of a source: the tables of frames and clips, then the frames.

    The samples of a frame are followed by its mask, weights and variances, where it has them.
    What is read of a frame begins where its samples begin, and may take more room than all these.

    Parameters
    ----------
    source : Source
    stored : dtype
        The dtype of samples on the device.
    clip_bytes : int
        Bytes of the table of clips.
    rows : int
    """

    source: Source
    stored: np.dtype[Any]
    clip_bytes: int
    rows: int

    @property
    def clip_table_offset(self) -> int:
        """The offset of the table of clips; the table of frames is at 0."""
        return aligned(self.source.n * abi.FRAME.itemsize)

    @property
    def table_bytes(self) -> int:
        """Bytes from the beginning of the block to the end of both tables."""
        return self.clip_table_offset + self.clip_bytes

    @cached_property
    def _spans(self) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """Bytes of the samples of any frame, of the mask of each, and of everything of each."""
        source, pixels = self.source, self.rows * self.source.width
        samples = aligned(pixels * self.stored.itemsize)
        masks = np.array(source.masked, np.int64) * aligned(pixels)
        doubles = aligned(8 * pixels)
        gets = samples + masks + (source.weighted + source.variance) * doubles
        reads = -(-np.array(source.row_bytes, np.int64) * self.rows // ALIGNMENT) * ALIGNMENT
        return samples, masks, np.maximum(gets, reads)

    @cached_property
    def data(self) -> NDArray[np.int64]:
        """The offset of the samples of each frame."""
        _, _, spans = self._spans
        return aligned(self.table_bytes) + np.cumsum(spans) - spans

    @cached_property
    def mask(self) -> NDArray[np.int64]:
        """The offset of the mask of each frame, if it has one."""
        return self.data + self._spans[0]

    @cached_property
    def weight(self) -> NDArray[np.int64]:
        """The offset of the weights of each frame's samples, if it has any."""
        return self.mask + self._spans[1]

    @cached_property
    def variance(self) -> NDArray[np.int64]:
        """The offset of the variances of each frame's samples, if it has any."""
        doubles = aligned(8 * self.rows * self.source.width)
        return self.weight + self.source.weighted * doubles

    @cached_property
    def size(self) -> int:
        """Bytes of the block."""
        return int(self.data[-1] + self._spans[2][-1])

    @cached_property
    def temporary_bytes(self) -> int:
        """The most bytes of arrays outside the block that reading a frame makes.

        These are values of dtypes other than `stored` while they are decoded, masks, and what the
        source needs (`Source.temporary_bytes`).
        """
        source = self.source
        decoding = 2 * self.stored.itemsize + 1
        each = [
            decoding * (dtype != self.stored) + masked
            for dtype, masked in zip(source.stored, source.masked, strict=True)
        ]
        return (int(max(each)) * source.width + source.temporary_bytes) * self.rows

    def read(self, f: int, band: Band, block: NDArray[np.uint8]) -> tuple[Samples, list[Piece]]:
        """Read a band of frame `f` and bring it to its places in `block`.

        An array that was read right into its place is not copied.

        Returns
        -------
        samples : Samples
            Views of `block`, as they go to the device.
        pieces : list of (offset, size)
            The parts of the block that they take.
        """
        places = [int(array[f]) for array in (self.data, self.mask)]
        room = self.source.row_bytes[f] * self.rows
        into = block[places[0] : places[0] + room] if room else None
        samples = self.source.read(f, band.start, band.stop, into)
        shape, pieces = samples.data.shape, []

        def place(offset: int, dtype: np.dtype[Any], values: NDArray[Any]) -> NDArray[Any]:
            array = view(block, offset, dtype, shape)
            if not _same_place(values, array):
                np.copyto(array, values)
            pieces.append((offset, array.nbytes))
            return array

        if samples.data.dtype != self.stored:
            samples = _decoded(samples, self.stored)
        # An array is dropped when it has been placed; `samples` then holds views of the block.
        samples = replace(samples, data=place(places[0], self.stored, samples.data))
        if samples.mask is not None:
            samples = replace(samples, mask=place(places[1], np.dtype(bool), samples.mask))
        doubles: dict[str, Any] = {}
        for name in ("weight", "variance"):
            given = getattr(samples, name)
            if given is not None:
                start = int(getattr(self, name)[f])
                doubles[name] = place(start, np.dtype(np.float64), given)
        samples = replace(samples, **doubles)
        return samples, pieces


def view(
    block: NDArray[np.uint8], offset: int, dtype: np.dtype[Any], shape: Sequence[int]
) -> NDArray[Any]:
    """The part of `block` from `offset` on as an array of this dtype and shape."""
    return np.ndarray(tuple(shape), dtype, block.data, offset)


def _same_place(one: NDArray[Any], other: NDArray[Any]) -> bool:
    begins = [array.__array_interface__["data"][0] for array in (one, other)]
    return begins[0] == begins[1] and one.strides == other.strides


def _decoded(samples: Samples, real: np.dtype[Any]) -> Samples:
    """Samples of another dtype than the common one, decoded to `real`, with blanks as NaN."""
    rows, width = samples.data.shape
    values = np.empty((rows, width), real)
    where = TilePixels(slice(0, rows), slice(0, width), slice(0, rows * width))
    with np.errstate(all="ignore"):
        decode(samples, where, values.reshape(-1))
    if samples.blank is not None and samples.data.dtype.kind in "iu":
        np.copyto(values, np.nan, where=samples.data == samples.blank)
    return replace(samples, data=values, bscale=1.0, bzero=0.0, blank=None)


#: Map of `Outputs` -> the dtype in which a kernel writes it; None: that of the result.
MAPS: dict[str, Any] = {
    "data": None,
    "uncertainty": None,
    "mask": bool,
    "count": np.int32,
    "low": np.int32,
    "high": np.int32,
    "reasons": np.uint8,
}
#: Tally of `Outputs` -> the tally of a kernel that it is computed from.
_TALLIES = {"valid": "invalid", "rejected": "rejected"}


@dataclass(frozen=True)
class Results:
    """The layout of the results of `rows` rows: those that `wanted` asks for.

    Parameters
    ----------
    wanted : Outputs
    n, width, rows : int
    result : dtype
        The dtype of data and uncertainty.
    by_frame : bool
        Whether there are clips by frame, which need the map of reasons, wanted or not.
    """

    wanted: Outputs
    n: int
    width: int
    rows: int
    result: np.dtype[Any]
    by_frame: bool = False

    @cached_property
    def places(self) -> dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]]:
        """Name of a field of abi.OUT -> offset, dtype, shape. Tallies come first."""
        found, start = {}, 0
        for name, dtype, shape in self._arrays():
            found[name] = (start, dtype, shape)
            start += aligned(prod(shape) * dtype.itemsize)
        return found

    def _arrays(self) -> Iterable[tuple[str, np.dtype[Any], tuple[int, ...]]]:
        for name, tally in _TALLIES.items():
            if getattr(self.wanted, name) is not None:
                yield tally, np.dtype(np.uint64), (self.n,)
        shape = (self.rows, self.width)
        for name, dtype in MAPS.items():
            needed = name == "reasons" and self.by_frame
            if needed or getattr(self.wanted, name) is not None:
                full = (self.n, *shape) if name == "reasons" else shape
                yield name, np.dtype(dtype or self.result), full

    @cached_property
    def size(self) -> int:
        """Bytes of the block."""
        if not self.places:
            return ALIGNMENT
        offset, dtype, shape = list(self.places.values())[-1]
        return offset + aligned(prod(shape) * dtype.itemsize)

    @property
    def download_bytes(self) -> int:
        """Bytes to download: without the map of reasons, the last one, where it is not wanted."""
        if self.by_frame and self.wanted.reasons is None:
            return self.places["reasons"][0]
        return self.size

    @property
    def tally_bytes(self) -> int:
        """Bytes of the tallies, which come first and have to be 0 before a kernel adds to them."""
        maps = [offset for name, (offset, _, _) in self.places.items() if name in MAPS]
        return min(maps, default=self.size if self.places else 0)

    def addresses(self, base: int) -> NDArray[Any]:
        """The record of addresses that a kernel gets, for a block at `base` on the device."""
        record = np.zeros(1, abi.OUT)
        for name, (offset, _, _) in self.places.items():
            record[name] = base + offset
        return record

    def place(self, block: NDArray[np.uint8], start: int, out: Outputs) -> None:
        """Copy the results in `block` to the rows of `out` from `start` on; add up tallies."""
        part = out.rows(start, start + self.rows)
        for name, (offset, dtype, shape) in self.places.items():
            values = view(block, offset, dtype, shape)
            if name in MAPS and getattr(part, name) is not None:
                np.copyto(getattr(part, name), values, casting="unsafe")
            elif name not in MAPS:
                add_tally(out, name, values, self.rows * self.width)
        out.place(start, part)


def add_tally(out: Outputs, name: str, found: NDArray[Any], pixels: int) -> None:
    """Add a kernel's count for each frame, of its invalid or its rejected samples, to `out`."""
    found = found.astype(np.int64)
    if name == "invalid" and out.valid is not None:
        np.add(out.valid, pixels - found, out=out.valid)
    if name == "rejected" and out.rejected is not None:
        np.add(out.rejected, found, out=out.rejected)
