"""Warnings about unusual runs: frames that do not belong together, for one."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from gpustack import (
    ExtremaClip,
    NoiseClip,
    Offsets,
    PercentileClip,
    RangeClip,
    SigmaClip,
    advice,
    stack,
)
from gpustack.cards.names import name_cards
from gpustack.errors import GpustackWarning
from gpustack.frames import open_frames

CLIPS = [RangeClip(high=5000), SigmaClip(low=2, high=2, spread="mad_std")]


@pytest.fixture
def cube():
    return np.random.default_rng(7).normal(100, 5, (9, 24, 17)).astype(np.float32)


@pytest.fixture
def files(cube, tmp_path):
    for i, plane in enumerate(cube):
        fits.writeto(tmp_path / f"frame_{i}.fits", plane, fits.Header({"BUNIT": "adu"}))
    return tmp_path


def test_one_frame_works_and_warns(cube):
    with pytest.warns(GpustackWarning, match="only one frame"):
        result = stack(cube[:1])
    np.testing.assert_array_equal(result.data, cube[0])


def test_a_frame_without_valid_samples_counts_nothing_and_warns(cube):
    cube[4] = np.nan
    with pytest.warns(GpustackWarning, match="frame 4: no valid sample"):
        with_it = stack(cube, CLIPS, scale="median")
    without = stack(np.delete(cube, 4, axis=0), CLIPS, scale="median")
    np.testing.assert_array_equal(with_it.data, without.data)
    np.testing.assert_array_equal(with_it.count, without.count)


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        (RangeClip(), "neither low nor high"),
        (SigmaClip(low=None, high=None), "neither low nor high"),
        (ExtremaClip(0, 0), "nlow and nhigh are 0"),
        (PercentileClip(20, 10), "low=20 is 2000% of the median"),
        (PercentileClip(1, 10), "write 20% as 0.2"),
    ],
)
def test_a_clip_whose_bounds_reject_nothing_warns(cube, clip, said):
    with pytest.warns(GpustackWarning, match=said):
        assert not stack(cube, clip).low.any()


@pytest.mark.parametrize(
    "clip",
    [
        RangeClip(low=0),
        RangeClip(high=5000),
        SigmaClip(low=None, high=2),
        ExtremaClip(0, 1),
        PercentileClip(0.99, None),
        PercentileClip(None, 3),
    ],
)
def test_a_clip_with_a_bound_does_not_warn(cube, clip):
    stack(cube, clip)


def told(call):
    """The messages of the warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(("lost", "named"), [(5, 5), (6, 6), (7, 5), (40, 5)])
def test_of_many_frames_without_a_valid_sample_the_first_are_named(lost, named):
    cube = np.ones((50, 4, 3), np.float32)
    cube[3 : 3 + lost] = np.nan
    said = told(lambda: stack(cube))
    assert said[:named] == [
        f"frame {3 + i}: no valid sample, so it does not contribute" for i in range(named)
    ]
    rest = [f"{lost - named} more frames: no valid sample, so they do not contribute"]
    assert said[named:] == rest * (lost > named)


def test_frames_that_are_left_out_are_told_of_apart_from_those_without_a_valid_sample():
    frames = {"name": [*"abcdefghijklmnop"], "valid": [0.0] * 16}
    frames["left_out"] = [""] * 8 + ["a cloud"] * 8
    said = [*advice._limited(advice._left_out(frames), "more"), *advice._empty(frames)]
    assert said[:6] == [*(f"{name}: left out: a cloud" for name in "ijklm"), "3 more frames: more"]
    empty = "no valid sample, so it does not contribute"
    assert said[6:] == [f"{name}: {empty}" for name in "abcdefgh"]


