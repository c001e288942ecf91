"""The cuda backend on samples as they are, beside the engine and its frames."""

from dataclasses import dataclass

import numpy as np

from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.cuda.backend import CudaBackend

MEMORY = 512 << 20


class Cuda:
    """`CudaBackend` with the door of `CpuBackend.run`."""

    name = "cuda"

    def __init__(self):
        self._backend = CudaBackend()

    def run(self, band, recipe, out, dtype=None):
        """Run `recipe` on the samples of all frames and fill `out`."""
        if dtype is None:
            dtype = np.result_type(*(working_dtype(samples.data.dtype) for samples in band))
        self._backend.stream(BandSource(band, dtype), recipe, out, MEMORY)


@dataclass(frozen=True)
class BandSource:
    """Samples that are given as they are; see `gpustack.backends.base.Source`."""

    band: list
    dtype: np.dtype

    @property
    def n(self):
        """How many frames."""
        return len(self.band)

    @property
    def rows(self):
        """Of each frame."""
        return self.band[0].data.shape[0]

    @property
    def width(self):
        """Samples of a row."""
        return self.band[0].data.shape[1]

    @property
    def row_bytes(self):
        """Nothing has to be read."""
        return [0] * self.n

    @property
    def stored(self):
        """As they are."""
        return [samples.data.dtype for samples in self.band]

    @property
    def masked(self):
        """Whether there is a mask."""
        return [samples.mask is not None for samples in self.band]

    @property
    def weighted(self):
        """Whether each sample comes with a weight."""
        return self.band[0].weight is not None

    def read(self, f, start, stop, into=None):
        """Rows ``[start, stop)`` of frame `f`, as views."""
        samples = self.band[f]
        return Samples(
            samples.data[start:stop],
            None if samples.mask is None else samples.mask[start:stop],
            None if samples.weight is None else samples.weight[start:stop],
            samples.bscale,
            samples.bzero,
            samples.blank,
        )
