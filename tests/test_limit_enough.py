"""A limit that is too low is refused with one that would do."""

import pickle
import re

import pytest
from astropy.io import fits

from gpustack import AvgSigmaClip, Grow, SigmaClip, stack
from gpustack.errors import MemoryLimitError
from stacks import sky

ENOUGH = {
    "mean": ([], {}),
    "clip": ([SigmaClip(1.5, 1.5)], {}),
    "maps": ([SigmaClip(1.5, 1.5)], {"outputs": ("reason", "rejections", "coverage")}),
    "grow": ([SigmaClip(1.5, 1.5), Grow(2)], {}),
    "avgsigma": ([AvgSigmaClip(1.5, 1.5)], {}),
}


def refused(frames, clips, **words):
    """The first error that says which limit would do; below it, reasons alone have no room."""
    for memory in range(60_000, 600_000, 10_000):
        with pytest.raises(MemoryLimitError) as caught:
            stack(frames, clips, memory=memory, backend="cpu", **words)
        if caught.value.enough:
            return caught.value
    return None


@pytest.mark.parametrize(("clips", "words"), ENOUGH.values(), ids=ENOUGH)
def test_a_limit_that_is_too_low_says_which_would_do(tmp_path, clips, words):
    for f, plane in enumerate(sky(6, (12, 3000)).astype("f4")):
        fits.writeto(tmp_path / f"{f}.fits", plane, fits.Header({"BUNIT": "adu"}))
    frames = f"{tmp_path}/*.fits"
    error = refused(frames, clips, **words)
    enough = re.search(r"; at least (\d+kB) would do$", str(error))[1]
    stack(frames, clips, memory=enough, backend="cpu", **words)
    with pytest.raises(MemoryLimitError):
        stack(frames, clips, memory=error.enough - 1, backend="cpu", **words)


def test_it_is_kept_between_processes():
    error = pickle.loads(pickle.dumps(MemoryLimitError("too low", 1001).beside(1000, ": by far")))
    assert (str(error), error.enough) == ("too low: by far; at least 3kB would do", 2001)
