"""Every byte is read once, and files are reopened only if a process runs out of descriptors."""

import errno
import gzip
import io
import os
import resource
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpustack import SigmaClip, ToFile, WinsorizedClip, stack
from gpustack.errors import FrameError
from gpustack.frames import onfile, open_frames
from gpustack.frames.onfile import kept_open
from gpustack.plan import plan_bands

N, SHAPE = 9, (400, 300)
DATA = 4 * SHAPE[0] * SHAPE[1]


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(4)
    for i in range(N):
        plane = rng.normal(100, 5, SHAPE).astype(np.float32)
        fits.writeto(tmp_path / f"f{i}.fits", plane, fits.Header({"BUNIT": "adu"}))
    return [str(path) for path in sorted(tmp_path.glob("f*.fits"))]


@pytest.fixture
def counted(monkeypatch):
    """Count how often each file is opened for its samples, and the bytes read from it."""
    opens, bytes_of = Counter(), Counter()

    def opened(self, name):
        opens[name] += 1
        return io.FileIO(name)

    def read_at(file, at, buffer):
        got = onfile.read_at(file, at, buffer)
        bytes_of[file.name] += got
        return got

    monkeypatch.setattr(onfile._OpenFiles, "_opened", opened)
    monkeypatch.setattr("gpustack.frames.planes.read_at", read_at)
    return opens, bytes_of


RECIPES = {
    "mean": ({}, 1),
    "median": ({"combine": "median"}, 1),
    "clip": ({"clips": SigmaClip(spread="mad_std")}, 1),
    "winsorized": ({"clips": WinsorizedClip(), "weights": [*range(1, N + 1)]}, 1),
    "scaled": ({"scale": "median"}, 2),
    "callable": ({"scale": lambda frame: float(frame.mean())}, 2),
    "both": ({"scale": "mad", "zero": "median"}, 2),
}


@pytest.mark.parametrize("door", ["memory", "file"])
@pytest.mark.parametrize(("how", "passes"), RECIPES.values(), ids=RECIPES)
def test_every_byte_is_read_once(files, tmp_path, counted, how, passes, door):
    opens, bytes_of = counted
    more = {"outputs": ToFile(tmp_path / "out.fits")} if door == "file" else {}
    bands = []
    stack(
        files,
        **how,
        **more,
        backend="cpu",
        memory="400kB",
        progress=lambda done, _: bands.append(done),
    )
    assert len(bands) > 10
    assert bytes_of == dict.fromkeys(files, passes * DATA)
    assert opens == dict.fromkeys(files, 1)


def test_without_descriptors_files_are_opened_again(files, counted, monkeypatch):
    opens, bytes_of = counted
    monkeypatch.setattr(onfile, "_open_limit", lambda: 3)
    bands = []
    stack(files, backend="cpu", memory="400kB", progress=lambda done, _: bands.append(done))
    assert bytes_of == dict.fromkeys(files, DATA)
    kept = [name for name, times in opens.items() if times == 1]
    assert len(kept) == 3
    assert max(opens.values()) == len(bands)


def open_now(folder):
    """The files of a folder that this process has open."""
    found = (path.resolve() for path in Path("/proc/self/fd").iterdir())
    return [path for path in found if path.parent == folder]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_no_file_stays_open(files, tmp_path):
    seen = []

    def look(done, total):
        seen.append(len(open_now(tmp_path)))
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack(files, backend="cpu", memory="400kB", progress=look)
    assert max(seen) >= N - 2
    assert open_now(tmp_path) == []


def test_a_process_may_have_few_files(files, counted, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8, 8))
    assert onfile._open_limit() == 4
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert onfile._open_limit() > 1000


@pytest.mark.parametrize("of", [errno.EMFILE, errno.ENFILE])
def test_where_descriptors_are_used_up_others_are_closed(files, monkeypatch, of):
    frames = open_frames(files)
    real, failed = Path.open, []

    def scarce(self, *args, **kwargs):
        if self.name == "f3.fits" and not failed:
            failed.append(self)
            raise OSError(of, "Too many open files")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", scarce)
    with kept_open():
        for frame in frames:
            frame.read(0, 10)
    assert failed


def test_files_stay_open_for_the_last_who_wants_it(files, counted):
    (frame,) = open_frames(files[0])
    with kept_open():
        with kept_open():
            frame.read(0, 10)
        frame.read(10, 20)
        assert counted[0] == {files[0]: 1}
    frame.read(20, 30)
    assert counted[0] == {files[0]: 2}


@pytest.mark.parametrize("change", ["vanish", "replace", "rewrite"])
def test_what_is_open_must_have_its_name(files, change):
    (frame,) = open_frames(files[0])
    path = Path(files[0])
    with kept_open():
        frame.read(0, 10)
        if change == "vanish":
            path.unlink()
        elif change == "replace":
            Path(files[1]).replace(path)
        else:
            path.write_bytes(Path(files[1]).read_bytes() + bytes(2880))
        message = "no such file" if change == "vanish" else "changed since it was opened"
        with pytest.raises(FrameError, match=rf"f0\.fits: .*{message}"):
            frame.read(10, 20)