def test_of_many_frames_that_are_given_again_the_first_are_named(files):
    paths = [str(path) for path in sorted(files.glob("*.fits"))]
    said = told(lambda: stack([*paths, *paths]))
    assert said[:5] == [f"{path}: given 2 times, so it counts 2 times" for path in paths[:5]]
    assert said[5:] == ["4 more frames: given several times"]
    for i in range(1, 9):
        stack(paths[: i + 1]).write(files / f"earlier_{i}.fits")
    earlier = [str(path) for path in sorted(files.glob("earlier_*.fits"))]
    said = told(lambda: stack([*paths, *earlier]))
    assert [line.partition(":")[0] for line in said[:5]] == earlier[:5]
    assert said[5:] == ["3 more frames: made of others that are combined here too"]


def test_the_same_file_twice_warns(files):
    with pytest.warns(GpustackWarning, match=r"frame_0\.fits: given 2 times"):
        stack([files / "frame_0.fits", files / "frame_0.fits"])


def test_the_same_file_by_other_names_warns(files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "link.fits").symlink_to("frame_1.fits")
    (files / "hard.fits").hardlink_to("frame_1.fits")
    for other in ("./frame_1.fits", str(files / "frame_1.fits"), "link.fits", "hard.fits"):
        said = told(lambda other=other: stack(["frame_0.fits", "frame_1.fits", other]))
        assert said == [f"frame_1.fits: given 2 times, also as {other}, so it counts 2 times"]
    assert not told(lambda: stack(["frame_0.fits", "frame_1.fits", "frame_2.fits"]))
    # On file systems without inodes, as some on Windows, the inode of every file is 0.
    found = SimpleNamespace(st_dev=1, st_ino=0)
    monkeypatch.setattr(advice, "os", SimpleNamespace(stat=lambda name: found))
    assert not list(advice._repeated(open_frames(["frame_0.fits", "frame_1.fits"])))


def exposures(key, values, unit="adu"):
    return [CCDData(np.ones((2, 2)), unit=unit, meta={key: value}) for value in values]


def test_gains_that_differ_and_are_not_scaled_warn():
    frames = exposures("GAIN", [1.5, 1.51, "4", 0, -1])
    said = told(lambda: stack(frames))
    assert len(said) == 1
    assert said[0].startswith("frames differ in GAIN: 1.5 in frame 0 to 4 in frame 2, and are not")
    assert not told(lambda: stack(frames, scale=[1.5, 1.51, 4, 1, 1]))
    assert not told(lambda: stack([frames[i] for i in (0, 1, 3, 4)]))
    assert not told(lambda: stack(exposures("GAIN", [1.5, 4], "electron")))
    assert not told(lambda: stack([*frames[:1], *exposures("OTHER", [1])]))
    for frame in frames:  # stacks, whose GAIN may describe their noise
        frame.meta["NCOMBINE"] = 2
    assert not told(lambda: stack(frames))


def test_filters_that_differ_warn():
    frames = exposures("FILTER", ["R ", "R", "r", "", "V"])
    with pytest.warns(
        GpustackWarning, match="'R' in frame 0, 'r' in frame 2 and 1 more frame unlike the first$"
    ):
        stack(frames)
    with pytest.warns(GpustackWarning, match="FILTER: 'R' in frame 0, 'V' in frame 2$"):
        stack([*frames[:2], frames[4]])
    stack([*frames[:2], frames[3], *exposures("OTHER", [1])])
    stack([*frames[:2], *exposures("FILTER", [fits.card.UNDEFINED])])


def test_kinds_that_differ_warn_in_the_words_of_any_camera():
    flats = [*exposures("IMAGETYP", ["sky flat", "FLAT"]), *exposures("OBSTYPE", ["Flat Field"])]
    lights = exposures("IMAGETYP", ["Light Frame", "object", "LIGHT"])
    stack(flats), stack(lights), stack(exposures("IMAGETYP", ["zero", "Bias Frame"]))
    with pytest.warns(
        GpustackWarning, match="IMAGETYP: 'sky flat' in frame 0, 'object' in frame 3$"
    ):
        stack([*flats, lights[1]])


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("Light Frame", r"scale=\"exposure\" .* brings them to that of the first$"),
        ("DARK", r"scale=\"exposure\" .* once bias is subtracted$"),
        ("sky flat", r"scale=\"median\" .* brings flats to one level$"),
    ],
)
def test_what_to_do_about_exposures_depends_on_the_kind_of_frames(kind, advice):
    frames = exposures("EXPTIME", [30, 10.0])
    for frame in frames:
        frame.meta["IMAGETYP"] = kind
    with pytest.warns(GpustackWarning, match=advice):
        stack(frames)


