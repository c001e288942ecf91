"""`CudaBackend`, the entry point of the CUDA backend."""

import os

from gpustack.backends.base import Outputs, Progress, Source
from gpustack.backends.cuda import device
from gpustack.backends.cuda.launch import Job, Kernels, common_dtype
from gpustack.backends.cuda.pipeline import Pipeline
from gpustack.backends.cuda.resident import is_resident, run_resident
from gpustack.backends.cuda.work import Work
from gpustack.logs import logger
from gpustack.plan import parse_memory
from gpustack.recipe import Recipe

_log = logger(__name__)

#: The environment variable that limits the memory used on each device.
LIMIT_VARIABLE = "GPUSTACK_DEVICE_MEMORY"

#: Compiled kernels, shared by all backends of this process.
_KERNELS = Kernels()


class CudaBackend:
    """Runs recipes on CUDA devices; see `gpustack.backends.base.Backend`.

    Samples on the host are uploaded in bands to all visible devices (the environment variable
    CUDA_VISIBLE_DEVICES selects them). Samples in cupy arrays stay where they are; their results
    are cupy arrays too, computed on the caller's current stream.

    Parameters
    ----------
    device_memory : number of bytes, text such as ``"8GB"``, or None
        The memory to use on each device. None takes it from the environment variable
        GPUSTACK_DEVICE_MEMORY. Where that is not set either, bands from the host may use
        `worker.SHARE` of the free memory, and samples on a device have no limit.

    Raises
    ------
    BackendError
        Where there is no usable device; the message says what is missing.
    """

    name = "cuda"

    def __init__(self, device_memory: float | str | None = None) -> None:
        able = device.able_devices()
        for other in device.devices():
            if other not in able:
                _log.info(
                    "backend cuda: %s is not used: compute capability 7.5 or more is needed", other
                )
        self._devices = [one.id for one in able]
        given, name = device_memory, "device_memory"
        if given is None:
            given, name = os.environ.get(LIMIT_VARIABLE), LIMIT_VARIABLE
        self._limit = parse_memory(given, name) if given else None

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
        if is_resident(out):
            whole = [source.read(f, 0, source.rows) for f in range(source.n)]
            run_resident(whole, recipe, out, source.dtype, _KERNELS, self._limit)
            return
        stored = common_dtype(source.stored, source.dtype)
        job = Job(recipe, source.n, source.dtype, stored, out)
        work = Work(source, job, out, _KERNELS)
        Pipeline(work, memory, progress).run(self._devices, self._limit)
