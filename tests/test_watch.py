"""Watching a folder in which frames arrive."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpustack import Flags, InputError, SigmaClip, stack
from gpustack.errors import FrameError
from gpustack.live.watching import Arrivals, watch

HEADER = fits.Header({"BUNIT": "adu"})


def write(path, seed=0, shape=(20, 30)):
    data = np.random.default_rng(seed).normal(100, 3, shape).astype(np.float32)
    fits.writeto(path, data, HEADER)
    return path


def arrivals(folder, pattern="*.f[it][ts]*", **more):
    opening = {"hdu": None, "unit": None, "flags": None}
    return Arrivals(folder, pattern, folder / "out.fits", opening, **more)


def names(paths):
    return [os.path.basename(path) for path in paths]  # noqa: PTH119


@pytest.mark.parametrize(
    ("pattern", "there"),
    [
        ("*.f[it][ts]*", ["A.FIT", "a1.fits", "b.FITS", "c.fts", "d.fits.gz", "É.fit"]),
        ("[!A]*.Fit*", ["b.FITS", "d.fits.gz", "É.fit"]),
        ("a?.fits", ["a1.fits"]),
        ("[!]1a]*.fit", ["É.fit"]),
        ("é.FIT", ["É.fit"]),
    ],
)
def test_names_match_in_capitals_too(tmp_path, pattern, there):
    frames = ["A.FIT", "a1.fits", "b.FITS", "c.fts", "d.fits.gz", "É.fit"]
    for name in (*frames, "e.fig", "f.final.png", "g.first.txt", "fits"):
        write(tmp_path / name)
    watched = arrivals(tmp_path, pattern)
    watched.look()
    assert names(watched.look()) == there


@pytest.mark.parametrize("pattern", ["", "night/*.fits", "/*.fits"])
def test_a_pattern_that_is_none_of_names(tmp_path, pattern):
    with pytest.raises(
        InputError,
        match=f"expected a pattern of file names without a folder, got '{re.escape(pattern)}'",
    ):
        watch(arrivals(tmp_path, pattern), print)


COMMAND = [sys.executable, "-m", "gpustack", "watch", ".", "-o", "out.fits"]
OPTIONS = ["--clip", "sigma:low=1.5,high=1.5", "--interval", "0.05", "--backend", "cpu"]


def wait_for(condition, seconds=60):
    """Wait until the condition holds; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def combined(path):
    """The number of frames of a result; 0 if there is none yet."""
    return fits.getval(path, "NCOMBINE") if path.exists() else 0


def test_a_frame_counts_once_it_no_longer_changes(tmp_path):
    looking = arrivals(tmp_path)
    assert looking.look() == []
    whole = write(tmp_path / "a.fits").read_bytes()
    (tmp_path / "b.fits").write_bytes(whole[:3000])
    assert looking.look() == []
    (tmp_path / "b.fits").write_bytes(whole[:5000])
    assert names(looking.look()) == ["a.fits"]
    (tmp_path / "b.fits").write_bytes(whole)
    assert names(looking.look()) == ["a.fits"]
    assert names(looking.look()) == ["a.fits", "b.fits"]
    (tmp_path / "a.fits").unlink()
    assert names(looking.look()) == ["b.fits"]