def test_bias_is_the_same_in_any_exposure():
    frames = exposures("EXPTIME", [0.0, 0.001])
    for frame in frames:
        frame.meta["IMAGETYP"] = "Bias Frame"
    stack(frames)


def test_exposures_that_differ_and_are_not_scaled_warn():
    frames = exposures("EXPTIME", [30, 10.0, 60])
    message = r"EXPTIME: 10 in frame 1 to 60 in frame 2, and are not scaled; scale=\"exposure\""
    for combine in ("mean", "median", "min", "max"):
        with pytest.warns(GpustackWarning, match=message):
            stack(frames, combine=combine)
    stack(frames, scale="exposure")
    stack(frames, combine="sum")
    for values, unit in (([30, 10], "adu / s"), ([0, 0], "adu"), ([30, 30.2], "adu")):
        stack(exposures("EXPTIME", values, unit))
    with pytest.warns(GpustackWarning, match="EXPTIME: 0 in frame 3 to 60 in frame 2"):
        stack([*frames, *exposures("EXPTIME", [0]), *exposures("OTHER", [1])])
    stack([*exposures("EXPTIME", [30, "long"]), *exposures("OTHER", [1])])


def test_a_result_among_the_frames_that_it_was_made_of_warns(files):
    frames = sorted(str(path) for path in files.glob("*.fits"))[:3]
    stack(frames).write(files / "earlier.fits")
    with pytest.warns(
        GpustackWarning, match=r"earlier\.fits: made of .*frame_0\.fits and 2 others,"
    ):
        stack([*frames, files / "earlier.fits"])
    with pytest.warns(GpustackWarning, match=r"made of .*frame_0\.fits and 1 other, combined"):
        stack([*frames[:2], files / "earlier.fits"])
    with pytest.warns(GpustackWarning, match=r"made of .*frame_0\.fits, combined here too"):
        stack([frames[0], files / "earlier.fits"])
    stack([files / "frame_4.fits", files / "earlier.fits"])  # no warning, which would be an error


@pytest.fixture
def nights(files, monkeypatch):
    """Two folders with equal file names in them, and the result of stacking the first."""
    monkeypatch.chdir(files)
    for i, night in enumerate(("n1", "n1", "n2", "n2")):
        (files / night).mkdir(exist_ok=True)
        (files / f"frame_{i}.fits").rename(files / night / f"m51_{i % 2}.fits")
    stack("n1/*.fits").write("deep1.fits")
    return files


def test_a_result_of_another_night_does_not_warn_though_cameras_number_anew(nights):
    stack(["deep1.fits", "n2/m51_0.fits"])
    stack(["deep1.fits", nights / "n2" / "m51_0.fits"])


def test_a_file_that_counts_twice_is_found_by_whatever_name_it_has(nights, monkeypatch):
    same = nights / "n1" / "m51_0.fits"
    for name in ("n1/m51_0.fits", "./n2/../n1/m51_0.fits", same):
        with pytest.warns(GpustackWarning, match=r"deep1\.fits: made of .*m51_0\.fits, combined"):
            stack(["deep1.fits", name])
    monkeypatch.chdir(nights / "n2")
    stack(["../deep1.fits", "m51_0.fits"])
    stack(["../n1/m51_0.fits", "../n1/m51_1.fits"]).write("../deep2.fits")
    for folder, name in ((nights / "n1", "m51_1.fits"), (nights, same)):
        monkeypatch.chdir(folder)
        with pytest.warns(GpustackWarning, match=r"deep2\.fits: made of .*m51_.\.fits, combined"):
            stack([nights / "deep2.fits", name])


