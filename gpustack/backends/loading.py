"""Loading a tile from a band: samples are decoded and normalised, invalid ones set to +inf."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.backends.columns import Floats, Ranks
from gpustack.backends.noise import ccd_noise
from gpustack.backends.stored import Stored, decode_stored
from gpustack.backends.tiles import OptionalFlags, SampleFlags, Tile, TilePixels, union
from gpustack.reasons import Reason
from gpustack.recipe import Recipe


def load(
    band: Sequence[Samples],
    where: TilePixels,
    recipe: Recipe,
    values: Floats,
    *,
    views: Sequence[Floats | None] | None = None,
    whole: Samples | None = None,
    trust: bool = False,
) -> Tile:
    """Load the samples of a tile as clips see them.

    Samples are decoded; invalid ones become +inf. If clips see normalised values, the range clips
    on raw values are applied, samples out of range become +inf, and the others are normalised.

    Parameters
    ----------
    band : sequence of n Samples
    where : TilePixels
    recipe : Recipe
    values : ndarray, shape (n, pixels)
        Memory for the samples. It is not used for frames that need no decoding, whose samples
        are views.
    views : sequence of n ndarray or None, or None
        Views of the frames that need no decoding; see `view_if_decoded`.
    whole : Samples or None
        The samples of all frames as one array; see `samples_as_one`.
    trust : bool
        If True, samples are not checked for NaN and inf where a check would have to read them
        once more.
    """
    tile = Tile.all_valid(values)
    if whole is not None and _load_whole(tile, whole, where, values, trust):
        return tile
    rows = list(values)
    for f, (samples, row) in enumerate(zip(band, values, strict=True)):
        frame = views[f] if views else None
        if frame is not None:
            here = frame[where.flat]
            invalid = None if trust else _not_finite(here)
            if invalid is None:
                rows[f], tile.rows = here, rows
                tile.trusted |= trust
            else:
                np.copyto(row, here)
                np.copyto(row, np.inf, where=invalid)
                tile.count_out(f, invalid, None, None)
        elif _has_nothing(samples):
            row.fill(np.inf)
            tile.count_out_frame(f)
        else:
            decode(samples, where, row)
            tile.count_out(f, *prepare_for_clips(samples, where, recipe, f, row))
    return tile


def _load_whole(tile: Tile, whole: Samples, where: TilePixels, values: Floats, trust: bool) -> bool:
    """Load all frames as one, if all samples are valid or trusted to be; return whether."""
    whole_rows, stored = view_if_decoded(whole, values.dtype), None
    rows = values if whole_rows is None else whole_rows[:, where.flat]
    if whole_rows is None:
        flat = whole.data[:, where.rows, where.cols].reshape(len(values), -1)
        stored = Stored(whole, flat, values)
    sure = always_finite(whole)
    if not (sure or trust):
        if stored is not None:
            stored.fill()
            stored = None
        if not all_finite(rows):
            return False
    tile.rows, tile.stored, tile.trusted = rows, stored, trust and not sure
    return True


def _has_nothing(samples: Samples) -> bool:
    """Whether a single NaN stands for all samples, as the frame does not reach the band.

    In a mosaic this holds for most frames; looking for NaN in each takes longer than combining
    the others.
    """
    data = samples.data
    return data.dtype.kind == "f" and not any(data.strides) and bool(np.isnan(data[:1, :1]).all())


def view_if_decoded(samples: Samples, dtype: np.dtype[Any]) -> Floats | None:
    """Return a read-only view of samples that need no decoding and are contiguous, else None.

    Shape (..., pixels), of one frame or of all frames as one.
    """
    if samples.mask is not None or samples.data.dtype != dtype:
        return None
    if (samples.bscale, samples.bzero) != (1, 0):
        return None
    data: Floats = samples.data
    if not data[(0,) * (data.ndim - 2)].flags.c_contiguous:
        return None
    flat = data.reshape(*data.shape[:-2], -1)
    flat.flags.writeable = False
    return flat


def load_frame(
    samples: Samples, where: TilePixels, recipe: Recipe, f: int, row: Floats
) -> SampleFlags:
    """Load the samples of frame `f` alone into `row`, as `load` does; return their flags."""
    decode(samples, where, row)
    return prepare_for_clips(samples, where, recipe, f, row)


def prepare_for_clips(
    samples: Samples, where: TilePixels, recipe: Recipe, f: int, row: Floats
) -> SampleFlags:
    """Turn decoded samples of frame `f` into what clips see, in place.

    Returns which samples are invalid, and which valid ones are below and above a range.
    """
    invalid, below, above = union(*_flags(samples, where)), None, None
    if recipe.sees_normalized:
        below, above = _out_of_range(row, recipe, invalid)
        normalize_row(row, f, recipe)  # what is not finite stays so
    if recipe.normalizes or not always_finite(samples):
        invalid = union(invalid, _not_finite(row))
    if recipe.normalizes_late:
        invalid = union(invalid, _overflowing(row, f, recipe))
    if invalid is not None:
        below, above = (None if side is None else side & ~invalid for side in (below, above))
    missing = union(invalid, below, above)
    if missing is not None:
        np.copyto(row, np.inf, where=missing)
    return invalid, below, above


def always_finite(samples: Samples) -> bool:
    """Whether no stored value can decode to NaN or infinity."""
    return samples.data.dtype.kind in "iu" and samples.bscale == 1 and abs(samples.bzero) < 2**64


def reasons(
    samples: Samples,
    where: TilePixels,
    recipe: Recipe,
    row: Floats,
    flags: SampleFlags,
    outside: Ranks,
) -> NDArray[np.uint8]:
    """Return why samples of a frame do not survive, as values of `Reason`.

    `row` contains the samples as clips see them, and `outside` the indices of those that do not
    survive. All others get 0.
    """
    result = np.zeros(where.pixels, np.uint8)
    if not len(outside):
        return result
    invalid, *out_of_range = flags
    if not recipe.sees_normalized:  # then range clips are applied with the others, not in `load`
        out_of_range[:] = _out_of_range(row, recipe, invalid)
    masked = None if samples.mask is None else samples.mask[where.rows, where.cols]
    why = np.full(where.pixels, Reason.CLIP, np.uint8)
    for found, reason in (
        (union(*out_of_range), Reason.RANGE),
        (invalid, Reason.NO_VALUE),
        (union(masked), Reason.MASKED),
    ):
        if found is not None:
            np.copyto(why, np.uint8(reason), where=found)
    result[outside] = why[outside]
    return result


def decode(samples: Samples, where: TilePixels, row: Floats) -> None:
    """Decode the samples of one frame, masked ones too, into `row`."""
    data = samples.data[where.rows, where.cols]
    decode_stored(data, samples, row.reshape(data.shape))


def normalize_row(row: Floats, f: int, recipe: Recipe) -> None:
    """Compute ``(d - zero) * scale`` in place, rounded once from float64; -0.0 becomes +0.0."""
    exact = row.astype(np.float64)
    if recipe.zero is not None:
        np.subtract(exact, recipe.zero[f], out=exact)
    if recipe.scale is not None:
        np.multiply(exact, recipe.scale[f], out=exact)
    np.add(exact, 0.0, out=row, casting="same_kind")


def model_row(row: Floats, f: int, recipe: Recipe) -> None:
    """Replace raw samples of frame `f` by their noise in the recipe's noise model, in place."""
    noise = ccd_noise(recipe.combine, row.astype(np.float64))  # type: ignore[arg-type]
    factor = 1.0 if recipe.scale is None else abs(recipe.scale[f])
    np.multiply(noise, factor, out=row, casting="same_kind")


