"""A file that changes after it was opened is an error that names the file.

Rows of two files are never mixed, nor are rows of one file decoded by the header of another.
"""

import errno
import gzip
import io
import os
import shutil
import signal
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from astropy.io import fits

from fitsmaker import image_bytes
from gpustack import Image, stack
from gpustack.errors import FrameError
from gpustack.frames import FrameSource, onfile, open_frames
from gpustack.frames.onfile import read_at

RNG = np.random.default_rng(0)
SHAPE = (300, 300)
NOISE = RNG.integers(-32768, 32768, SHAPE).astype("i2")
OTHER = RNG.integers(-32768, 32768, SHAPE).astype("i2")
HOUR = 3600 * 10**9


def plain(data):
    return image_bytes(data, BUNIT="adu")


def tiles(data, **options):
    file = io.BytesIO()
    fits.CompImageHDU(data, fits.Header({"BUNIT": "adu"}), **options).writeto(file)
    return file.getvalue()


#: Name -> function that makes the file of an image. All are larger than the buffers between reads.
KINDS = {
    "plain.fits": plain,
    "gzip.fits.gz": lambda data: gzip.compress(plain(data), 1),
    "rice.fits.fz": tiles,
    "gzip2.fits.fz": lambda data: tiles(data, compression_type="GZIP_2"),
    "tiles.fits.fz.gz": lambda data: gzip.compress(tiles(data), 1),
}


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    """A good file of each kind, one hour old like an exposure that is being combined."""
    path = tmp_path / request.param
    path.write_bytes(KINDS[request.param](NOISE))
    hour_ago = path.stat().st_mtime_ns - HOUR
    os.utime(path, ns=(hour_ago, hour_ago))
    return path


def vanish(path):
    path.unlink()


