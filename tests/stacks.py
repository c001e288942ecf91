"""Stacks of many types, memory layouts and extreme values, with a sky of 100 where possible."""

from dataclasses import fields, replace
from functools import cache

import numpy as np

from gpustack.backends.base import Outputs, Samples, working_dtype
from gpustack.clips import VarianceClip

ROWS, WIDTH = 5, 7


def sky(n, shape=(ROWS, WIDTH), seed=0):
    """Noisy frames with cosmic rays and cold pixels, float64, shape (n, rows, width)."""
    rng = np.random.default_rng([seed, n])
    data = rng.normal(100, 8, (n, *shape))
    data[rng.random(data.shape) < 0.06] += 90
    data[rng.random(data.shape) < 0.04] -= 60
    return data


def some(n, shape=(ROWS, WIDTH), share=0.2):
    """Masks of a fraction of the samples, and of all samples of the first pixel."""
    mask = np.random.default_rng([n, 7]).random((n, *shape)) < share
    mask[:, 0, 0] = True
    return mask


def plain(data, masks=None, **decoding):
    """The frames of `data`, shape (n, rows, width), as Samples."""
    masks = [None] * len(data) if masks is None else masks
    return [Samples(frame, mask, **decoding) for frame, mask in zip(data, masks, strict=True)]


def _as(dtype):
    return lambda n: plain(sky(n).round().astype(dtype))


def _floats(dtype):
    return lambda n: plain(sky(n).astype(dtype), some(n))


def _layout(view, shape):
    """Frames that are views of larger arrays; the masks are such views too."""

    def make(n):
        masks = [view(mask) for mask in some(n, shape)]
        return plain([view(frame) for frame in sky(n, shape).astype("f4")], masks)

    return make


def _read_only(n):
    data, masks = sky(n).astype("f4"), some(n)
    data.setflags(write=False)
    masks.setflags(write=False)
    return plain(data, masks)


def _fits_uint16(n):
    """Unsigned 16-bit integers as a FITS file stores them, with blank samples."""
    data = (sky(n).round() - 32768).astype(">i2")
    data[some(n)] = -32768
    return plain(data, bzero=32768.0, blank=-32768)


def _unaligned(n):
    raw = np.zeros(n * ROWS * WIDTH * 4 + 1, np.uint8)
    data = raw[1:].view(">f4").reshape(n, ROWS, WIDTH)
    data[...] = sky(n)
    return plain(data)


def _with(values, share=0.3, dtype="f4"):
    """Sky in which a fraction of the samples is replaced by one of `values`."""

    def make(n):
        rng = np.random.default_rng([n, 3])
        data = sky(n).astype(dtype)
        hit = rng.random(data.shape) < share
        data[hit] = rng.choice(np.array(values, dtype), hit.sum())
        return plain(data)

    return make


def _mixed_masks(n):
    """One frame entirely masked, some without a mask, and wild values under the masks."""
    data, masks = sky(n).astype("f4"), some(n)
    data[masks] = np.random.default_rng(n).choice([np.nan, -np.inf, 1e36, 0, 100], masks.sum())
    masks[0] = True
    return plain(data, [None if i % 3 == 1 else mask for i, mask in enumerate(masks)])


def _mixed_types(n):
    """Frames of different types."""
    kinds = ("u2", ">i2", "f4", "u1", ">f4")
    return plain([frame.astype(kinds[i % 5]) for i, frame in enumerate(sky(n))])


def _wide_and_narrow(n):
    data = [frame.astype(("f4", "f8", "i4")[i % 3]) for i, frame in enumerate(sky(n))]
    return plain(data, some(n))


def _powers(low, high, dtype):
    """Values of either sign, uniform in the logarithm from ``10**low`` to ``10**high``."""

    def make(n):
        rng = np.random.default_rng([n, 5])
        shape = (n, ROWS, WIDTH)
        values = 10 ** rng.uniform(low, high, shape) * rng.choice([-1, 1], shape)
        return plain(values.astype(dtype))

    return make


