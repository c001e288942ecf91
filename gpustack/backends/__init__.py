"""The backends: who executes a recipe on a band of samples. `get` is their only door."""

import platform
from dataclasses import dataclass

from gpustack.backends.base import Backend
from gpustack.backends.cpu import CpuBackend, available_cores
from gpustack.backends.cuda import device
from gpustack.errors import BackendError, InputError
from gpustack.logs import logger
from gpustack.plan import parse_memory

_log = logger(__name__)

NAMES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Report:
    """Whether one backend works here, and what it is or what it lacks."""

    name: str
    usable: bool
    detail: str


def report() -> list[Report]:
    """All backends, whether they work here, and where one does not, why."""
    cores = available_cores()
    cpu = Report("cpu", True, f"numpy, {CpuBackend().threads} threads on {cores} cores")
    problem = device.problem()
    if problem is not None:
        return [cpu, Report("cuda", False, problem)]
    return [cpu, Report("cuda", True, device.summary())]


def device_of(executor: Backend) -> str:
    """On what a backend computes, in words."""
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
    """The backend called `name`.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        ``"auto"`` is the fastest that works here.
    device_memory : number of bytes, text, or None
        That may be taken on each CUDA device; see `CudaBackend`.
    resident : bool
        Whether the frames are cupy arrays, with which the cuda backend alone can work.
    threads : int or None
        Of the cpu backend; see `CpuBackend`.

    Raises
    ------
    InputError
        Where there is no backend of that name, or it cannot work with cupy arrays.
    BackendError
        Where it was asked for by name and cannot work here.
    """
    if name not in NAMES:
        raise InputError(f"backend: expected one of {', '.join(NAMES)}, got {name!r}")
    if device_memory is not None:
        parse_memory(device_memory, "device_memory")
    if resident and name == "cpu":
        raise InputError(
            "frames: expected arrays of the host for backend 'cpu', got cupy arrays; "
            "cupy.asnumpy copies them, backend 'cuda' takes them as they are"
        )
    problem = None if name == "cpu" else device.problem()
    if name == "cuda" and problem is not None:
        raise BackendError(f"backend 'cuda' cannot work here: {problem}")
    if name == "cpu" or problem is not None:
        if name == "auto":
            _log.debug("backend auto: cpu (%s)", problem)
        return CpuBackend(threads)
    if name == "auto":
        _log.debug("backend auto: cuda")
    from gpustack.backends.cuda.backend import CudaBackend  # slow to load, and few have a device

    return CudaBackend(device_memory)
