"""Fixtures that all tests share: the usable backends, the real data, hypothesis profiles."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from gpustack.backends.cpu import CpuBackend

# The same examples at every run, so that a failure is met again; HYPOTHESIS_PROFILE=search
# looks for new ones.
settings.register_profile("ci", derandomize=True, max_examples=50, deadline=None)
settings.register_profile(
    "search", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

#: Small tiles cut even the small stacks of the tests into several, some a part of a row.
BACKENDS = {
    "cpu": lambda: CpuBackend(threads=1),
    "cpu-small-tiles": lambda: CpuBackend(threads=2, tile_pixels=16),
}


@pytest.fixture(scope="session", params=BACKENDS.values(), ids=BACKENDS)
def backend(request):
    """Every usable backend in turn; one instance, so that tests also try reused buffers."""
    return request.param()


@pytest.fixture(scope="session")
def real_data():
    """The folder of real FITS sequences, which lies beside the checkout where there is one."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real FITS sequences (../shared/data) are not beside this checkout")
    return folder
