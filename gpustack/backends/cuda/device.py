"""CuPy and the CUDA devices: whether they can be used here and, if not, what is missing.

The only file that imports CuPy.
"""

import importlib
import sys
from dataclasses import dataclass
from typing import Any

from gpustack.errors import BackendError

#: The lowest compute capability that the kernels support, times ten.
CAPABILITY = 75

#: Values of cudaError_t, which do not change between versions of CUDA.
_OUT_OF_MEMORY, _OLD_DRIVER, _NO_DEVICE = 2, 35, 100

_TRIAL = 'extern "C" __global__ void nothing() {}'

#: Names CuPy's own packages, which are the same wherever gpustack was installed from.
_INSTALL = (
    "pip install 'cupy-cuda13x[ctk]' (driver 580 or newer; the extra gpustack[cuda13]) or "
    "'cupy-cuda12x[ctk]' (525 or newer; gpustack[cuda12])"
)


@dataclass(frozen=True, slots=True)
class Device:
    """A CUDA device that is visible to this process."""

    id: int
    name: str
    memory: int
    capability: str

    @property
    def is_able(self) -> bool:
        """Whether the kernels support its compute capability."""
        return int(self.capability) >= CAPABILITY

    def __str__(self) -> str:
        return f"{self.name} ({self.memory / 2**30:.0f} GiB, sm_{self.capability})"


def cupy() -> Any:
    """The CuPy module, imported on first use. BackendError where that fails."""
    try:
        return importlib.import_module("cupy")
    except ModuleNotFoundError as err:
        if err.name != "cupy":
            raise BackendError(
                f"CuPy is installed, but its dependency {err.name} is missing: {_INSTALL}"
            ) from err
        raise BackendError(f"CuPy is not installed: {_INSTALL}") from err
    except Exception as err:  # a CuPy built for another numpy or CUDA raises errors of any kind
        problem = f"{type(err).__name__}: {err}"
        raise BackendError(f"CuPy is installed, but cannot be imported: {problem}") from err


def is_array(value: Any) -> bool:
    """Whether a value is a cupy array, found out without importing CuPy."""
    module = sys.modules.get("cupy")
    return module is not None and isinstance(value, module.ndarray)


def problem() -> str | None:
    """Why CUDA cannot be used here and what to install; None where it can be used."""
    try:
        _try_compiler(cupy(), able_devices())
    except BackendError as err:
        return str(err)
    return None


def able_devices() -> list[Device]:
    """The devices that the kernels support, at least 1.

    Raises
    ------
    BackendError
        Where there is none, or where a device cannot be queried.
    """
    found = devices()
    able = [one for one in found if one.is_able]
    if not able:
        raise BackendError(
            f"expected a CUDA device of compute capability {CAPABILITY / 10} or more, got "
            + ", ".join(map(str, found))
        )
    return able


#: CuPy modules that have compiled a kernel. A failure is not kept: the next call tries again.
_COMPILES: list[Any] = []


def _try_compiler(module: Any, able: list[Device]) -> None:
    """Compile an empty kernel for the first device that accepts it, once a process.

    For that, CuPy needs a compiler and the headers of CUDA. They may be missing, or too old for
    the device, and CuPy reports that only when something is compiled.
    """
    if module in _COMPILES:
        return
    problems = []
    for one in able:
        try:
            with module.cuda.Device(one.id):
                module.RawModule(code=_TRIAL, options=("-std=c++17",)).compile()
        except Exception as err:  # noqa: BLE001 - CuPy raises errors of many kinds
            problems.append(f"{one} cannot compile kernels: {type(err).__name__}: {err}")
        else:
            _COMPILES.append(module)
            return
    raise BackendError("; ".join(problems))


def count_devices() -> int:
    """The number of CUDA devices, at least 1.

    Raises
    ------
    BackendError
        Where there is none: CuPy, driver or device is missing, or the driver is too old.
    """
    runtime = cupy().cuda.runtime
    try:
        # CuPy 13 and 14 both raise here; what `is_available` does differs between them.
        count = int(runtime.getDeviceCount())
    except Exception as err:
        raise BackendError(_why(runtime, err)) from err
    if count < 1:
        raise BackendError(_no_device("the driver lists none"))
    return count


