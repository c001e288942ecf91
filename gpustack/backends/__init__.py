"""The backends: who executes a recipe on a band of samples. `get` is their only door."""

import logging
from dataclasses import dataclass

from gpustack.backends.base import Backend
from gpustack.backends.cpu import CpuBackend, available_cores
from gpustack.errors import BackendError, InputError

log = logging.getLogger("gpustack")

NAMES = ("auto", "cpu", "cuda")

#: Why the cuda backend cannot be had.
NO_CUDA = "this version of gpustack has no CUDA kernels yet; use backend='cpu' or 'auto'"


@dataclass(frozen=True, slots=True)
class Report:
    """Whether one backend works here, and what it is or what it lacks."""

    name: str
    usable: bool
    detail: str


def report() -> list[Report]:
    """All backends, whether they work here, and where one does not, why."""
    cores = available_cores()
    return [
        Report("cpu", True, f"numpy, {CpuBackend().threads} threads on {cores} cores"),
        Report("cuda", False, NO_CUDA),
    ]


def get(name: str = "auto", memory: int | None = None) -> Backend:
    """The backend called `name`.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        ``"auto"`` is the fastest that works here.
    memory : int or None
        Bytes that its buffers may take.

    Raises
    ------
    InputError
        Where there is no backend of that name.
    BackendError
        Where it was asked for by name and cannot work here.
    """
    if name not in NAMES:
        raise InputError(f"backend: expected one of {', '.join(NAMES)}, got {name!r}")
    if name == "cuda":
        raise BackendError(f"backend 'cuda': {NO_CUDA}")
    if name == "auto":
        log.info("backend auto: cpu")
    return CpuBackend(memory=memory)
