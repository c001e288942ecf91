"""From a band to a tile: which pixels, and their samples decoded, normalised, invalid as +inf."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.columns import Floats, Ranks
from gpustack.clips import RangeClip
from gpustack.recipe import Recipe

Counts = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Where:
    """A tile: whole rows of the band, or a part of one row, so that it is flat in C order."""

    rows: slice
    cols: slice
    flat: slice

    @property
    def pixels(self) -> int:
        """How many pixels."""
        return int(self.flat.stop - self.flat.start)


def cut(rows: int, width: int, pixels: int) -> list[Where]:
    """Cut a band of `rows` x `width` into tiles of at most `pixels` pixels."""
    step, part = max(1, pixels // max(width, 1)), max(1, min(width, pixels))
    tiles = []
    for y in range(0, rows, step):
        stop = min(y + step, rows)
        for x in range(0, width, part):
            end = min(x + part, width)
            flat = slice(y * width + x, (stop - 1) * width + end)
            tiles.append(Where(slice(y, stop), slice(x, end), flat))
    return tiles


@dataclass(slots=True)
class Tile:
    """The samples of a tile, as clips see them.

    Parameters
    ----------
    values : ndarray, shape (n, pixels)
        +inf where invalid.
    valid : ndarray of int, shape (pixels,), or None
        How many samples of each column are valid; None where all are.
    came : ndarray of int, shape (n,)
        How many samples of each frame came in valid.
    finite : ndarray of int, shape (n,)
        How many of them passed the range clips on raw values.
    low, high : ndarray of int, shape (pixels,)
        Samples rejected by those range clips; they count as invalid above.
    """

    values: Floats
    valid: Counts | None
    came: Counts
    finite: Counts
    low: Counts
    high: Counts

    @classmethod
    def of_valid(cls, values: Floats) -> Self:
        """A tile in which everything is valid so far."""
        n, pixels = values.shape
        came, finite = (np.full(n, pixels, np.intp) for _ in range(2))
        low, high = (np.zeros(pixels, np.intp) for _ in range(2))
        return cls(values, None, came, finite, low, high)

    def leave_out(self, f: int, invalid: NDArray[np.bool_]) -> None:
        """Make some samples of frame `f` invalid."""
        n, pixels = self.values.shape
        np.copyto(self.values[f], np.inf, where=invalid)
        self.finite[f] -= np.count_nonzero(invalid)
        self.valid = np.full(pixels, n, np.intp) if self.valid is None else self.valid
        self.valid -= invalid


def load(band: Sequence[Samples], where: Where, recipe: Recipe, values: Floats) -> Tile:
    """Decode the samples of a tile into `values`, shape (n, pixels)."""
    normalize = recipe.normalizes and recipe.clip_on == "normalized"
    ranges = recipe.raw_ranges if normalize else ()
    tile = Tile.of_valid(values)
    for f, (samples, row) in enumerate(zip(band, values, strict=True)):
        decode(samples, where, row)
        invalid = _union(_not_finite(row), *_flags(samples, where))
        if recipe.normalizes:
            invalid = _union(invalid, _overflowing(row, f, recipe))
        if invalid is not None:
            tile.came[f] -= np.count_nonzero(invalid)
        for clip in ranges:
            invalid = _reject_range(clip, row, invalid, tile.low, tile.high)
        if normalize:
            normalize_row(row, f, recipe)
        if invalid is not None:
            tile.leave_out(f, invalid)
    return tile


def decode(samples: Samples, where: Where, row: Floats) -> None:
    """The physical values of one frame's samples, masked ones too; -0.0 becomes +0.0."""
    data = samples.data[where.rows, where.cols]
    out = row.reshape(data.shape)
    own = working_dtype(samples.data.dtype)
    if samples.bscale != 1:
        data = np.multiply(data, samples.bscale, dtype=own)
    np.add(data, samples.bzero, out=out, dtype=own, casting="same_kind")


def normalize_row(row: Floats, f: int, recipe: Recipe) -> None:
    """``(d - zero) * scale`` in place, in the dtype of `row`; -0.0 becomes +0.0."""
    if recipe.zero is not None:
        np.subtract(row, row.dtype.type(recipe.zero[f]), out=row)
    if recipe.scale is not None:
        np.multiply(row, row.dtype.type(recipe.scale[f]), out=row)
        np.add(row, 0.0, out=row)


def _union(*flags: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Where any of the flags is set; None where none is anywhere."""
    result: NDArray[np.bool_] | None = None
    for some in flags:
        if some is not None and some.any():
            flat = some.reshape(-1)
            result = flat if result is None else result | flat
    return result


def _not_finite(row: Floats) -> NDArray[np.bool_] | None:
    """Which samples are not finite; None where all are."""
    # Two reductions in cache cost less than isfinite; NaN spreads through both.
    if np.isfinite(row.min()) and np.isfinite(row.max()):
        return None
    return ~np.isfinite(row)


def _overflowing(row: Floats, f: int, recipe: Recipe) -> NDArray[np.bool_] | None:
    """Which samples normalising makes infinite: they are invalid. None where it makes none."""
    ends = np.array([row.min(), row.max()])
    normalize_row(ends, f, recipe)
    if np.isfinite(ends).all():
        return None
    trial = row.copy()
    normalize_row(trial, f, recipe)
    return ~np.isfinite(trial)


def _flags(samples: Samples, where: Where) -> Iterator[NDArray[np.bool_]]:
    if samples.mask is not None:
        yield samples.mask[where.rows, where.cols]
    yield from _blank(samples, where)


def _blank(samples: Samples, where: Where) -> Iterator[NDArray[np.bool_]]:
    if samples.blank is not None and samples.data.dtype.kind in "iu":
        yield samples.data[where.rows, where.cols] == samples.blank


def _reject_range(
    clip: RangeClip, row: Floats, invalid: NDArray[np.bool_] | None, low: Counts, high: Counts
) -> NDArray[np.bool_] | None:
    """Count the samples out of range as low or high, and add them to the invalid ones."""
    for bound, tally, outside in ((clip.low, low, np.less), (clip.high, high, np.greater)):
        if bound is None:
            continue
        rejected = outside(row, np.float64(bound))
        if invalid is not None:
            rejected &= ~invalid
        if rejected.any():
            np.add(tally, rejected, out=tally)
            invalid = _union(invalid, rejected)
    return invalid


def gather(
    band: Sequence[Samples], where: Where, recipe: Recipe, index: Ranks, dtype: np.dtype[Any]
) -> Floats:
    """All samples of some columns of a tile, masked ones too, shape (n, m); blank as NaN."""
    values = np.empty((len(band), len(index)), dtype)
    row = np.empty(where.pixels, dtype)
    for f, samples in enumerate(band):
        decode(samples, where, row)
        for blank in _blank(samples, where):
            np.copyto(row, np.nan, where=blank.reshape(-1))
        if recipe.normalizes and recipe.clip_on == "normalized":
            normalize_row(row, f, recipe)
        row.take(index, out=values[f], mode="clip")
    return values
