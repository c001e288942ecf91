"""The error about a memory limit that is too low states a limit that is enough."""

import pickle
import re
from functools import partial

import pytest
from astropy.io import fits

from gpustack import AvgSigmaClip, Grow, SigmaClip, stack
from gpustack.errors import MemoryLimitError
from gpustack.frames.planes import TiledPlane
from stacks import sky

ENOUGH = {
    "mean": ([], {}),
    "clip": ([SigmaClip(1.5, 1.5)], {}),
    "maps": ([SigmaClip(1.5, 1.5)], {"outputs": ("reason", "rejections", "coverage")}),
    "grow": ([SigmaClip(1.5, 1.5), Grow(2)], {}),
    "avgsigma": ([AvgSigmaClip(1.5, 1.5)], {}),
}


def refused(frames, clips, **words):
    """The first error, from low limits up, that states a sufficient limit.

    Lower limits have no room even for reasons, and their errors state none.
    """
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


def test_decoding_variances_counts_where_they_are_wanted(tmp_path, monkeypatch):
    """Tested with an image of one tile; nothing is decoded before the limit is checked."""
    for f, plane in enumerate(sky(3, (200, 300)).astype("f4")):
        tile = {"tile_shape": plane.shape, "quantize_level": 0, "compression_type": "GZIP_2"}
        hdus = [fits.PrimaryHDU(plane, fits.Header({"BUNIT": "adu"}))]
        hdus.append(fits.CompImageHDU(plane**2 + 1, name="VAR", **tile))
        fits.HDUList(hdus).writeto(tmp_path / f"{f}.fits")
    run = partial(stack, f"{tmp_path}/*.fits", backend="cpu")
    run(memory="400kB")
    for words in ({"weights": "variance"}, {"uncertainty": "propagated"}):
        with monkeypatch.context() as patch:
            patch.setattr(TiledPlane, "_fill", None)
            with pytest.raises(MemoryLimitError, match=r"at least .* would do") as caught:
                run(memory="400kB", **words)
        assert caught.value.enough > 200 * 300 * 30
        run(memory=caught.value.enough, **words)


def test_the_limit_that_is_enough_survives_pickling():
    error = pickle.loads(pickle.dumps(MemoryLimitError("too low", 1001).beside(1000, ": by far")))
    assert (str(error), error.enough) == ("too low: by far; at least 3kB would do", 2001)
