"""A minimal backend that runs recipes with the kernels that g++ built for the host."""

from dataclasses import replace

import numpy as np

import hostbuild
from gpustack.backends.base import working_dtype
from gpustack.backends.cuda import abi, clips

#: Samples between the end of a row and the next, so that the stride differs from the width.
PADDING = 3


class HostKernels:
    """Run recipes as `gpustack.backends.base.Backend` does, with one launch per band.

    Parameters
    ----------
    fixed : bool
        Build a library for every recipe, as for a device; slow.
    flags : sequence of str
        More flags of g++.
    streamed : bool
        Read samples from memory as if there were too many frames for registers.
    flat : bool
        Store rows without gaps, and pass addresses as arguments of the kernel.
    flush : bool
        Flush subnormals to zero in arithmetic, as in kernels that CuPy compiles.
    """

    name = "kernels"

    def __init__(self, fixed=False, flags=(), streamed=False, flat=False, flush=False):
        self._streamed, self._flat = streamed, flat
        self._how = {"fixed": fixed, "flags": flags, "flush": flush}

    def run(self, band, recipe, out, dtype=None):
        rows, width = band[0].data.shape
        if dtype is None:
            dtype = np.result_type(*(working_dtype(s.data.dtype) for s in band))
        band = alike(band, dtype)
        keep = []
        frames = frame_table(band, recipe, keep, 0 if self._flat else PADDING)
        clip_table = in_place(recipe, len(band))
        tallies = np.zeros((2, len(band)), np.uint64)
        defines = self._defines(band, recipe, out, dtype)
        launch = hostbuild.build(defines, **self._how)
        held = abi.held_frames(defines["N"], dtype.itemsize)
        planes = np.zeros((), abi.planes(held))
        if defines["FLAT"] and held:
            planes["data"], planes["mask"] = frames["data"], frames["mask"]
        args = (
            frames.ctypes.data,
            len(band),
            clip_table.ctypes.data,
            len(recipe.clips),
            len(recipe.raw_ranges),
            rows * width,
            max(width, 1),
            out_table(out, tallies),
            planes,
        )
        launch(7, 5, args)
        if out.valid is not None:
            out.valid += rows * width - tallies[0].astype(np.int64)
        if out.rejected is not None:
            out.rejected += tallies[1].astype(np.int64)

    def _defines(self, band, recipe, out, dtype):
        stored = band[0].data.dtype
        maps = [a.dtype for a in (out.data, out.uncertainty) if a is not None]
        spread = recipe.spread if out.uncertainty is not None else None
        n = abi.frames_macro(len(band), dtype.itemsize, clips.asks_for_ranks(recipe, spread))
        return {
            "N": 0 if self._streamed else n,
            "BLOCK": 4,
            "REAL": abi.STORED[f"f{dtype.itemsize}"],
            "STORED": abi.STORED[stored.str[1:]],
            "OUT": abi.STORED[f"f{(maps or [dtype])[0].itemsize}"],
            "SWAP": int(stored.byteorder == ">"),
            "SCALED": int(any(s.bscale != 1 or s.bzero != 0 for s in band)),
            "MASKED": int(any(s.mask is not None or s.blank is not None for s in band)),
            "NORMALIZE": 0 if not recipe.normalizes else 2 if recipe.clip_on == "raw" else 1,
            "CLIPPED": clips.clipped_macro(recipe),
            "REPLACES": int(recipe.replaces),
            "COMBINE": abi.COMBINE[recipe.method],
            "SPREAD": abi.SPREAD[spread],
            "WEIGHTED": 0 if recipe.weights is None else 2 if recipe.weights == "sample" else 1,
            "FLAT": int(self._flat),
            "LOOK": int(any(a is not None for a in (out.reasons, out.valid, out.rejected))),
        }


#: The ways in which a kernel accesses its samples: staged in short loops; the same with addresses
#: among its arguments; or read again from memory for every statistic.
KERNELS = {
    "staged": HostKernels(),
    "flat": HostKernels(flat=True),
    "streamed": HostKernels(streamed=True),
}
#: The same as on a device, where float32 arithmetic flushes subnormals to zero.
FLUSHING = {
    "staged": HostKernels(flush=True),
    "flat": HostKernels(flush=True, flat=True),
    "streamed": HostKernels(flush=True, streamed=True),
}


def alike(band, dtype):
    """The same samples in a single type that the kernels can read."""
    kinds = {samples.data.dtype for samples in band}
    if len(kinds) == 1 and kinds.pop().str[1:] in abi.STORED:
        return band
    return [_decoded(samples, dtype) for samples in band]


def _decoded(samples, dtype):
    own = working_dtype(samples.data.dtype)
    data = samples.data.astype(own) * own.type(samples.bscale) + own.type(samples.bzero)
    if samples.blank is not None:
        data = np.where(samples.data == samples.blank, np.nan, data)
    return replace(samples, data=data.astype(dtype), bscale=1.0, bzero=0.0, blank=None)


def frame_table(band, recipe, keep, padding):
    """The table of frames for a kernel; arrays that must stay alive are appended to `keep`."""
    table = np.zeros(len(band), abi.FRAME)
    for i, (row, samples) in enumerate(zip(table, band, strict=True)):
        row["data"], row["data_stride"] = _apart(samples.data, samples.data.dtype, keep, padding)
        if samples.mask is not None:
            row["mask"], row["mask_stride"] = _apart(samples.mask, np.uint8, keep, padding)
        if samples.weight is not None:
            row["weight"], row["weight_stride"] = _apart(samples.weight, np.float64, keep, padding)
        if recipe.needs_variance:
            given = samples.variance
            row["variance"], row["variance_stride"] = _apart(given, np.float64, keep, padding)
        row["bscale"], row["bzero"] = samples.bscale, samples.bzero
        row["zero"] = recipe.zero[i] if recipe.zero else 0
        row["scale"] = recipe.scale[i] if recipe.scale else 1
        row["weight_value"] = recipe.weights[i] if isinstance(recipe.weights, tuple) else 1
        if samples.blank is not None:
            row["blank"], row["has_blank"] = samples.blank, 1
    return table


def _apart(array, dtype, keep, padding):
    """The address and stride of a copy with `padding` samples between its rows."""
    rows, width = array.shape
    copy = np.empty((rows, width + padding), dtype)
    copy[:, :width] = array
    keep.append(copy)
    return copy.ctypes.data, copy.strides[0]


def in_place(asked, n):
    """The table of clips for `n` frames; addresses within it are valid where it is."""
    table = np.empty(clips.table_bytes(asked, n), np.uint8)
    table[:] = clips.table(asked, n, table.ctypes.data)
    return table


def out_table(out, tallies):
    """The table of the addresses of outputs for a kernel."""
    table = np.zeros((), abi.OUT)
    for name in ("data", "uncertainty", "mask", "count", "low", "high", "reasons"):
        array = getattr(out, name)
        if array is not None:
            assert array.flags.c_contiguous
            table[name] = array.ctypes.data
    table["invalid"] = tallies[0].ctypes.data if out.valid is not None else 0
    table["rejected"] = tallies[1].ctypes.data if out.rejected is not None else 0
    return table