def test_a_file_that_was_another_for_a_while_is_not_read_from_that(files):
    (frame,) = open_frames(files[0])
    path, other = Path(files[0]), Path(files[1])
    aside = path.with_name("aside")
    expected = frame.read(0, 10).data.copy()
    path.rename(aside)
    other.rename(path)
    with kept_open():
        with pytest.raises(FrameError, match="changed since it was opened"):
            frame.read(0, 10)
        path.rename(other)
        aside.rename(path)
        np.testing.assert_array_equal(frame.read(0, 10).data, expected)


#: Bytes that may be read beyond those needed, as a fraction of the length of the files.
BEYOND = 0.5


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        ({"outputs": ("sigma",)}, 2),
        ({"clips": ["sigma", "grow:radius=3"]}, 2),
        ({"clips": ["sigma", "grow:radius=3"], "outputs": ("sigma",)}, 3),
        ({"clips": ["avgsigma"]}, 3),  # measuring the noise takes two
    ],
    ids=["map", "grow", "grow and map", "row noise"],
)
def test_what_needs_bands_again_does_not_inflate_all_before_them(files, monkeypatch, asked, times):
    taken = []

    class Counted(onfile.Reopened):
        def readinto(self, buffer):
            taken.append(super().readinto(buffer))
            return taken[-1]

    packed = [Path(f"{file}.gz") for file in files]
    for path, file in zip(packed, files, strict=True):
        path.write_bytes(gzip.compress(Path(file).read_bytes(), 1))
    monkeypatch.setattr("gpustack.frames.planes.Reopened", Counted)
    bands = []
    monkeypatch.setattr(
        "gpustack.maps.plan.plan_bands", lambda *a: bands.append(plan_bands(*a)) or bands[-1]
    )
    got = stack(packed, memory="400kB", backend="cpu", **asked)
    assert max(map(len, bands)) > 10
    assert sum(taken) < (times + BEYOND) * sum(path.stat().st_size for path in packed)
    want = stack(files, backend="cpu", **asked)
    np.testing.assert_array_equal(got.data, want.data)


def test_no_more_streams_than_so_many_follow_the_first(files, monkeypatch):
    monkeypatch.setattr("gpustack.frames.planes._MOST_EXTRA_STREAMS", 2)
    packed = [Path(f"{file}.gz") for file in files]
    for path, file in zip(packed, files, strict=True):
        path.write_bytes(gzip.compress(Path(file).read_bytes(), 1))
    frames, (first, second) = open_frames(packed), ((100, 110), (50, 60))
    for rows in (first, second, first):
        for frame, file in zip(frames, files, strict=True):
            np.testing.assert_array_equal(frame.read(*rows).data, fits.getdata(file)[slice(*rows)])
    assert sorted(len(frame.image._streams) for frame in frames) == [1] * (N - 2) + [2] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_reads_past_nothing_of_its_parent(files):
    # An open file that both share has one offset, so a read by one would move that of the other.
    path = Path(files[0] + ".gz")
    path.write_bytes(gzip.compress(Path(files[0]).read_bytes(), 1))
    (frame,) = open_frames(path)
    with kept_open():
        frame.read(0, 10)
        ((file,),) = onfile._open_files._free.values()
        before = file.tell()
        child = os.fork()
        if child == 0:
            frame.read(200, 300)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert file.tell() == before


def test_tiles_are_read_about_once_though_astropy_seeks_to_and_fro(tmp_path, monkeypatch):
    """Only headers and the blocks at both ends of a band are read more than once."""
    rng, real, taken, bands = np.random.default_rng(5), onfile.read_at, [], []
    for f in range(3):
        hdu = fits.CompImageHDU(rng.normal(1000, 100, (1500, 600)).astype("i2"))
        hdu.writeto(tmp_path / f"{f}.fits.fz")
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    monkeypatch.setattr(onfile, "read_at", lambda *of: taken.append(real(*of)) or taken[-1])
    stack(
        str(tmp_path / "*.fz"),
        unit="adu",
        backend="cpu",
        memory="8MB",
        progress=lambda done, _: bands.append(done),
    )
    assert len(bands) > 10
    assert 0.9 * size < sum(taken) < 2.5 * size


def test_what_astropy_reads_is_what_the_file_has_wherever_it_seeks(tmp_path, monkeypatch):
    """Tested with a system whose reads return fewer bytes than requested."""
    monkeypatch.setattr(onfile, "_BLOCK", 64)
    real = onfile.read_at
    monkeypatch.setattr(onfile, "read_at", lambda file, at, view: real(file, at, view[:50]))
    content = np.random.default_rng(6).bytes(1000)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb", buffering=0) as file:
        found = io.BufferedReader(onfile._BlockCachedStream(file), 16)
        for at, size in ((0, 10), (60, 10), (5, 200), (190, 3), (990, 30), (64, 64), (999, 1)):
            assert found.seek(at) == at
            assert found.read(size) == content[at : at + size]
            assert found.seek(-4, io.SEEK_END) == 996
            assert found.seek(-6, io.SEEK_CUR) == 990
            assert found.read() == content[990:]
