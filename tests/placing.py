"""Frames for the tests of alignment by whole pixels, and the expected places of their samples."""

from dataclasses import dataclass, field, replace

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from gpustack.backends.base import Samples, working_dtype


def laid(plane, offset, shape, outside):
    """An array of `shape` with the plane shifted by `offset`, and `outside` elsewhere."""
    whole = np.full(shape, outside, plane.dtype)
    for y, x in np.ndindex(plane.shape):
        there = y + offset[0], x + offset[1]
        if all(0 <= at < length for at, length in zip(there, shape, strict=True)):
            whole[there] = plane[y, x]
    return whole


def padded(samples, offset, shape):
    """Samples of one frame shifted by `offset`, masked elsewhere with a wild value below."""
    mask = np.zeros(samples.data.shape, bool) if samples.mask is None else samples.mask
    wild = samples.data.flat[0]
    changes = {
        name: laid(getattr(samples, name), offset, shape, np.nan)
        for name in ("weight", "variance")
        if getattr(samples, name) is not None
    }
    data, mask = laid(samples.data, offset, shape, wild), laid(mask, offset, shape, True)
    return replace(samples, data=data, mask=mask, **changes)


@dataclass(eq=False)
class Read:
    """A frame that is read like a file and records the rows that were requested."""

    samples: Samples
    bits: np.ndarray | None = None
    name: str = "read"
    unit = None
    wcs = None
    header: fits.Header = field(default_factory=fits.Header)
    rows: list = field(default_factory=list)

    @property
    def shape(self):
        return self.samples.data.shape

    @property
    def dtype(self):
        return working_dtype(self.stored)

    @property
    def stored(self):
        return self.samples.data.dtype

    @property
    def masked(self):
        return self.samples.mask is not None

    has_variance = property(lambda self: self.samples.variance is not None)
    flags_dtype = property(lambda self: None if self.bits is None else self.bits.dtype)
    held_bytes = 0
    row_bytes = property(lambda self: self.shape[1] * (self.stored.itemsize + self.masked))

    def read(self, start, stop, into=None):
        assert 0 <= start < stop <= self.shape[0]
        self.rows.append(("samples", start, stop))
        size = (stop - start) * self.row_bytes
        buffer = np.full(size, 99, np.uint8) if into is None else np.frombuffer(into, "u1", size)
        data = np.ndarray((stop - start, self.shape[1]), self.stored, buffer)
        data[...] = self.samples.data[start:stop]
        mask = self.samples.mask[start:stop].copy() if self.masked else None
        return replace(self.samples, data=data, mask=mask, weight=None, variance=None)

    def read_variance(self, start, stop):
        self.rows.append(("variance", start, stop))
        return self.samples.variance[start:stop].astype(float)

    def read_flags(self, start, stop):
        self.rows.append(("flags", start, stop))
        return self.bits[start:stop]

    def whole(self):
        raise NotImplementedError


def sky_wcs(crpix=(5, 4), crval=(150, 40), scale=1 / 3600, turned=0.0, frame="RA/DEC"):
    """A TAN projection with `scale` degrees per pixel, rotated by `turned` degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"] if frame == "GLON/GLAT" else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix, wcs.wcs.crval = crpix, crval
    angle = np.deg2rad(turned)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    wcs.wcs.cd = np.array(turn) @ np.diag([-scale, scale])
    wcs.wcs.set()
    return wcs


def write(path, data, wcs=None, **cards):
    """Write a FITS file with a unit, coordinates and cards; return its path."""
    header = fits.Header() if wcs is None else wcs.to_header()
    header.update({"BUNIT": "adu"} | cards)
    fits.writeto(path, data, header)
    return path


SHAPE = (8, 10)
#: The offsets (y, x) of five frames.
PLACES = [(0, 0), (2, -3), (-1, 4), (0, 1), (3, 3)]


def planes(n=5, shape=SHAPE, dtype="f4", seed=3):
    rng = np.random.default_rng(seed)
    return [rng.integers(900, 1100, shape).astype(dtype) for _ in range(n)]


def union(cube, places):
    """The cube of all frames on the union of their areas, NaN where a frame has no sample."""
    low = np.min(places, axis=0)
    shape = np.max([np.add(p, c.shape) for p, c in zip(places, cube, strict=True)], axis=0) - low
    laid_ = [
        laid(c.astype(float), np.subtract(p, low), tuple(shape), np.nan)
        for c, p in zip(cube, places, strict=True)
    ]
    return np.array(laid_)
