"""The same command writes the same bytes; bands, threads and the date change no pixel."""

import itertools
import signal
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from gpustack import stack
from gpustack.backends.cpu import CpuBackend
from gpustack.cli import main
from gpustack.clips import parse_clip
from gpustack.recipe import OUTPUTS
from tolerances import assert_same_bits

SHAPE, N = (60, 50), 7
CASES = {
    "median": {"combine": "median"},
    "mean": {"clips": "sigma:spread=mad_std", "combine": "mean"},
    "scaled": {"clips": "winsorized", "scale": "mad", "zero": "median"},
    "grown": {"clips": "mad grow", "maps": "count,low,high,reason,rejections,coverage"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with frames that contain outliers and NaN."""
    rng = np.random.default_rng(8)
    for i in range(N):
        plane = rng.normal(1000 + 10 * i, 20, SHAPE).astype(np.float32)
        plane[rng.random(SHAPE) < 0.03] += 5000
        plane[rng.random(SHAPE) < 0.01] = np.nan
        fits.writeto(tmp_path / f"f{i}.fits", plane, fits.Header({"BUNIT": "adu", "EXPTIME": 30}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return tmp_path


def clock(year):
    """A replacement for the class `datetime` whose time is always the same moment."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(year, 1, 2, 3, 4, 5, tzinfo=tz)

    return Stopped


def command(monkeypatch, year, output, case):
    words = ["combine", "f*.fits", "-o", output, "--overwrite", "--maps", case.get("maps", "count")]
    for clip in case.get("clips", "").split():
        words += ["--clip", clip]
    for name in ("combine", "scale", "zero"):
        words += [f"--{name}", case[name]] if name in case else []
    monkeypatch.setattr("gpustack.header.datetime", clock(year))
    monkeypatch.setattr(sys, "argv", ["gpustack", *words])
    main()


@pytest.mark.parametrize("output", ["out.fits", "out.fits.gz"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_same_command_is_the_same_bytes(folder, monkeypatch, case, output):
    written = []
    for _ in range(2):
        command(monkeypatch, 2001, output, case)
        written.append((folder / output).read_bytes())
    assert written[0] == written[1]


def test_files_differ_only_in_the_date(folder, monkeypatch):
    written = []
    for year in (2001, 2002):
        command(monkeypatch, year, "out.fits", CASES["mean"])
        written.append((folder / "out.fits").read_bytes())
    one, other = (np.frombuffer(content, np.uint8).reshape(-1, 80) for content in written)
    differ = [bytes(card) for card in one[(one != other).any(axis=1)]]
    assert len(differ) == 1
    assert differ[0].startswith(b"DATE    = '2001-01-02T03:04:05'")
    assert datetime.now(UTC).year > 2002, "the clock that was stopped is not that of others"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bands_and_threads_change_no_bit(folder, monkeypatch, case):
    maps = case["maps"].split(",") if "maps" in case else []
    more = {name: case[name] for name in ("combine", "scale", "zero") if name in case}
    clips = [parse_clip(text) for text in case.get("clips", "").split()]
    more["outputs"] = (*OUTPUTS, *(name for name in maps if name not in OUTPUTS))
    results = []
    for threads, memory in itertools.product((1, 2, 3), ("250kB", "1MB", None)):
        monkeypatch.setattr(
            "gpustack.backends.CpuBackend", lambda threads=threads: CpuBackend(threads)
        )
        results.append(stack("f*.fits", clips, backend="cpu", memory=memory, **more))
    for other in results[1:]:
        assert_same_bits(results[0], other)
        for name in maps:
            np.testing.assert_array_equal(*(getattr(one, name) for one in (results[0], other)))
        for name in ("valid", "rejected", "scale", "zero"):
            np.testing.assert_array_equal(results[0].per_frame[name], other.per_frame[name])


@pytest.mark.filterwarnings("ignore:frames differ in EXPTIME")
def test_the_order_of_frames_changes_no_bit_of_the_exposure():
    seconds = [0.1, 0.2, 0.3, 0.7, 1000.0]
    frames = [
        CCDData(np.ones((2, 3)), unit="adu", header=fits.Header({"EXPTIME": time}))
        for time in seconds
    ]
    orders = (frames, frames[::-1], frames[2:] + frames[:2])
    one, *others = (stack(some, outputs="exposure").exposure for some in orders)
    for other in others:
        np.testing.assert_array_equal(one, other)