def _why(runtime: Any, err: Exception) -> str:
    """Why CUDA cannot count its devices, in words."""
    status = getattr(err, "status", None)
    if status == _NO_DEVICE:
        return _no_device(str(err))
    if status != _OLD_DRIVER:
        return f"CUDA cannot be initialised: {type(err).__name__}: {err}"
    driver, built = _version(runtime.driverGetVersion), _version(runtime.runtimeGetVersion)
    if driver is None:
        return (
            "no NVIDIA driver is installed, or it is not visible here (a container needs "
            "the NVIDIA container toolkit); CuPy is installed, install the driver too: 580 or "
            "newer for gpustack[cuda13], 525 or newer for gpustack[cuda12]"
        )
    return (
        f"the NVIDIA driver is too old: it supports CUDA {driver}, CuPy here was built for CUDA "
        f"{built}; update the driver, or install the other CuPy: {_INSTALL}"
    )


def _no_device(detail: str) -> str:
    return (
        f"there is no CUDA device: expected at least one, got none ({detail}); the driver and "
        "CuPy are installed: check that CUDA_VISIBLE_DEVICES does not hide the devices"
    )


def _version(ask: Any) -> str | None:
    """The CUDA version that a function returns as 1000 * major + 10 * minor.

    None for 0, which CUDA returns where there is no driver, and where the function fails.
    """
    try:
        number = int(ask())
    except RuntimeError:
        return None
    return f"{number // 1000}.{number % 1000 // 10}" if number else None


def devices() -> list[Device]:
    """All CUDA devices. BackendError where there is none, or where one cannot be queried."""
    runtime = cupy().cuda.runtime
    found = []
    for i in range(count_devices()):
        try:
            facts = runtime.getDeviceProperties(i)
        except Exception as err:  # also what an earlier call on any device left behind
            problem = f"{type(err).__name__}: {err}"
            raise BackendError(f"device {i} cannot be queried: {problem}") from err
        name = facts["name"]
        found.append(
            Device(
                i,
                name.decode() if isinstance(name, bytes) else str(name),
                int(facts["totalGlobalMem"]),
                f"{facts['major']}{facts['minor']}",
            )
        )
    return found


def versions() -> str:
    """The versions of CuPy, of the CUDA it was built for, and of the CUDA of the driver."""
    module = cupy()
    runtime = module.cuda.runtime
    built, driver = _version(runtime.runtimeGetVersion), _version(runtime.driverGetVersion)
    return f"CuPy {module.__version__}, CUDA {built}, driver for CUDA {driver}"


def summary() -> str:
    """The devices that the kernels support, and versions. BackendError as `able_devices`."""
    return f"{', '.join(map(str, able_devices()))}; {versions()}"


def is_out_of_memory(err: BaseException) -> bool:
    """Whether an error says that a device, or the host's pinned memory, is out of memory."""
    if isinstance(err, cupy().cuda.memory.OutOfMemoryError):
        return True
    # cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY are the same number. Errors of the
    # compiler have a status too, for which that number means something else.
    return is_cuda_error(err) and getattr(err, "status", None) == _OUT_OF_MEMORY


def is_cuda_error(err: BaseException) -> bool:
    """Whether an error comes from CUDA's runtime or driver."""
    cuda = cupy().cuda
    return isinstance(err, cuda.runtime.CUDARuntimeError | cuda.driver.CUDADriverError)


def free_unused() -> None:
    """Free the unused memory of CuPy's own pools, on the host and on the current device."""
    module = cupy()
    module.get_default_memory_pool().free_all_blocks()
    module.get_default_pinned_memory_pool().free_all_blocks()


def room() -> int:
    """Free bytes on the current device, at most the limit of CuPy's own pool, if it has one."""
    module = cupy()
    free, _ = module.cuda.runtime.memGetInfo()
    limit = module.get_default_memory_pool().get_limit()
    return int(min(free, limit or free))
