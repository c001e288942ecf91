"""What some tests need and not every machine has: skipped there, but not in CI."""

import os

import pytest

import hostbuild


def missing(what):
    """True, so that a test can be skipped; an error where nothing may be."""
    if os.environ.get("GPUSTACK_NO_SKIPS") == "1":
        raise RuntimeError(f"GPUSTACK_NO_SKIPS=1, and there is no {what}")
    return True


def skip_without(what):
    """Skip the test that asks, for want of `what`; an error where nothing may be skipped."""
    if missing(what):
        pytest.skip(f"there is no {what}")


needs_compiler = pytest.mark.skipif(
    hostbuild.compiler() is None and missing("g++, which builds the kernels for the host"),
    reason="there is no g++ to build the kernels for the host",
)
