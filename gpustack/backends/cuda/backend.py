"""The CUDA backend: its door."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpustack.backends.base import Outputs, Progress, Samples, Source, working_dtype
from gpustack.backends.cuda import device
from gpustack.backends.cuda.launch import Job, Kernels, common_dtype
from gpustack.backends.cuda.pipeline import Pipeline
from gpustack.backends.cuda.resident import run_resident
from gpustack.plan import DEFAULT_MEMORY, parse_memory
from gpustack.recipe import Recipe

_log = logging.getLogger(__name__)

#: The environment variable that limits the memory that is taken on each device.
LIMIT_VARIABLE = "GPUSTACK_DEVICE_MEMORY"

#: Kernels that were compiled, for all backends of this process.
_KERNELS = Kernels()


@dataclass(frozen=True)
class BandSource:
    """Samples that are given as they are; see `gpustack.backends.base.Source`."""

    band: Sequence[Samples]
    dtype: np.dtype[Any]

    @property
    def n(self) -> int:
        """How many frames."""
        return len(self.band)

    @property
    def rows(self) -> int:
        """Of each frame."""
        return int(self.band[0].data.shape[0])

    @property
    def width(self) -> int:
        """Samples of a row."""
        return int(self.band[0].data.shape[1])

    @property
    def row_bytes(self) -> list[int]:
        """Nothing has to be read."""
        return [0] * self.n

    @property
    def stored(self) -> list[np.dtype[Any]]:
        """As they are."""
        return [samples.data.dtype for samples in self.band]

    @property
    def masked(self) -> list[bool]:
        """Whether there is a mask."""
        return [samples.mask is not None for samples in self.band]

    @property
    def weighted(self) -> bool:
        """Whether each sample comes with a weight."""
        return self.band[0].weight is not None

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
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


class CudaBackend:
    """Runs recipes on CUDA devices; see `gpustack.backends.base.Backend`.

    Samples of the host go up in bands, to all devices that are visible (the environment
    variable CUDA_VISIBLE_DEVICES says which). Samples that are cupy arrays stay where they
    are; their results are cupy arrays too, made on the caller's current stream.

    Parameters
    ----------
    device_memory : number of bytes, text such as ``"8GB"``, or None
        That may be taken on each device; None is the environment variable
        GPUSTACK_DEVICE_MEMORY, and without it `pipeline.SHARE` of what is free.

    Raises
    ------
    BackendError
        Where there is no usable device; says what is missing.
    """

    name = "cuda"

    def __init__(self, device_memory: float | str | None = None) -> None:
        able = device.able_devices()
        for other in device.devices():
            if other not in able:
                _log.info("backend cuda: %s is too old and left out", other)
        self._devices = [one.id for one in able]
        given = os.environ.get(LIMIT_VARIABLE) if device_memory is None else device_memory
        self._limit = parse_memory(given) if given else None

    def run(
        self,
        band: Sequence[Samples],
        recipe: Recipe,
        out: Outputs,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        """Run `recipe` on the samples of all frames and fill `out`; see `Backend`."""
        if dtype is None:
            dtype = np.result_type(*(working_dtype(samples.data.dtype) for samples in band))
        if device.is_array(band[0].data):
            if band[0].data.size:
                run_resident(band, recipe, out, dtype, _KERNELS, self._limit)
            return
        source = BandSource(band, dtype)
        row = sum(source.width * (kind.itemsize + 9) for kind in source.stored)
        self.stream(source, recipe, out, max(DEFAULT_MEMORY, 4 * row))

    def stream(
        self,
        source: Source,
        recipe: Recipe,
        out: Outputs,
        memory: int,
        progress: Progress | None = None,
    ) -> None:
        """Run `recipe` on a stack, several bands at a time; see `Backend`."""
        if source.rows == 0 or source.width == 0:
            return
        if device.is_array(out.data):
            whole = [source.read(f, 0, source.rows) for f in range(source.n)]
            self.run(whole, recipe, out, source.dtype)
            return
        stored = common_dtype(source.stored, source.dtype)
        job = Job(recipe, source.n, source.dtype, stored, out)
        Pipeline(source, job, out, _KERNELS, memory, progress).run(self._devices, self._limit)
