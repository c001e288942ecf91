"""Broken FITS files of all kinds cause a clean error or none, but no hang and no memory use.

Every run of the tests tries 2,000 files; ``make fuzz`` tries 100,000, different ones each time.
"""

import logging
import math
import resource
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from fuzzing import PLANS, made
from gpustack.engine import run
from gpustack.errors import InputError
from gpustack.frames import open_frames
from gpustack.recipe import Recipe

#: Bytes of address space that a run may add. No file is larger than 100 kB, but threads and their
#: heaps reserve memory that they do not use.
ROOM = 1 << 30

#: Larger frames are opened only. Their data are in the file, compressed, so that a result of the
#: size in the header would be made.
MOST_SAMPLES = 1 << 20

#: Seconds after which a file counts as hanging; the slowest takes a hundredth of that.
HANGS = 20

#: The number of files: as many as CI has time for, unless the profile asks for more.
EXAMPLES = max(2000, settings().max_examples)


@contextmanager
def limited_memory():
    """Limit the address space to what is in use plus `ROOM`."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Hang(BaseException):
    """Raised when a file hangs; no BaseException is taken for an error of the file."""


@contextmanager
def limited_time():
    """Raise `Hang` if the block takes more than `HANGS` seconds."""

    def hang(*_):
        raise Hang(f"no end after {HANGS} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def use(path):
    """Use a file as a frame in all ways: open, read, stack."""
    (frame,) = open_frames([str(path)], unit="adu")
    if math.prod(frame.shape) > MOST_SAMPLES:
        return
    rows = math.prod(frame.shape[:-1])
    half = max(rows // 2, 1)
    frame.read(rows - half, rows)
    if frame.has_variance:
        frame.read_variance(rows - half, rows)
    run([frame, frame], Recipe(), memory="64MB", backend="cpu").to_hdulist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    logging.disable(logging.CRITICAL)
    yield tmp_path_factory.mktemp("fuzz")
    logging.disable(logging.NOTSET)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits as Linux has them")
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(plan=PLANS)
def test_a_broken_file_is_a_clean_error_or_none(folder, plan):
    path = folder / "broken.fits"
    path.write_bytes(made(plan))
    threads = threading.active_count()
    with limited_memory(), limited_time():
        try:
            use(path)
        except InputError as err:
            named = "broken.fits" in str(err)
        else:
            named = True
    assert named
    assert threading.active_count() == threads