def all_finite(values: Floats) -> bool:
    """Whether all values are finite; min and max propagate NaN and take less time than isfinite."""
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))


def _not_finite(row: Floats) -> OptionalFlags:
    """Which samples are NaN or infinite; None if none is."""
    finite = np.isfinite(row)
    return None if finite.all() else np.logical_not(finite, out=finite)


def _overflowing(row: Floats, f: int, recipe: Recipe) -> OptionalFlags:
    """Which samples are not finite once they are normalised; None if all are."""
    ends = np.array([row.min(), row.max()])  # NaN where any is
    normalize_row(ends, f, recipe)
    if np.isfinite(ends).all():
        return None
    trial = row.copy()
    normalize_row(trial, f, recipe)
    return _not_finite(trial)


def _flags(samples: Samples, where: TilePixels) -> Iterator[NDArray[np.bool_]]:
    if samples.mask is not None:
        yield samples.mask[where.rows, where.cols]
    yield from _blank(samples, where)


def _blank(samples: Samples, where: TilePixels) -> Iterator[NDArray[np.bool_]]:
    if samples.blank is not None and samples.data.dtype.kind in "iu":
        yield samples.data[where.rows, where.cols] == samples.blank


def _out_of_range(
    row: Floats, recipe: Recipe, invalid: OptionalFlags
) -> tuple[OptionalFlags, OptionalFlags]:
    """Which valid samples are below and above the range clips on raw values."""
    below: OptionalFlags = None
    above: OptionalFlags = None
    valid = np.ones(len(row), bool) if invalid is None else ~invalid
    for clip in recipe.raw_ranges:
        if clip.low is not None:
            rejected = (row < np.float64(clip.low)) & valid
            below, valid = union(below, rejected), valid & ~rejected
        if clip.high is not None:
            rejected = (row > np.float64(clip.high)) & valid
            above, valid = union(above, rejected), valid & ~rejected
    return below, above


def pick_samples(samples: Samples, where: TilePixels, index: Ranks) -> Samples:
    """Copy some samples of a frame in a tile, so that only these are decoded.

    Parameters
    ----------
    samples : Samples
        The samples of the frame in a band.
    where : TilePixels
        The tile.
    index : ndarray of int, shape (m,)
        Which pixels of the tile.

    Returns
    -------
    Samples
        Data and mask of shape (1, m), for the tile that `row_tile` returns; no weight, no
        variance.
    """

    def picked(array: NDArray[Any] | None) -> Any:
        if array is None:
            return None
        return array[where.rows, where.cols].reshape(1, -1).take(index, axis=1, mode="clip")

    data, mask = picked(samples.data), picked(samples.mask)
    return replace(samples, data=data, mask=mask, weight=None, variance=None)


def row_tile(pixels: int) -> TilePixels:
    """Return the tile that `pixels` samples of `pick_samples` form."""
    return TilePixels(slice(0, 1), slice(0, pixels), slice(0, pixels))


def gather(
    band: Sequence[Samples], where: TilePixels, recipe: Recipe, index: Ranks, dtype: np.dtype[Any]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return all samples of some columns of a tile, shape (n, m), and which of them are valid.

    Masked samples have the values under the mask; blank ones are NaN.
    """
    values, tile = np.empty((len(band), len(index)), dtype), row_tile(len(index))
    valid, seen = np.empty(values.shape, bool), np.empty(len(index), dtype)
    for f, (samples, row) in enumerate(zip(band, values, strict=True)):
        some = pick_samples(samples, where, index)
        decode(some, tile, row)
        for blank in _blank(some, tile):
            np.copyto(row, np.nan, where=blank.reshape(-1))
        if recipe.sees_normalized:
            normalize_row(row, f, recipe)
        load_frame(some, tile, recipe, f, seen)
        np.isfinite(seen, out=valid[f])
    return values, valid
