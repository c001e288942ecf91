"""Stacks made by the workers of a dask cluster equal those of one machine, byte for byte.

All tests share a cluster of two processes on this machine.
"""

import importlib
import os
import signal
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

import starfield
from gpustack import (
    AvgSigmaClip,
    ClusterError,
    Flags,
    Grow,
    Image,
    InputError,
    Offsets,
    Register,
    Reproject,
    SigmaClip,
    ToFile,
    stack,
)
from gpustack.cli import cli
from gpustack.cluster import client as client_side
from gpustack.errors import BackendError, MissingFileError
from gpustack.recipe import MAPS, OUTPUTS
from skips import missing

if find_spec("distributed") is None and missing("distributed"):
    pytest.skip("there is no distributed", allow_module_level=True)

#: Most runs combine the frames unaligned, though they are shifted on the sky.
pytestmark = [
    pytest.mark.filterwarnings("ignore:frames are not aligned"),
    pytest.mark.usefixtures("stopped_clock"),
]

N, SHAPE = 6, (41, 30)
#: All outputs but the map of flags, which only frames with integer masks have.
ALL = (*OUTPUTS, *(name for name in MAPS if name != "flags"))


@pytest.fixture(scope="module")
def client():
    """The client of a cluster of two processes with two threads each."""
    import dask
    from distributed import Client, LocalCluster

    how = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "5s"}),
        LocalCluster(memory_limit=0, **how) as cluster,
        Client(cluster, set_as_default=False) as one,
    ):
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of files that overlap on the sky, with masks, variances and outliers."""
    path, rng = tmp_path_factory.mktemp("frames"), np.random.default_rng(5)
    for f in range(N):
        plane = rng.normal(1000 + 20 * f, 10, SHAPE)
        plane[rng.random(SHAPE) < 0.04] += 800
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 10.0 + f / 50})
        header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0})
        header.update({"CRPIX1": 15.0 - f, "CRPIX2": 20.0 + f, "CDELT1": -1e-4, "CDELT2": 1e-4})
        bits = np.where(rng.random(SHAPE) < 0.05, 1 << rng.integers(0, 3, SHAPE), 0)
        hdus = [
            fits.PrimaryHDU(plane.astype("f4"), header),
            fits.ImageHDU(bits.astype("i2"), name="MASK"),
            fits.ImageHDU(np.full(SHAPE, 100.0 + f, "f4"), name="VAR"),
        ]
        fits.HDUList(hdus).writeto(path / f"f{f}.fits")
    fits.writeto(path / "bad.fits", np.eye(*SHAPE, dtype="u1"))
    (path / "shifts").write_text("".join(f"{f} {-f}\n" for f in range(N)))
    return path


def everything(result):
    """All contents of a result, as bytes and text; None for a map that it lacks."""
    names = ("data", "uncertainty", "mask", "count", "low", "high", *MAPS)
    arrays = {name: getattr(result, name) for name in names}
    told = {name: a if a is None else np.asarray(a).tobytes() for name, a in arrays.items()}
    return told | {"header": result.header.tostring(), "frames": repr(result.per_frame)}


SIGMA = SigmaClip(spread="mad_std")
GRID = fits.Header({"NAXIS": 2, "NAXIS1": 33, "NAXIS2": 44, "CTYPE1": "RA---TAN"})
GRID.update({"CTYPE2": "DEC--TAN", "CRVAL1": 30 / 2.9999, "CRVAL2": 20.0, "CRPIX1": 50 / 3})
GRID.update({"CRPIX2": 20.5, "CDELT1": -1e-4, "CDELT2": 1.1e-4})
CASES = {
    "mean": {},
    "median": {"combine": "median", "scale": "mad", "zero": "median"},
    "clips": {"clips": SIGMA, "scale": "median", "weights": "noise", "outputs": ALL},
    "grow": {"clips": [SIGMA, Grow(2.5)], "outputs": ALL, "weights": (1, 2, 3, 4, 5, 6)},
    "rows": {"clips": AvgSigmaClip(low=2, high=2), "memory": "150kB"},
    "variance": {"weights": "variance", "uncertainty": "propagated"},
    "flags": {"flags": Flags(bad=(2,)), "scale": "median", "outputs": (*ALL, "flags")},
    "reproject": {"align": Reproject(target="optimal"), "clips": [SIGMA, Grow()], "outputs": ALL},
    "grid": {"align": Reproject(GRID, method="adaptive"), "scale": "median"},
    "offsets": {"align": Offsets(), "zero": "median"},
    "overlap": {"align": Offsets(), "zero": "overlap"},
}


@pytest.mark.parametrize("how", CASES.values(), ids=CASES)
def test_a_cluster_makes_what_one_machine_makes(client, folder, how):
    frames = str(folder / "f*.fits")
    told = everything(stack(frames, client=client, backend="cpu", **how))
    assert told == everything(stack(frames, backend="cpu", **how))


def test_names_may_be_relative_and_masks_apart(client, folder, monkeypatch):
    monkeypatch.chdir(folder)
    frames = [Image(f"f{f}.fits", mask="bad.fits") for f in range(N)]
    how = {"align": Offsets("@shifts"), "backend": "cpu"}
    assert everything(stack(frames, client=client, **how)) == everything(stack(frames, **how))


def test_a_mask_in_the_current_folder_of_the_client_is_found(client, tmp_path, monkeypatch):
    """A keyword names the mask. The current folder of a worker is another one, without the mask."""
    (tmp_path / "night").mkdir()
    for f in range(3):
        header = fits.Header({"BUNIT": "adu", "BADPIX": "bad_here.fits"})
        fits.writeto(tmp_path / f"night/{f}.fits", np.full((8, 8), f, "f4"), header)
    fits.writeto(tmp_path / "bad_here.fits", np.eye(8, dtype="u1"))
    monkeypatch.chdir(tmp_path)
    frames = [Image(f"night/{f}.fits", mask="!BADPIX") for f in range(3)]
    result = stack(frames, client=client, backend="cpu")
    np.testing.assert_array_equal(result.mask, np.eye(8, dtype=bool))


@pytest.mark.parametrize("by", ["phase", "stars"])
def test_frames_aligned_by_what_is_seen_are_the_same_in_compressed_files_too(client, tmp_path, by):
    pytest.importorskip("skimage")
    pytest.importorskip("astroalign")
    stars, shape = starfield.field((120, 130), apart=14, around=10), (120, 130)
    for f, shift in enumerate((0, 1.7 - 3.2j, -2.4 + 0.6j)):
        image = starfield.taken(stars, shape, shift=shift, seed=f).astype("f4")
        # Compressed by tiles or as a whole; both are read starting at any row.
        kind = fits.CompImageHDU if f else fits.ImageHDU
        hdu = kind(image, fits.Header({"BUNIT": "adu"}), name="SCI")
        hdu.writeto(tmp_path / f"{f}.fits{'' if f else '.gz'}")
    frames, how = str(tmp_path / "*.fits*"), {"align": Register(by=by), "clips": SIGMA}
    made = stack(frames, client=client, backend="cpu", **how)
    assert any(made.per_frame["dy"])
    assert everything(made) == everything(stack(frames, backend="cpu", **how))


@pytest.mark.parametrize("chunks", [(2, 10, 30), (1, 41, 30), (N, 3, 7)], ids=str)
@pytest.mark.parametrize("name", ["median", "grow"])
def test_dask_arrays_are_not_gathered(client, folder, name, chunks):
    import dask.array as da

    cube = np.stack([fits.getdata(path) for path in sorted(folder.glob("f*.fits"))])
    far = da.from_array(cube, chunks=chunks)
    how = {"unit": "adu", "backend": "cpu"} | {
        key: value if key != "outputs" else tuple(set(value) - {"exposure"})
        for key, value in CASES[name].items()
    }
    made, expected = stack(far, client=client, **how), stack(cube, **how)
    assert everything(made) == everything(expected)
    assert made.unit is expected.unit


def test_blocks_of_a_dask_array_may_be_empty(client, folder):
    import dask.array as da

    far = da.ones((3, 8, 9), chunks=((0, 3), (0, 8), (9, 0)))
    assert (stack(far, client=client, backend="cpu").data == 1).all()
    with pytest.raises(InputError, match=r"with at least one frame, got shape \(0, 8, 9\)"):
        stack(far[:0], client=client)


@pytest.mark.parametrize("clips", [[SIGMA], [SIGMA, Grow(2)]], ids=["clip", "grow"])
def test_blocks_of_a_dask_array_are_within_the_limit(client, monkeypatch, clips):
    import dask.array as da

    rows, block_of = [], client_side.block_of
    monkeypatch.setattr(
        client_side, "block_of", lambda array, near: rows.append(near.rows) or block_of(array, near)
    )
    cube = np.random.default_rng(8).normal(1000, 10, (40, 120, 50)).astype("f4")
    limit, row_bytes = 100_000, cube[:, 0].nbytes
    far = da.from_array(cube, chunks=(40, 4, 50))
    made = stack(far, client=client, backend="cpu", memory=limit, clips=clips)
    assert everything(made) == everything(stack(cube, backend="cpu", clips=clips))
    assert max(rows) == limit // row_bytes


def test_what_needs_samples_here_is_refused_of_a_dask_array(client):
    import dask.array as da

    far = da.ones((3, 8, 9), chunks=4)
    for how in ({"scale": np.ma.median}, {"zero": "overlap"}):
        with pytest.raises(InputError, match="the client has no samples of a dask array: expected"):
            stack(far, client=client, **how)
    with pytest.raises(InputError, match=r"align: expected None for a dask array, .*, got wcs"):
        stack(far, client=client, align="wcs")
    with pytest.raises(InputError, match=r"expected a dask array \(frame, y, x\) of known shape"):
        stack(far[0], client=client)
    with pytest.raises(InputError, match="unit: expected a unit that astropy knows, got 'bogus'"):
        stack(far, client=client, unit="bogus")
    with pytest.raises(InputError, match="flags bad=1: expected frames with integers"):
        stack(far, client=client, flags=Flags(bad=1))
    with pytest.raises(InputError, match="frames: expected client= for a dask array, got none"):
        stack(far)


def test_what_a_cluster_cannot_take_is_refused(client, folder):
    frames = str(folder / "f*.fits")
    with pytest.raises(InputError, match=r"client: expected a distributed\.Client, got 'tcp"):
        stack(frames, client="tcp://here:8786")
    with pytest.raises(InputError, match="no samples are sent, got ndarray for frame 0"):
        stack(np.ones((3, 4, 5)), client=client)
    with pytest.raises(InputError, match=r"weights: .* with client=.*, got an array of shape"):
        stack(frames, client=client, weights=np.ones((N, *SHAPE)))
    with pytest.raises(InputError, match=r"look: expected False with client=, as the samples"):
        stack(frames, client=client, look=True)
    with pytest.raises(BackendError, match=r"backend 'cuda' cannot work on worker tcp://"):
        stack(frames, client=client, backend="cuda")


def test_what_a_cluster_cannot_take_is_refused_before_frames_are_read(client, folder, monkeypatch):
    def survey(*arguments):
        raise AssertionError("read all frames before that was said")

    monkeypatch.setattr("gpustack.cluster.Cluster.survey", survey)
    for how in ({"look": True}, {"weights": np.ones((N, *SHAPE))}):
        with pytest.raises(InputError, match="client="):
            stack(str(folder / "f*.fits"), client=client, scale="median", **how)


def test_workers_without_gpustack_are_told_of(client, folder, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def usable():\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    usable = importlib.import_module("only_here").usable
    monkeypatch.setattr("gpustack.cluster.tasks.usable", usable)
    with pytest.raises(ClusterError, match=r"worker tcp://.*: expected gpustack, got: .*No module"):
        stack(str(folder / "f*.fits"), client=client)


@pytest.mark.parametrize("words", [[], ["--clip", "sigma:spread=mad_std", "--clip", "grow"]])
def test_the_file_of_the_command_line_is_the_same(client, folder, tmp_path, words):
    frames, found = [str(path) for path in sorted(folder.glob("f*.fits"))], []
    for more in ([], ["--dask", client.scheduler.address]):
        output = tmp_path / f"{len(more)}.fits"
        how = ["--scale", "median", "--backend", "cpu", "--maps", "count,reason,rejections,frames"]
        given = ["combine", *frames, "-o", str(output), *how, *words, *more]
        done = CliRunner().invoke(cli, given, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        found.append(output.read_bytes())
    assert found[0] == found[1]


def test_a_frame_that_one_worker_cannot_read_is_named_with_the_worker(
    client, folder, tmp_path, monkeypatch
):
    lost = str(folder / "f3.fits")
    blind = min(client.nthreads())
    client.run(lose, lost, workers=[blind])
    # With so few rows, the other worker might get all of them.
    monkeypatch.setattr(client, "submit", partial(client.submit, workers=[blind]))
    try:
        with pytest.raises(MissingFileError) as told:
            stack(str(folder / "f*.fits"), client=client, outputs=ToFile(tmp_path / "out.fits"))
    finally:
        client.run(find_again, workers=[blind])
    assert str(told.value).startswith(f"{lost}: expected a FITS file, got no such file (worker ")
    assert f"{blind} on " in str(told.value)
    assert not [*tmp_path.iterdir()]


def lose(name):
    """Make this process fail to open a file, until `find_again`."""
    from gpustack.cluster import opening

    def fail(items, **how):
        if name in items:
            raise MissingFileError(name, "expected a FITS file, got no such file")
        return opening.kept_open_frames(items, **how)

    opening.kept_open_frames, opening.open_frames = opening.open_frames, fail


def find_again():
    """Undo `lose`."""
    from gpustack.cluster import opening

    opening.open_frames = opening.kept_open_frames


def test_a_worker_that_is_killed_costs_its_bands_again(client, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("gpustack.cluster.task_plan.TASKS_PER_WORKER", 10)
    frames, how = str(folder / "f*.fits"), {"clips": [SIGMA, Grow()], "backend": "cpu"}
    killed, told = [], []

    def progress(done, rows):
        told.append(done)
        if not killed:
            killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    scheduler = client.cluster.scheduler
    scheduler.transition_log.clear()
    outputs = ToFile(tmp_path / "out.fits", maps=("rejections", "frames"))
    stack(frames, client=client, outputs=outputs, progress=progress, **how)
    made = [one[0] for one in scheduler.transition_log if one[1:3] == ("processing", "memory")]
    made = [key for key in map(str, made) if key.startswith("gpustack_make_rows")]
    bands = len(told)
    assert bands == len(set(made)) > 10
    assert told[0] < told[-1] == SHAPE[0]
    assert len(made) <= bands + 2
    again = ToFile(tmp_path / "again.fits", maps=("rejections", "frames"))
    stack(frames, outputs=again, **how)
    assert (tmp_path / "out.fits").read_bytes() == (tmp_path / "again.fits").read_bytes()
    assert killed[0] not in client.run(os.getpid).values()
