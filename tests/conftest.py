"""Fixtures that all tests share: the usable backends, the real data, hypothesis profiles."""

import gc
import os
import signal
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

import fakecupy
import hostbuild
from answers import CPU
from bands import Cpu, Cuda
from gpustack.backends.cuda.backend import CudaBackend
from gpustack.plan import plan_bands
from skips import skip_without

# The backends and their tests run where hypothesis is not installed.
try:
    from hypothesis import HealthCheck, settings
except ImportError:
    pass
else:
    # By default the same examples in every run, so that failures are reproducible;
    # HYPOTHESIS_PROFILE=search looks for new ones; `night` is only for tests/test_fuzz.py.
    settings.register_profile("ci", derandomize=True, max_examples=50, deadline=None)
    settings.register_profile(
        "search", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.register_profile("night", max_examples=100_000, deadline=None)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure():
    """Restore the handler of SIGINT, which background jobs and their children ignore."""
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
    """Exclude the thousands of collected tests, which live to the end, from garbage collection."""
    gc.freeze()


@contextmanager
def one_core():
    """Run the block on one core, where the threads of simulated devices are faster.

    These are Python threads, of which only one runs at a time, and switching threads between cores
    is slow: on one core their tests take two thirds of the time. A `CpuBackend` without a given
    number of threads therefore uses one thread here.
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
    """The cuda backend on two simulated devices, which replace CuPy only during a run.

    Streams do their work at random moments, and bands may be small, so that both devices get some.
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


#: Small tiles cut even the small stacks of the tests into several tiles, some within a row.
BACKENDS = {
    "cpu": lambda: CPU,
    "cpu-small-tiles": lambda: Cpu(threads=2, tile_pixels=16),
    "cuda-stand-in": OnStandIn,
}


def pytest_generate_tests(metafunc):
    """Parametrize `backend` with all backends; ``--require-gpu`` replaces the stand-in by CuPy."""
    if "backend" in metafunc.fixturenames:
        names = [*BACKENDS]
        if metafunc.config.getoption("require_gpu"):
            names[-1] = "cuda"
        metafunc.parametrize("backend", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request):
    """Every backend in turn; one instance for all tests, so that reused buffers are tested too."""
    # Without a device, CudaBackend raises an error and the tests that need it fail.
    return Cuda() if request.param == "cuda" else BACKENDS[request.param]()


@pytest.fixture
def stopped_clock(monkeypatch):
    """Stop the clock, so that all headers have the same DATE."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2001, 2, 3, tzinfo=tz)

    monkeypatch.setattr("gpustack.header.datetime", Stopped)


@pytest.fixture
def cut(monkeypatch):
    """A function that sets the number of rows of a band of maps, whatever the memory limit."""

    def cut_by(step):
        name = "gpustack.maps.plan.plan_bands"
        monkeypatch.setattr(name, lambda rows, row, memory: plan_bands(rows, 1, step))

    return cut_by


@pytest.fixture
def small_bands(monkeypatch):
    """Allow small bands of the cuda backend; otherwise no stack of a test would be cut."""
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1)


@pytest.fixture
def pretend(monkeypatch):
    """A function that replaces CuPy by simulated devices; it takes the options of `World`."""
    if hostbuild.compiler() is None:
        skip_without("g++, which builds the kernels for the host")
    with one_core():
        yield lambda **options: fakecupy.install(monkeypatch, **options)


@pytest.fixture
def cuda(request):
    """The `cupy` module: the stand-in, or the real one with ``--require-gpu``."""
    if request.config.getoption("require_gpu"):
        CudaBackend()
    else:
        # Not an argument of the fixture: a device needs no g++, and all cores.
        request.getfixturevalue("pretend")()
    import cupy  # noqa: TID251 - tests pass its arrays as users do

    return cupy


@pytest.fixture(scope="session")
def real_data():
    """The folder of real FITS sequences beside the checkout; without it, tests are skipped."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real FITS sequences (../shared/data) are not beside this checkout")
    return folder
