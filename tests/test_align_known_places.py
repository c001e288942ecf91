"""Repeated alignment of a growing set of frames measures no file twice."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import starfield as sky
from gpustack import Register, stack
from gpustack.align import known_places as module
from gpustack.align.known_places import remembered
from gpustack.align.phase import Shift
from gpustack.align.stars import Stars
from gpustack.errors import FrameError
from gpustack.live.watching import Arrivals, watch

SHAPE = (260, 280)
STARS = sky.field(SHAPE)
METERS = {"phase": Shift, "stars": Stars}
BOTH = pytest.mark.parametrize("by", METERS)


def exposed(path, k):
    taken = sky.taken(STARS, SHAPE, shift=3 * k + 2j, seed=k)
    fits.writeto(path, np.asarray(taken), fits.Header({"BUNIT": "adu"}), overwrite=True)


@pytest.fixture
def night(tmp_path):
    for k in range(4):
        exposed(tmp_path / f"{k}.fits", k)
    return [str(tmp_path / f"{k}.fits") for k in range(4)]


@pytest.fixture
def measured(monkeypatch):
    """Count how often each frame is measured."""
    times = Counter()
    for meter in METERS.values():

        def measure(self, name, image, plain=meter.measure):
            times[os.path.basename(name)] += 1  # noqa: PTH119 - it is a name
            return plain(self, name, image)

        monkeypatch.setattr(meter, "measure", measure)
    return times


@BOTH
def test_only_frames_that_are_new_are_measured(night, measured, by):
    expected = stack(night, align=Register(by))
    measured.clear()
    with remembered():
        stack(night[:3], align=Register(by))
        found = stack(night, align=Register(by))
        assert measured == {"1.fits": 1, "2.fits": 1, "3.fits": 1}
        exposed(night[2], 2)
        stack(night, align=Register(by))
        assert measured == {"1.fits": 1, "2.fits": 2, "3.fits": 1}
        exposed(night[0], 0)
        stack(night, align=Register(by))
        assert measured == {"1.fits": 2, "2.fits": 3, "3.fits": 2}
    np.testing.assert_array_equal(found.data, expected.data)
    assert str(found.frames) == str(expected.frames)
    stack(night, align=Register(by))
    assert measured["3.fits"] == 3


@pytest.mark.filterwarnings("ignore:.*left out:gpustack.errors.GpustackWarning")
def test_frames_that_could_not_be_aligned_are_remembered_too(night, measured):
    fits.writeto(night[1], np.full(SHAPE, 7.0), fits.Header({"BUNIT": "adu"}), overwrite=True)
    with remembered():
        for _ in range(2):
            found = stack(night, align=Register(skip=True))
    assert measured == {"1.fits": 1, "2.fits": 1, "3.fits": 1}
    assert [bool(why) for why in found.frames["left_out"]] == [False, True, False, False]


def test_a_frame_that_goes_away_meanwhile_is_a_clean_error(night, monkeypatch):
    plain = Shift.measure

    def measure(self, name, image):
        Path(night[3]).unlink(missing_ok=True)
        return plain(self, name, image)

    monkeypatch.setattr(Shift, "measure", measure)
    with remembered(), pytest.raises(FrameError, match=r"3\.fits: .*no such file"):
        stack(night, align=Register())


def test_nothing_is_kept_of_another_reference(night):
    with remembered():
        for reference in (0, 1, 2, 0, 1):
            stack(night, align=Register(reference=reference))
            memory = module._memory.get()
            assert len(memory.found) == len(night)


def test_arrays_are_measured_whenever_they_come(night, measured):
    images = [fits.getdata(path) for path in night]
    with remembered():
        for _ in range(2):
            stack(images, align=Register())
    assert set(measured.values()) == {2}


def test_another_way_to_measure_is_another_measure(night, measured):
    with remembered():
        for how in (Register(), Register(upsample=1), Register(reference=1), Register("stars")):
            stack(night, align=how)
    assert measured == {"0.fits": 1, "1.fits": 3, "2.fits": 4, "3.fits": 4}


def test_a_watch_remembers(night, measured, tmp_path):
    opening = {"hdu": None, "unit": None, "flags": None}
    folder = Arrivals(tmp_path, "*.fits", tmp_path / "out", opening)
    for path in night[2:]:
        os.rename(path, f"{path}.later")  # noqa: PTH104 - of text
    combined = []

    def restack(frames):
        combined.append(len(frames))
        stack(frames, align=Register())
        for path in night[2:]:
            os.rename(f"{path}.later", path) if len(combined) == 1 else None  # noqa: PTH104

    watch(folder, restack, interval=0.01, stop_after=4)
    assert combined == [2, 4]
    assert measured == {"1.fits": 1, "2.fits": 1, "3.fits": 1}
