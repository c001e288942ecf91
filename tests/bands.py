"""Run the backends directly on arrays of samples, without the engine and frames."""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.cpu import BufferPool, CpuBackend, work
from gpustack.backends.cuda.backend import CudaBackend
from gpustack.backends.tile_job import TileJob
from gpustack.backends.tile_plan import TileCost
from stacks import outputs, rows_of, sky
from tolerances import assert_same_bits

MEMORY = 512 << 20
#: Frames, rows and columns of the stacks that are cut into bands.
N, ROWS, WIDTH = 6, 23, 40


def widest(band):
    """The dtype in which samples of all frames are compared and sorted."""
    return np.result_type(*(working_dtype(samples.data.dtype) for samples in band))


class Cpu(CpuBackend):
    """`CpuBackend` on samples in memory, with all tiles on the calling thread."""

    def run(self, band, recipe, out, dtype=None):
        """Run `recipe` on the samples of all frames and fill `out`."""
        n, dtype = len(band), np.dtype(dtype or widest(band))
        most = self.tile_pixels or TileCost.of(n, dtype, recipe).full_tile
        work(TileJob(band, recipe, out, dtype), BufferPool(n, min(most, band[0].data.size), dtype))


class Cuda:
    """`CudaBackend` with the interface of `Cpu`."""

    name = "cuda"

    def __init__(self):
        self._backend = CudaBackend()

    def run(self, band, recipe, out, dtype=None):
        """Run `recipe` on the samples of all frames and fill `out`."""
        self.stream(BandSource(band, dtype or widest(band)), recipe, out, MEMORY)

    def stream(self, *arguments):
        """As `CudaBackend.stream`."""
        self._backend.stream(*arguments)


@dataclass(frozen=True)
class BandSource:
    """A source whose samples are in memory; see `gpustack.maps.base.Stack`.

    `bits` are the integer masks of the frames, None for a frame without one.
    """

    band: list
    dtype: np.dtype
    bits: list | None = None

    @property
    def n(self):
        """The number of frames."""
        return len(self.band)

    @property
    def rows(self):
        """The number of rows of each frame."""
        return self.band[0].data.shape[0]

    @property
    def width(self):
        """The samples of a row."""
        return self.band[0].data.shape[1]

    @property
    def height(self):
        """As `rows`: there is one plane."""
        return self.rows

    def empty(self, shape, dtype):
        """Return an array filled with a value that must be overwritten."""
        return np.full(shape, 77, dtype)

    def on_device(self):
        """Return a context for the host, which does nothing."""
        return nullcontext()

    def unweighted(self):
        """Return the same source without weights."""
        return replace(self, band=[replace(samples, weight=None) for samples in self.band])

    @property
    def row_bytes(self):
        """Zero: no buffers are needed, since samples are in memory."""
        return [0] * self.n

    @property
    def temporary_bytes(self):
        """Zero: `read` allocates nothing."""
        return 0

    @property
    def held_bytes(self):
        """Zero: no frame holds memory."""
        return 0

    @property
    def stored(self):
        """The dtype of each frame."""
        return [samples.data.dtype for samples in self.band]

    @property
    def masked(self):
        """Whether each frame has a mask."""
        return [samples.mask is not None for samples in self.band]

    @property
    def weighted(self):
        """Whether every sample has a weight."""
        return self.band[0].weight is not None

    @property
    def variance(self):
        """Whether every sample has a variance."""
        return self.band[0].variance is not None

    def read(self, f, start, stop, into=None):
        """Return rows ``[start, stop)`` of frame `f`, as views."""
        return rows_of([self.band[f]], start, stop)[0]

    def read_variance(self, f, start, stop):
        """Return the variance of each sample of these rows."""
        return self.band[f].variance[start:stop].astype(np.float64)

    @property
    def flags(self):
        """The dtype of each frame's bits, in native byte order; None for a frame without."""
        return [None if bits is None else bits.dtype.newbyteorder("=") for bits in self.bits]

    def read_flags(self, f, start, stop):
        """Return the bits of these rows."""
        return self.bits[f][start:stop]


def frames(weights=False):
    """Masked samples of `N` frames, with a weight each on request."""
    data, masks = sky(N, (ROWS, WIDTH)).astype("f4"), sky(N, (ROWS, WIDTH), 1) > 110
    weight = sky(N, (ROWS, WIDTH), 2) if weights else [None] * N
    return [Samples(*parts) for parts in zip(data, masks, weight, strict=True)]


class Files(BandSource):
    """A source whose samples are read into the backend's buffers, as from files.

    `before` is called with the frame and the first row before each read.
    """

    before = staticmethod(lambda f, start: None)

    @property
    def row_bytes(self):
        return [self.width * dtype.itemsize for dtype in self.stored]

    def read(self, f, start, stop, into=None):
        self.before(f, start)
        samples = super().read(f, start, stop)
        into = np.empty(samples.data.nbytes, np.uint8) if into is None else into
        rows = np.frombuffer(into, np.uint8, samples.data.nbytes).view(samples.data.dtype)
        rows = rows.reshape(samples.data.shape)
        rows[...] = samples.data
        return replace(samples, data=rows)


def stream(band, asked, *, memory=1 << 24, kind=Files, before=None, progress=None, **limits):
    """Run `CudaBackend.stream`; return the outputs and the numbers of rows reported as done."""
    given = kind(band, np.dtype(np.float32))
    if before is not None:
        object.__setattr__(given, "before", before)
    out, told = outputs(band, asked), []
    CudaBackend(**limits).stream(
        given, asked, out, memory, progress or (lambda done, rows: told.append((done, rows)))
    )
    assert progress or told[-1] == (ROWS, ROWS)
    assert told == sorted(told)
    return out, [done for done, _ in told]


def rows_launched(world):
    return sum(pixels for _, pixels in world.launched) // WIDTH


def same(one, other):
    assert_same_bits(one, other)
    np.testing.assert_array_equal(one.valid, other.valid)
    np.testing.assert_array_equal(one.rejected, other.rejected)
