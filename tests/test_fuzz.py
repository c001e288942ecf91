"""Broken FITS files, many and of all kinds: a clean error or none; no hang, no memory.

2,000 at every run of the tests; ``make fuzz`` does 100,000, others each time.
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

#: What a run may take beside what Python holds before: no file here is larger than 100 kB, and
#: threads and their heaps reserve some memory that they do not use.
ROOM = 1 << 30

#: A result has the size that a header promises, as its data are there, if compressed.
MOST_SAMPLES = 1 << 20

#: Seconds after which a file hangs; the slowest takes a hundredth.
HANGS = 20

#: Of a profile that is not made to search, as many as CI has the time for.
EXAMPLES = max(2000, settings().max_examples)


@contextmanager
def limited_memory():
    """As much address space as there is in use, and ROOM."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Hang(BaseException):
    """Nobody takes it for an error of the file."""


@contextmanager
def limited_time():
    """An error where it takes too long."""

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
    """Do all that is done with a frame."""
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