def shrink(path):
    os.truncate(path, path.stat().st_size * 9 // 10)


def shrink_to_nothing(path):
    os.truncate(path, 0)


def grow(path):
    with path.open("ab") as file:
        file.write(bytes(2880))


def turn_a_bit(path):
    with path.open("r+b") as file:
        file.seek(-3000, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def replaced(path, times):
    """Replace a file by another one of the same size."""
    content = KINDS[path.name](OTHER)
    size = path.stat().st_size
    other = path.with_name("other")
    other.write_bytes(content.ljust(size, b"\0")[:size])
    os.utime(other, ns=times)
    other.replace(path)


def replace(path):
    replaced(path, (0, 0))


def replace_by_one_as_old(path):
    replaced(path, (path.stat().st_atime_ns, path.stat().st_mtime_ns))


def write_anew(path):
    path.write_bytes(KINDS[path.name](OTHER))


def make_a_folder(path):
    path.unlink()
    path.mkdir()


CHANGES = {
    vanish: "expected a FITS file, got no such file",
    make_a_folder: "expected a readable file, got: Is a directory",
    **dict.fromkeys(
        (shrink, shrink_to_nothing, grow, turn_a_bit, replace, replace_by_one_as_old, write_anew),
        r"changed since it was opened: expected [\d,]+ bytes, modified .* UTC, inode \d+, got",
    ),
}
each_change = pytest.mark.parametrize(
    ("change", "message"), CHANGES.items(), ids=[change.__name__ for change in CHANGES]
)


@each_change
def test_a_change_before_the_first_row(path, change, message):
    (frame,) = open_frames(path)
    change(path)
    for _ in range(2):
        with pytest.raises(FrameError, match=rf"{path.name}: {message}"):
            frame.read(0, 300)


@each_change
def test_a_change_between_rows(path, change, message):
    (frame,) = open_frames(path)
    first = frame.read(0, 100).data.copy()
    change(path)
    with pytest.raises(FrameError, match=rf"{path.name}: {message}"):
        frame.read(100, 300)
    np.testing.assert_array_equal(first, NOISE[:100])


@each_change
def test_a_change_while_it_is_read(path, change, message, monkeypatch):
    (frame,) = open_frames(path)
    check, to_come = onfile._check, [change]

    def check_and_change(name, stamp, file):
        check(name, stamp, file)
        if to_come:
            to_come.pop()(path)

    monkeypatch.setattr(onfile, "_check", check_and_change)
    if change in (vanish, make_a_folder, replace, replace_by_one_as_old):
        # An open file stays as it was; the change is seen when the path is opened again.
        with suppress(FrameError):
            np.testing.assert_array_equal(frame.read(0, 300).data, NOISE)
    with pytest.raises(FrameError, match=rf"{path.name}: {message}"):
        frame.read(0, 300)


def test_what_only_looks_like_a_change_is_none(path):
    (frame,) = open_frames(path)
    path.chmod(0o400)
    os.link(path, path.with_name("link"))
    shutil.copy(path, path.with_name("copy"))
    np.testing.assert_array_equal(frame.read(0, 300).data, NOISE)


def test_a_mask_and_an_uncertainty_beside_the_image_do_not_change_either(tmp_path):
    path = tmp_path / "ccd.fits"
    hdus = [fits.PrimaryHDU(NOISE.astype("f4"), fits.Header({"BUNIT": "adu"}))]
    hdus += [fits.ImageHDU(np.zeros(SHAPE, "u1"), name="MASK")]
    hdus += [fits.ImageHDU(np.ones(SHAPE, "f4"), name="UNCERT")]
    fits.HDUList(hdus).writeto(path)
    (frame,) = open_frames(path)
    os.utime(path, ns=(0, 0))
    for read in (frame.read, frame.mask.read, frame.read_variance):
        with pytest.raises(FrameError, match=r"ccd\.fits: changed"):
            read(0, 10)


@pytest.mark.parametrize("what", ["mask", "weight", "variance"])
def test_files_of_their_own_do_not_change_either(tmp_path, what):
    (tmp_path / "a.fits").write_bytes(plain(NOISE))
    (tmp_path / "b.fits").write_bytes(plain(np.ones(SHAPE, "i2")))
    names = [str(tmp_path / name) for name in ("a.fits", "b.fits")]
    (frame,) = open_frames(Image(names[0], **{what: names[1]}))
    os.utime(names[1], ns=(0, 0))
    with pytest.raises(FrameError, match=r"b\.fits: changed"):
        frame.read_variance(0, 10) if what == "variance" else frame.read(0, 10)


def test_lookup_tables_of_coordinates_do_not_change_either(tmp_path):
    path = tmp_path / "tables.fits"
    image = fits.PrimaryHDU(NOISE)
    cards = {"BUNIT": "adu", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CPDIS1": "LOOKUP"}
    image.header.update(cards | {"DP1": "EXTVER: 1"})
    fits.HDUList([image, fits.ImageHDU(np.zeros((2, 2), "f4"), name="WCSDVARR")]).writeto(path)
    for change, says in ((lambda: os.utime(path, ns=(0, 0)), "changed"), (path.unlink, "no such")):
        (frame,) = open_frames(path)
        change()
        with pytest.raises(FrameError, match=rf"tables\.fits: .*{says}"):
            frame.coordinates.wcs  # noqa: B018


@pytest.mark.parametrize("measured", [{}, {"scale": "median"}], ids=["one pass", "two passes"])
def test_a_stack_of_frames_that_change_is_none(tmp_path, monkeypatch, measured):
    paths = [tmp_path / f"{i}.fits" for i in range(4)]
    for path in paths:
        path.write_bytes(plain(NOISE))
    read = FrameSource.read

    def changing(self, f, start, stop, into=None):
        samples = read(self, f, start, stop, into)
        if f == 3:  # of the first band; there are more bands than threads that read ahead
            paths[2].write_bytes(plain(OTHER))
        return samples

    monkeypatch.setattr(FrameSource, "read", changing)
    row = SHAPE[1] * 2 * len(paths)
    with pytest.raises(FrameError, match=r"2\.fits: changed since it was opened"):
        stack(map(str, paths), memory=100 * row, backend="cpu", **measured)


# What the operating system may do during a read


class Stutters(io.FileIO):
    """A file whose reads return few bytes at a time."""

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:997])


@pytest.mark.parametrize("in_one_call", [True, False])
def test_short_reads_are_read_on(path, monkeypatch, in_one_call):
    (frame,) = open_frames(path)
    reads, whole = [], getattr(os, "preadv", None)

    def preadv(file, buffers, at):
        return whole(file, [memoryview(buffers[0])[:997]], at)

    if not in_one_call:  # as on Windows
        monkeypatch.delattr(os, "preadv", raising=False)
    elif whole is not None:
        monkeypatch.setattr(os, "preadv", preadv)

    @contextmanager
    def unchanged(name, stamp):
        reads.append(name)
        with Stutters(name) as file:
            yield file

    monkeypatch.setattr("gpustack.frames.onfile.unchanged", unchanged)
    monkeypatch.setattr("gpustack.frames.planes.unchanged", unchanged)
    np.testing.assert_array_equal(frame.read(3, 290).data, NOISE[3:290])
    assert reads


def test_no_call_reads_more_than_systems_allow(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"0123456789")

    def preadv(file, buffers, at):  # as on macOS
        if sum(map(len, buffers)) > 2**31 - 1:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return 5

    monkeypatch.setattr(os, "preadv", preadv, raising=False)
    buffer = np.empty(2**31, np.uint8)  # its pages are never touched
    with (tmp_path / "file").open("rb", buffering=0) as file:
        assert read_at(file, 3, buffer.data) == 5


def test_signals_do_not_disturb_reading(path):
    (frame,) = open_frames(path)
    came = []
    before = signal.signal(signal.SIGALRM, lambda *_: came.append(1))
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        while len(came) < 20:
            np.testing.assert_array_equal(frame.read(0, 300).data, NOISE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


FAILING = {
    "an error of the device": (OSError(5, "Input/output error"), "got: Input/output error"),
    "too many files": (OSError(24, "Too many open files"), "got: Too many open files"),
    "a stale handle": (OSError(116, "Stale file handle"), "got: Stale file handle"),
}


@pytest.mark.parametrize(("error", "message"), FAILING.values(), ids=FAILING)
def test_a_read_that_fails_names_the_file(path, monkeypatch, error, message):
    (frame,) = open_frames(path)

    @contextmanager
    def unchanged(name, stamp):
        raise error
        yield

    monkeypatch.setattr("gpustack.frames.onfile.unchanged", unchanged)
    monkeypatch.setattr("gpustack.frames.planes.unchanged", unchanged)
    with pytest.raises(FrameError, match=rf"{path.name}: expected a readable file, {message}"):
        frame.read(0, 300)