def test_what_is_no_frame_is_told_of_once(tmp_path, caplog):
    looking = arrivals(tmp_path)
    write(tmp_path / "a.fits")
    (tmp_path / "bad.fits").write_bytes(b"no FITS" * 1000)
    (tmp_path / "empty.fits").touch()  # waited for
    write(tmp_path / "small.fits", shape=(3, 3))
    write(tmp_path / "out.fits")
    write(tmp_path / ".hidden.fits")
    for _ in range(4):
        found = looking.look()
    assert names(found) == ["a.fits"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert any("bad.fits: " in text and "left out until it changes" in text for text in told)
    assert any("small.fits" in text and "frames differ in shape" in text for text in told)


def test_frames_that_are_aligned_need_not_agree_in_shape(tmp_path):
    looking = arrivals(tmp_path, agree=("unit",))
    write(tmp_path / "a.fits")
    write(tmp_path / "small.fits", shape=(3, 3))
    looking.look()
    assert names(looking.look()) == ["a.fits", "small.fits"]


def test_the_command_aligns_frames_of_any_shape(tmp_path):
    write(tmp_path / "a.fits")
    write(tmp_path / "small.fits", shape=(3, 3))
    command = [*COMMAND, "--interval", "0.05", "--align", "offsets:source=[(0,0),(0,0)]"]
    with started([*command, "--stop-after", "2"], tmp_path) as process:
        said = process.communicate(timeout=60)[1]
    assert "left out" not in said
    assert combined(tmp_path / "out.fits") == 2


def test_frames_left_out_come_in_once_the_first_is_gone(tmp_path, caplog):
    looking = arrivals(tmp_path)
    write(tmp_path / "a.fits", shape=(3, 3))
    looking.look()
    assert names(looking.look()) == ["a.fits"]
    write(tmp_path / "b.fits")
    write(tmp_path / "c.fits")
    looking.look()
    assert names(looking.look()) == ["a.fits"]
    (tmp_path / "a.fits").unlink()
    assert names(looking.look()) == ["b.fits", "c.fits"]
    assert len(caplog.records) == 2


def test_a_first_frame_that_is_replaced_is_compared_with_the_others(tmp_path, caplog):
    looking = arrivals(tmp_path)
    for name in "abc":
        write(tmp_path / f"{name}.fits")
    looking.look()
    assert len(looking.look()) == 3
    (tmp_path / "a.fits").unlink()
    write(tmp_path / "a.fits", shape=(3, 3))
    assert names(looking.look()) == ["b.fits", "c.fits"]
    assert names(looking.look()) == ["b.fits", "c.fits"]
    (told,) = [record.getMessage() for record in caplog.records]
    assert re.search(r"expected \(20, 30\) as in \S*b.fits, got \(3, 3\) in \S*a.fits; left", told)


def test_a_first_frame_that_changes_while_it_is_alone_stays_the_first(tmp_path, caplog):
    looking = arrivals(tmp_path)
    write(tmp_path / "b.fits")
    looking.look()
    looking.look()
    write(tmp_path / "a.fits", shape=(3, 3))
    looking.look()
    looking.look()
    os.utime(tmp_path / "b.fits", (1, 1))
    assert looking.look() == []
    assert names(looking.look()) == ["b.fits"]
    (tmp_path / "b.fits").unlink()
    write(tmp_path / "b.fits", shape=(3, 3))
    for _ in range(3):
        found = looking.look()
    assert names(found) == ["a.fits", "b.fits"]
    told = [record.getMessage() for record in caplog.records]
    assert told
    assert all(re.search(r" as in \S*b\.fits, ", text) for text in told)


def test_the_same_names_are_stacked_anew_after_all_were_gone(tmp_path):
    looks = iter([["a"], ["a"], [], ["a"], ["a", "b"]])
    looking, seen = arrivals(tmp_path), []
    looking.look = lambda: next(looks)
    watch(looking, seen.append, interval=0.001, stop_after=2)
    assert seen == [["a"], ["a"], ["a", "b"]]


@pytest.mark.parametrize("given", ["b.fits", "../{}/b.fits", "link.fits"])
def test_a_frame_is_no_output(tmp_path, given):
    for name in "abc":
        write(tmp_path / f"{name}.fits")
    (tmp_path / "link.fits").symlink_to("b.fits")
    looking = arrivals(tmp_path)
    looking.output = tmp_path / given.format(tmp_path.name)
    with pytest.raises(
        FrameError, match=r"b\.fits: expected another output, got one of the frames"
    ):
        watch(looking, print, stop_after=1)


def test_the_command_replaces_its_own_result_but_no_frame(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.fits")
    before = (tmp_path / "b.fits").read_bytes()
    command = [*COMMAND, *OPTIONS, "--maps", "count", "--stop-after", "3", "--overwrite"]
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
        assert combined(tmp_path / "out.fits") == 3
        assert fits.getdata(tmp_path / "out.fits", "COUNT").shape == (20, 30)
    done = subprocess.run(
        [*command, "-o", "b.fits"], cwd=tmp_path, check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == b"gpustack: b.fits: expected another output, got one of the frames\n"
    assert (tmp_path / "b.fits").read_bytes() == before


def test_each_arrival_is_a_stack_of_all(tmp_path):
    seen = []
    write(tmp_path / "0.fits")

    def restack(frames):
        seen.append(names(frames))
        if len(frames) < 3:
            write(tmp_path / f"{len(frames)}.fits")

    watch(arrivals(tmp_path), restack, interval=0.01, stop_after=3)
    assert seen == [["0.fits"], ["0.fits", "1.fits"], ["0.fits", "1.fits", "2.fits"]]


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(InputError, match="watch: expected a folder, got"):
        watch(arrivals(tmp_path / "none"), print)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"watch: expected a folder, got .*file: Not a directory"):
        watch(arrivals(tmp_path / "file"), print)


def test_a_folder_that_cannot_be_listed_for_a_moment(tmp_path, monkeypatch):
    """Shared file systems raise such errors for stale handles."""
    folder = arrivals(tmp_path)
    path = write(tmp_path / "a.fits")

    def fails(_):
        raise OSError(errno.ESTALE, "stale")

    folder.look()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", fails)
        assert folder.look() == []
    folder.look()
    assert folder.look() == [str(path)]


@contextmanager
def started(command, folder):
    """Start a process and kill it at the end, even if the test fails: `Popen` would wait for it."""
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_command_gives_what_combine_gives_after_each_frame(tmp_path):
    out = tmp_path / "out.fits"
    with started([*COMMAND, *OPTIONS], tmp_path) as process:
        for n in range(1, 6):
            write(tmp_path / f"{n}.fits", seed=n)
            wait_for(lambda n=n: process.poll() is not None or combined(out) == n)
        expected = stack(str(tmp_path / "[1-5].fits"), SigmaClip(1.5, 1.5), backend="cpu")
        np.testing.assert_array_equal(fits.getdata(out), expected.data)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.endswith("gpustack: stopped\n")
    assert "out.fits: 5 frames of 30 x 20" in said
    assert not list(tmp_path.glob(".*")), "no temporary file stays"


@pytest.mark.parametrize("how", ["never", "at first"])
def test_the_command_tells_by_its_code_that_no_result_was_made(tmp_path, how):
    """With a single frame, a clip that rejects two samples leaves none."""
    command = [*COMMAND, "--clip", "extrema:nlow=1,nhigh=1", "--interval", "0.05"]
    command += ["--stop-after", "1" if how == "never" else "3"]
    write(tmp_path / "1.fits")
    with started(command, tmp_path) as process:
        first = process.stderr.readline()
        for n in range(2, 4 if how == "at first" else 2):
            write(tmp_path / f"{n}.fits", seed=n)
        said = process.stderr.read()
    assert first.startswith("gpustack: ")
    assert (tmp_path / "out.fits").exists() == (how == "at first")
    if how == "never":
        assert process.returncode == 2
        assert said == "gpustack: out.fits: not made, as the frames could not be combined\n"
    else:
        assert process.returncode == 0


def test_a_reader_never_sees_half_a_result(tmp_path):
    """Every read finds a complete file while it is rewritten repeatedly."""
    out, done, broken = tmp_path / "out.fits", threading.Event(), []

    def read():
        while not done.is_set():
            if out.exists():
                try:
                    with fits.open(out, memmap=False) as hdus:
                        assert np.isfinite(hdus[0].data).all()
                except Exception as err:  # noqa: BLE001 - any error is a failure
                    broken.append(err)

    reader = threading.Thread(target=read)
    reader.start()
    try:

        def restack(frames):
            stack([*frames, *frames], backend="cpu").write(out, overwrite=True)
            write(tmp_path / f"{len(frames)}.fits", seed=len(frames))

        write(tmp_path / "0.fits")
        # Of more than six repeated frames, the first five are named, and the rest counted.
        with pytest.warns(UserWarning, match="given (2|several) times"):
            watch(arrivals(tmp_path), restack, interval=0.01, stop_after=8)
    finally:
        done.set()
        reader.join()
    assert not broken


def test_files_that_cannot_be_opened_are_no_result_either(tmp_path):
    write(tmp_path / "1.fits")
    with fits.open(tmp_path / "1.fits", mode="update") as hdus:
        del hdus[0].header["BUNIT"]
    with started([*COMMAND, "--interval", "0.05"], tmp_path) as process:
        assert "left out until it changes" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 2
    assert said.endswith("out.fits: not made, as the files could not be used\n")


def test_a_stray_frame_does_not_keep_all_others_out(tmp_path):
    write(tmp_path / "0.fits", shape=(7, 9))
    for n in range(1, 4):
        write(tmp_path / f"{n}.fits", seed=n)
    arrivals = Arrivals(tmp_path, "*.fits", tmp_path / "out.fits", {})
    arrivals.look()
    assert [Path(name).name for name in arrivals.look()] == ["1.fits", "2.fits", "3.fits"]
    assert arrivals.refused


def test_a_frame_without_a_mask_comes_in_beside_those_with_flags(tmp_path):
    """As in `combine`, it is enough if some frame has flags."""
    write(tmp_path / "1.fits")
    write(tmp_path / "2.fits", seed=1)
    with fits.open(tmp_path / "2.fits", mode="append") as hdus:
        hdus.append(fits.ImageHDU(np.zeros((20, 30), "i2"), name="DQ"))
    opening = {"hdu": None, "unit": None, "flags": Flags(bad=2)}
    looking = Arrivals(tmp_path, "*.fits", tmp_path / "out.fits", opening)
    looking.look()
    assert names(looking.look()) == ["1.fits", "2.fits"]


def test_an_output_at_home_is_no_frame(tmp_path):
    """Shells do not expand ~ after an equals sign."""
    write(tmp_path / "1.fits")
    command = [*COMMAND[:-2], f"--output=~/{tmp_path.name}/1.fits", "--stop-after", "1"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path.parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "exists; replace it with" in done.stderr


def test_the_command_takes_a_frame_in_once_its_mask_is_there(tmp_path):
    out, mask = tmp_path / "out.fits", np.zeros((20, 30), "u1")
    for f in "12":
        fits.writeto(tmp_path / f"{f}_ooi.fits", np.full((20, 30), float(f)), HEADER)
    fits.writeto(tmp_path / "1_ood.fits", mask)
    with started(
        [*COMMAND, "--pattern", "*ooi*", "--masks", "ooi:ood", "--interval", "0.05"], tmp_path
    ) as process:
        assert "2_ood.fits: expected a FITS file, got no such file" in process.stderr.readline()
        fits.writeto(tmp_path / "2_ood.fits", mask)
        wait_for(lambda: combined(out) == 2)
        assert fits.getdata(out)[0, 0] == 1.5
        fits.writeto(tmp_path / "2_ood.fits", mask + 1, overwrite=True)
        wait_for(lambda: fits.getdata(out)[0, 0] == 1)