#: Name -> function that makes the samples of `n` frames.
STACKS = {
    "c": lambda n: plain(sky(n).astype("f4")),
    "masked": _floats("f4"),
    "odd": _layout(lambda a: a[1:, :-2], (6, 9)),
    "strided": _layout(lambda a: a[::2, ::3], (9, 20)),
    "reversed": _layout(lambda a: a[::-1, ::-1], (5, 7)),
    "transposed": _layout(lambda a: a.T, (7, 5)),
    "one-pixel": _layout(lambda a: a, (1, 1)),
    "one-row": _layout(lambda a: a, (1, 33)),
    "one-column": _layout(lambda a: a, (33, 1)),
    "broadcast": lambda n: plain([np.broadcast_to(f[0], (5, 7)) for f in sky(n).astype("f4")]),
    "read-only": _read_only,
    "unaligned": _unaligned,
    "big-endian-f4": _floats(">f4"),
    "big-endian-f8": _floats(">f8"),
    "big-endian-i4": _as(">i4"),
    "f2": _floats("f2"),
    "f8": _floats("f8"),
    "u1": _as("u1"),
    "i2": _as("i2"),
    "u2": _as("u2"),
    "i4": _as("i4"),
    "u4": _as("u4"),
    "i8": _as("i8"),
    "fits-uint16": _fits_uint16,
    "fits-scaled": lambda n: plain((sky(n) * 37).astype(">i2"), bscale=0.027, bzero=0.1),
    "fits-int32": lambda n: plain((sky(n) * 1000).astype(">i4"), bscale=0.001, bzero=2.0),
    "mixed-masks": _mixed_masks,
    "mixed-types": _mixed_types,
    "wide-and-narrow": _wide_and_narrow,
    "nan": _with([np.nan]),
    "infinite": _with([np.nan, np.inf, -np.inf]),
    "zeros": _with([0.0, -0.0], share=0.7),
    "negative": lambda n: plain((sky(n) - 200).astype("f4")),
    "subnormal": _powers(-41, -38.5, "f4"),
    "subnormal-f8": _powers(-320, -309, "f8"),
    "huge-range": _powers(-30, 30, "f4"),
    "huge-range-f8": _powers(-140, 140, "f8"),
    "high-sky": lambda n: plain((sky(n) * 4 + 2e4).astype("f4")),
    "high-sky-f8": lambda n: plain(sky(n) * 0.1 + 1e9),
    "ties": lambda n: plain((sky(n) / 8).round().astype("f4") * 8, some(n)),
    "constant": lambda n: plain(np.full((n, ROWS, WIDTH), 0.1, "f8"), some(n)),
    "constant-f4": lambda n: plain(np.full((n, ROWS, WIDTH), 100.1, "f4"), some(n)),
}
#: Stacks that differ in values or types rather than in memory layout.
VALUES = (
    "masked",
    "fits-uint16",
    "mixed-masks",
    "mixed-types",
    "wide-and-narrow",
    "infinite",
    "zeros",
    "negative",
    "subnormal",
    "huge-range-f8",
    "high-sky",
    "ties",
    "constant",
)
#: Stacks with samples exactly on bounds, in any number of pixels.
TIED = ("ties",)


def stack(name, n, recipe):
    """The named samples of `n` frames, with the variances and weights that `recipe` needs."""
    variances = any(isinstance(clip, VarianceClip) for clip in recipe.clips)
    return list(_made(name, n, variances, recipe.weights == "sample"))


@cache
def _made(name, n, variances, weights):
    """The samples of a stack, read-only because many tests share them."""
    band = STACKS[name](n)
    if variances:
        band = with_variances(band)
    if weights:
        band = with_weights(band)
    for samples in band:
        for array in (getattr(samples, field.name) for field in fields(samples)):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
    return band


def with_variances(band):
    """The same samples with a variance each, some of them NaN, infinite, zero or negative."""
    rng = np.random.default_rng([len(band), 13])
    shape = band[0].data.shape
    variances = [rng.uniform(20, 130, shape).astype(("f8", ">f4")[i % 2]) for i in range(len(band))]
    for variance in variances:
        odd = rng.random(shape) < 0.1
        variance[odd] = rng.choice([np.nan, np.inf, 0, -1], odd.sum())
    return [replace(samples, variance=v) for samples, v in zip(band, variances, strict=True)]


def with_weights(band):
    """The same samples with a weight each; float weights of masked samples are NaN."""
    rng = np.random.default_rng([len(band), 11])
    weighted = []
    for i, samples in enumerate(band):
        weight = rng.integers(0, 5, samples.data.shape).astype(("f4", "f8", "u1")[i % 3])
        if samples.mask is not None and weight.dtype.kind == "f":
            weight[samples.mask] = np.nan
        weighted.append(replace(samples, weight=weight))
    return weighted


def tall(weights=False):
    """Masked samples of many rows."""
    data, masks = sky(5, (31, 11)).astype("f4"), some(5, (31, 11), 0.1)
    band = plain(data, masks)
    return with_weights(band) if weights else band


def rows_of(band, start, stop):
    """Rows [start, stop) of the same samples."""
    rows = slice(start, stop)
    return [
        replace(
            samples,
            data=samples.data[rows],
            mask=None if samples.mask is None else samples.mask[rows],
            weight=None if samples.weight is None else samples.weight[rows],
            variance=None if samples.variance is None else samples.variance[rows],
        )
        for samples in band
    ]


def outputs(band, recipe):
    """Outputs for all maps, filled with values that a backend must overwrite."""
    n, shape = len(band), band[0].data.shape
    result = np.dtype(recipe.dtype or np.result_type(*(working_dtype(s.data.dtype) for s in band)))
    return Outputs(
        data=np.full(shape, -77, result),
        uncertainty=np.full(shape, -77, result) if recipe.spread else None,
        mask=np.ones(shape, bool),
        count=np.full(shape, 99, np.int32),
        low=np.full(shape, 99, np.int32),
        high=np.full(shape, 99, np.int32),
        valid=np.zeros(n, np.int64),
        rejected=np.zeros(n, np.int64),
        reasons=np.full((n, *shape), 77, np.uint8),
    )


def run(backend, band, recipe):
    """Run a recipe on these samples and return the Outputs."""
    out = outputs(band, recipe)
    backend.run(band, recipe, out)
    return out
