"""The backends, which execute a recipe on bands of samples; `get` returns the one to use."""

import platform
from dataclasses import dataclass

from gpustack.backends.base import Backend
from gpustack.backends.cpu import CpuBackend, available_cores
from gpustack.backends.cuda import device
from gpustack.checks import word
from gpustack.errors import BackendError, InputError
from gpustack.logs import logger
from gpustack.plan import parse_memory

_log = logger(__name__)

NAMES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Report:
    """Whether a backend works on this machine, and a description of it or of what is missing."""

    name: str
    usable: bool
    detail: str


def report() -> list[Report]:
    """Report on all backends: whether each works on this machine, and if not, why."""
    cores = available_cores()
    cpu = Report("cpu", True, f"numpy, {CpuBackend().threads} threads on {cores} cores")
    problem = device.problem()
    if problem is not None:
        return [cpu, Report("cuda", False, problem)]
    return [cpu, Report("cuda", True, device.summary())]


def device_of(executor: Backend) -> str:
    """The hardware on which a backend computes, in words."""
    if executor.name == "cpu":
        return platform.machine() or "cpu"
    return device.summary()


def get(
    name: str = "auto",
    *,
    device_memory: float | str | None = None,
    resident: bool = False,
    threads: int | None = None,
) -> Backend:
    """Return the backend called `name`.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        ``"auto"`` is the fastest that works on this machine.
    device_memory : number of bytes, text, or None
        Limit on the memory taken on each CUDA device; see `CudaBackend`.
    resident : bool
        Whether the frames are cupy arrays, which only the cuda backend can process.
    threads : int or None
        Number of threads of the cpu backend; see `CpuBackend`.

    Raises
    ------
    InputError
        If there is no backend of that name, if it cannot process cupy arrays, or if `device_memory`
        is not a limit.
    BackendError
        If ``"cuda"`` is asked for, or needed for cupy arrays, and cannot work on this machine.
    """
    word("backend", name, NAMES)
    if device_memory is not None:
        parse_memory(device_memory, "device_memory")
    if resident and name == "cpu":
        raise InputError(
            "frames: backend 'cpu' needs numpy arrays, got cupy arrays; convert them with "
            "cupy.asnumpy, or use backend 'cuda'"
        )
    problem = None if name == "cpu" else device.problem()
    if resident and problem is not None:
        raise BackendError(
            f"frames: cupy arrays need backend 'cuda', which cannot be used on this machine: "
            f"{problem}; to use backend 'cpu', convert them with cupy.asnumpy"
        )
    if name == "cuda" and problem is not None:
        raise BackendError(f"backend 'cuda' cannot be used on this machine: {problem}")
    if name == "cpu" or problem is not None:
        if name == "auto":
            _log.debug("backend auto: cpu (%s)", problem)
        return CpuBackend(threads)
    if name == "auto":
        _log.debug("backend auto: cuda")
    from gpustack.backends.cuda.backend import CudaBackend  # slow to import, few need it

    return CudaBackend(device_memory)