def test_a_name_without_a_folder_may_be_in_any(nights):
    with fits.open("deep1.fits", mode="update") as hdus:
        hdus[0].header["IMCMB001"] = "m51_0.fits"  # as IRAF writes it
    with pytest.warns(GpustackWarning, match=r"deep1\.fits: made of n2/m51_0\.fits, combined"):
        stack(["deep1.fits", "n2/m51_0.fits"])


def test_a_result_that_has_the_name_of_what_it_was_made_of_is_not_made_of_itself(nights):
    with fits.open("deep1.fits", mode="update") as hdus:
        hdus[0].header["IMCMB001"] = "deep1.fits"
    stack(["deep1.fits", "n2/m51_0.fits"])


@pytest.mark.parametrize("count", [3, 1000, 10_000, 100_000])
def test_a_result_of_any_number_of_frames_says_what_it_was_made_of(nights, count):
    *_, last = name_cards(["n1/m51_0.fits"] * count)
    with fits.open("deep1.fits", mode="update") as hdus:
        del hdus[0].header["IMCMB*"]
        hdus[0].header.append(last)
    with pytest.warns(GpustackWarning, match=r"deep1\.fits: made of n1/m51_0\.fits, combined"):
        stack(["deep1.fits", "n1/m51_0.fits"])


def test_places_of_frames_in_memory_tell_nothing_of_another_run():
    frames = exposures("FILTER", ["R", "R", "R"])
    stack([frames[0], stack(frames[1:]).to_ccddata()])


@pytest.mark.filterwarnings("ignore:frame .. left out")
def test_frames_of_which_one_is_left_warn(cube):
    with pytest.warns(GpustackWarning, match="only one of 3 frames is left: nothing to combine"):
        stack(cube[:3], SigmaClip(), align=Offsets([(0, 0), (500, 0), (0, 500)], "reference"))


@pytest.mark.filterwarnings("ignore:frame .. left out")
def test_frames_that_are_left_out_need_not_be_like_the_others():
    frames = exposures("FILTER", ["R", "R", "V"])
    stack(frames, align=Offsets([(0, 0), (0, 0), (500, 0)], "reference"))


def test_a_single_pixel_without_a_value_does_not_warn(cube):
    cube[:, 3, 4] = np.nan
    assert stack(cube).mask.sum() == 1


def test_the_card_that_was_read_is_named():
    frames = [
        CCDData(np.ones((2, 2)), unit="adu", header=fits.Header({"OBSTYPE": kind}))
        for kind in ("OBJECT", "DARK")
    ]
    said = "frames differ in OBSTYPE: 'OBJECT' in frame 0, 'DARK' in frame 1$"
    with pytest.warns(GpustackWarning, match=said):
        stack(frames)
    frames[0].meta["IMAGETYP"] = ""  # without a value it says nothing
    with pytest.warns(GpustackWarning, match=said):
        stack(frames)
    frames[0].meta["IMAGETYP"] = "light"
    with pytest.warns(GpustackWarning, match="differ in IMAGETYP/OBSTYPE: 'light' in frame 0, 'D"):
        stack(frames)


def test_a_clip_by_the_noise_that_was_not_told_of_it_warns_where_it_takes_good_samples(cube):
    dark = cube - cube.mean()
    with pytest.warns(GpustackWarning, match=r"7\d% of all samples are rejected; rdnoise and gain"):
        stack(dark, NoiseClip())
    stack(dark, NoiseClip(rdnoise=5))
    stack(dark, NoiseClip(0.1, 0.1, snoise=0.01))  # the noise is told
    stack(cube, NoiseClip(gain=4))  # no warning, which would be an error
