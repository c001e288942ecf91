"""Skip tests where the machine lacks what they need; in CI a lack is an error."""

import os

import pytest

import hostbuild


def missing(what):
    """Return True, so that a test is skipped; raise if GPUSTACK_NO_SKIPS forbids that."""
    if os.environ.get("GPUSTACK_NO_SKIPS") == "1":
        raise RuntimeError(f"GPUSTACK_NO_SKIPS=1, and there is no {what}")
    return True


def skip_without(what):
    """Skip the calling test because `what` is missing; raise if skips are forbidden."""
    if missing(what):
        pytest.skip(f"there is no {what}")


needs_compiler = pytest.mark.skipif(
    hostbuild.compiler() is None and missing("g++, which builds the kernels for the host"),
    reason="there is no g++ to build the kernels for the host",
)
