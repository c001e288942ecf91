"""Fixtures that all tests share: the usable backends, the real data, hypothesis profiles."""

import gc
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

import fakecupy
import hostbuild
from answers import CPU
from bands import Cpu, Cuda
from gpustack.backends.cuda.backend import CudaBackend
from skips import skip_without

# The backends and their tests run where hypothesis is not installed.
try:
    from hypothesis import HealthCheck, settings
except ImportError:
    pass
else:
    # The same examples at every run, so that a failure is met again; HYPOTHESIS_PROFILE=search
    # looks for new ones; `night` is for tests/test_fuzz.py alone.
    settings.register_profile("ci", derandomize=True, max_examples=50, deadline=None)
    settings.register_profile(
        "search", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.register_profile("night", max_examples=100_000, deadline=None)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure():
    """Take SIGINT back: jobs in the background, and all that they start, ignore it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    """Add ``--require-gpu``."""
    parser.addoption(
        "--require-gpu",
        action="store_true",
        help="run the tests of the cuda backend on CuPy and a device instead of the stand-in, "
        "and fail where there is none",
    )


def pytest_collection_finish():
    """Spare each collection of garbage the look at thousands of tests, which stay to the end."""
    gc.freeze()


@contextmanager
def one_core():
    """What starts here runs on one core: the threads of pretended devices are Python's.

    No two of them work at once, and between two cores each change of threads is slow: on one,
    their tests take two thirds of the time. So a `CpuBackend` that is told no number of threads
    has one here.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(cores)[worker % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


class OnStandIn:
    """The cuda backend on pretended devices, which are in CuPy's place during a run alone.

    Streams work at moments drawn by lot, and two rows at a time go to two devices.
    """

    name = "cuda"

    def __init__(self):
        if hostbuild.compiler() is None:
            skip_without("g++, which builds the kernels for the host")

    @contextmanager
    def _installed(self):
        with one_core(), pytest.MonkeyPatch.context() as patch:
            fakecupy.install(patch, devices=2, eager=1)
            patch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1)
            yield Cuda()

    def run(self, *arguments):
        """As `Cuda.run`."""
        with self._installed() as backend:
            backend.run(*arguments)

    def stream(self, *arguments):
        """As `CudaBackend.stream`."""
        with self._installed() as backend:
            backend.stream(*arguments)


#: Small tiles cut even the small stacks of the tests into several, some a part of a row.
BACKENDS = {
    "cpu": lambda: CPU,
    "cpu-small-tiles": lambda: Cpu(threads=2, tile_pixels=16),
    "cuda-stand-in": OnStandIn,
}


def pytest_generate_tests(metafunc):
    """Give `backend` all that can be had; with ``--require-gpu`` a device instead of none."""
    if "backend" in metafunc.fixturenames:
        names = [*BACKENDS]
        if metafunc.config.getoption("require_gpu"):
            names[-1] = "cuda"
        metafunc.parametrize("backend", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request):
    """Every usable backend in turn; one instance, so that tests also try reused buffers."""
    # Where there is no device, CudaBackend says so and the tests that need it fail.
    return Cuda() if request.param == "cuda" else BACKENDS[request.param]()


@pytest.fixture
def small_bands(monkeypatch):
    """Bands may be small; else no stack of a test is cut."""
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1)


@pytest.fixture
def pretend(monkeypatch):
    """Put pretended devices in CuPy's place: a function of the options of `fakecuda.World`."""
    if hostbuild.compiler() is None:
        skip_without("g++, which builds the kernels for the host")
    with one_core():
        yield lambda **options: fakecupy.install(monkeypatch, **options)


@pytest.fixture
def cuda(request, pretend):
    """CuPy for tests that need no more of it than there is: the real one with --require-gpu."""
    if request.config.getoption("require_gpu"):
        CudaBackend()
        import cupy  # noqa: TID251 - tests of what users hand over

        return cupy
    pretend()
    import cupy  # noqa: TID251

    return cupy


@pytest.fixture(scope="session")
def real_data():
    """The folder of real FITS sequences, which lies beside the checkout where there is one."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real FITS sequences (../shared/data) are not beside this checkout")
    return folder
