"""Every door with backend="cuda" gives what it gives with backend="cpu".

On pretended devices, or with --require-gpu on those that there are.
"""

import gzip
import logging

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from click.testing import CliRunner

from gpustack import Combiner, ExtremaClip, RangeClip, Recipe, SigmaClip, combine, stack
from gpustack.cli import cli
from gpustack.errors import FrameError, InputError, MemoryLimitError, MismatchError, RecipeError

SHAPE = (24, 17)
CLIPS = [RangeClip(high=5000), SigmaClip(low=2, high=2, spread="mad_std")]
MAPS = ("data", "uncertainty", "mask", "count", "low", "high")


@pytest.fixture
def cube():
    rng = np.random.default_rng(7)
    cube = rng.normal(100, 5, (9, *SHAPE)).astype(np.float32)
    cube[rng.random(cube.shape) < 0.02] += 300
    cube[rng.random(cube.shape) < 0.02] = np.nan
    return cube


def same(one, other, names=MAPS):
    """The two results agree: decisions to the bit, sums to the contract."""
    for name in names:
        first, second = (getattr(result, name) for result in (one, other))
        assert first.dtype == second.dtype, name
        assert first.shape == second.shape, name
        if name in ("data", "uncertainty"):
            np.testing.assert_allclose(first, second, rtol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(first, second, err_msg=name)
    for name in ("valid", "rejected"):
        np.testing.assert_array_equal(one.frames[name], other.frames[name], err_msg=name)


def plain(folder, cube):
    """float32, as most cameras' pipelines write it."""
    for i, plane in enumerate(cube):
        fits.writeto(folder / f"{i}.fits", plane, fits.Header({"BUNIT": "adu"}))


def raw(folder, cube):
    """uint16, as cameras write it: int16 with BZERO."""
    plain(folder, np.nan_to_num(cube, nan=90).astype(np.uint16))


def zipped(folder, cube):
    """Compressed as a whole, so that rows have to be read in order."""
    plain(folder, cube)
    for path in list(folder.glob("*.fits")):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def tiled(folder, cube):
    """Tile-compressed."""
    for i, plane in enumerate(np.nan_to_num(cube, nan=90).astype(np.int16)):
        hdu = fits.CompImageHDU(plane, fits.Header({"BUNIT": "adu"}))
        hdu.writeto(folder / f"{i}.fits")


def masked(folder, cube):
    """With a MASK extension."""
    for i, plane in enumerate(cube):
        CCDData(plane, mask=plane > 110, unit="adu").write(folder / f"{i}.fits")


def wide(folder, cube):
    """uint64, which the reader turns from FITS's int64."""
    plain(folder, np.nan_to_num(cube, nan=90).astype(np.uint64))


def mixed(folder, cube):
    """Frames of several types, and one with blanks."""
    for i, plane in enumerate(cube):
        dtype = (np.float32, np.int16, np.float64)[i % 3]
        header = fits.Header({"BUNIT": "adu"} | ({"BLANK": 90} if dtype == np.int16 else {}))
        fits.writeto(folder / f"{i}.fits", np.nan_to_num(plane, nan=90).astype(dtype), header)


@pytest.fixture(params=[plain, raw, zipped, tiled, masked, wide, mixed])
def files(request, cube, tmp_path):
    """A folder of FITS files of every kind."""
    request.param(tmp_path, cube)
    return f"{tmp_path}/*.fits*"


@pytest.mark.parametrize("memory", [None, "40kB"])
def test_files_of_all_kinds(cuda, monkeypatch, files, memory):
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1)
    done = []
    found = stack(
        files, CLIPS, backend="cuda", memory=memory, progress=lambda *args: done.append(args)
    )
    same(found, stack(files, CLIPS, backend="cpu"))
    assert done[-1] == (SHAPE[0], SHAPE[0])
    assert len(done) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"combine": "median"},
        {"combine": "sum", "clips": ExtremaClip(1, 1)},
        {"combine": "min", "scale": "median"},
        {"combine": "max", "zero": "median", "dtype": "float64"},
        {"clips": CLIPS, "weights": np.arange(1.0, 10)},
        {"clips": CLIPS, "scale": np.arange(1.0, 10), "clip_on": "raw"},
        {"clips": [RangeClip(90, None), SigmaClip(maxiters=1)], "scale": "mean"},
    ],
)
def test_arrays_with_all_kinds_of_options(cuda, cube, options):
    options = {"clips": (), "combine": "mean"} | options
    names = [name for name in MAPS if name != "uncertainty" or options["combine"] not in "minmax"]
    found = stack(cube, **options, backend="cuda")
    same(found, stack(cube, **options, backend="cpu"), names)


def test_weights_of_samples_and_frames_of_many_axes(cuda, cube):
    cubes = np.stack([cube, cube + 3])
    weights = np.random.default_rng(2).random(cubes.shape)
    found = stack(cubes, CLIPS[1:], weights=weights, backend="cuda", dtype="float64")
    assert found.data.shape == cube.shape
    same(found, stack(cubes, CLIPS[1:], weights=weights, backend="cpu", dtype="float64"))


def test_only_wanted_outputs_are_made(cuda, cube):
    found = stack(cube, CLIPS, outputs=("count",), backend="cuda")
    assert found.uncertainty is None
    assert found.low is None
    assert found.count.dtype == np.uint16
    assert found.frames.colnames == ["name", "scale", "zero", "weight"]


def test_the_log_says_that_frames_go_to_the_device(cuda, cube, caplog):
    caplog.set_level(logging.INFO, "gpustack")
    stack(cube, backend="cuda")
    assert "backend cuda: frames go to device 0 in bands of" in caplog.text


def test_auto_takes_the_device(cuda, cube, caplog):
    caplog.set_level(logging.INFO, "gpustack")
    same(stack(cube, CLIPS), stack(cube, CLIPS, backend="cuda"))
    assert "backend auto: cuda" in caplog.text


def test_the_combiner(cuda, cube):
    ccds = [CCDData(plane, unit="adu", mask=plane > 120) for plane in cube]
    results = []
    for backend in ("cpu", "cuda"):
        combiner = Combiner(ccds, backend=backend)
        combiner.clip_extrema(nlow=1, nhigh=1)
        combiner.sigma_clipping(low_thresh=2, high_thresh=2)
        combiner.scaling = np.linspace(0.9, 1.1, len(cube))
        results.append((combiner.average_combine(), combiner.mask, combiner.median_combine()))
    for one, other in zip(results[0], results[1], strict=True):
        if isinstance(one, CCDData):
            np.testing.assert_array_equal(one.mask, other.mask)
            np.testing.assert_allclose(one.uncertainty.array, other.uncertainty.array, rtol=1e-6)
            np.testing.assert_allclose(one.data, other.data, rtol=1e-6)
        else:
            np.testing.assert_array_equal(one, other)


def test_combine_of_files(cuda, cube, tmp_path):
    raw(tmp_path, cube)
    names = sorted(map(str, tmp_path.glob("*.fits")))
    one, other = (
        combine(names, method="median", sigma_clip=True, mem_limit=40_000, backend=backend)
        for backend in ("cpu", "cuda")
    )
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.mask, other.mask)


def test_the_command_line(cuda, cube, tmp_path):
    plain(tmp_path, cube)
    results = []
    for backend in ("cpu", "cuda"):
        out = tmp_path / "out" / f"{backend}.fits"
        out.parent.mkdir(exist_ok=True)
        more = ["--device-memory", "10MB"] if backend == "cuda" else []
        how = ["--combine", "median", "--clip", "sigma:low=3,high=3"]
        arguments = [f"{tmp_path}/*.fits", "-o", str(out), "--backend", backend, *more, *how]
        done = CliRunner().invoke(cli, ["combine", *arguments])
        assert done.exit_code == 0, done.output
        results.append(fits.getdata(out))
    np.testing.assert_array_equal(*results)


def test_info_names_the_device(cuda):
    done = CliRunner().invoke(cli, ["info"])
    assert "cuda  works" in done.output
    assert "CuPy" in done.output


def test_a_limit_that_is_no_number_is_refused(cuda, cube, monkeypatch):
    with pytest.raises(InputError, match=r"memory: .*'lots'"):
        stack(cube, backend="cuda", device_memory="lots")
    with pytest.raises(MemoryLimitError, match="at least one row"):
        stack(cube, backend="cuda", device_memory=100)
    monkeypatch.setenv("GPUSTACK_DEVICE_MEMORY", "few")
    with pytest.raises(InputError, match=r"memory: .*'few'"):
        stack(cube, backend="cuda")


# cupy arrays in, cupy arrays out.


def on_host(result):
    """A result of cupy arrays as numpy arrays, counts as the host has them."""
    held = result.to_host()
    counts = {name: getattr(held, name).astype(np.uint16) for name in ("count", "low", "high")}
    return type(held)(
        **{name: getattr(held, name) for name in held.__slots__ if name not in counts}, **counts
    )


@pytest.mark.parametrize("dtype", ["f4", "f8", "u2", "i4", "f2", "?"])
@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_cupy_arrays(cuda, cube, asked, dtype):
    values = cube > 100 if dtype == "?" else np.nan_to_num(cube, nan=97).astype(dtype)
    found = stack(cuda.asarray(values), CLIPS, backend=asked)
    assert all(isinstance(getattr(found, name), cuda.ndarray) for name in MAPS)
    assert found.on_device
    same(on_host(found), stack(values, CLIPS, backend="cpu"))


def test_cupy_arrays_of_several_types_and_layouts(cuda, cube):
    device = cuda.asarray(cube)
    wide = cuda.asarray(np.repeat(cube, 2, axis=2))
    frames = [device[0], wide[1][:, ::2], device[2][::-1], cuda.asarray(cube[3].astype("f8"))]
    host = [cube[0], cube[1], cube[2][::-1], cube[3].astype("f8")]
    for limit in (None, 10_000):
        found = stack(frames, CLIPS, device_memory=limit)
        same(on_host(found), stack(host, CLIPS, backend="cpu"))
    with pytest.raises(MemoryLimitError, match="copies of one row of all frames"):
        stack(frames, CLIPS, device_memory=100)


def test_cupy_arrays_of_many_axes_and_weights(cuda, cube):
    cubes = np.stack([cube, cube + 3])
    weights = np.random.default_rng(2).random(cubes.shape).astype("f4")
    found = stack(cuda.asarray(cubes), weights=cuda.asarray(weights), scale=[1, 2])
    assert found.data.shape == cube.shape
    same(on_host(found), stack(cubes, weights=weights, scale=[1, 2], backend="cpu"))


@pytest.mark.parametrize("part", ["frames", "weights"])
def test_cupy_arrays_with_gaps_between_rows(cuda, cube, part):
    weights = np.random.default_rng(2).random(cube.shape)
    wide = np.pad(cube, [(0, 0), (0, 0), (2, 9)])
    frames, given = cuda.asarray(cube), cuda.asarray(weights)
    if part == "frames":
        frames = cuda.asarray(wide)[:, :, 2:-9]
    else:
        given = cuda.asarray(np.pad(weights, [(0, 0), (0, 0), (2, 9)]))[:, :, 2:-9]
    found = stack(frames, CLIPS, weights=given)
    same(on_host(found), stack(cube, CLIPS, weights=weights, backend="cpu"))


@pytest.mark.parametrize("shift", [0, 1, 2, 4])
@pytest.mark.parametrize("gap", [0, 2, 4])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u2", "f2"])
def test_cupy_arrays_that_begin_anywhere(cuda, cube, dtype, shift, gap):
    # As those of the records of a file that was read as bytes.
    values = np.nan_to_num(cube, nan=97).astype(dtype)
    n, rows, width = values.shape
    raw = np.zeros((n, rows, width * values.itemsize + gap), np.uint8)
    raw[:, :, : raw.shape[2] - gap] = values.view(np.uint8)
    flat = np.concatenate([np.zeros(shift, np.uint8), raw.reshape(-1)])
    held = cuda.asarray(flat)[shift:].reshape(raw.shape)
    frames = [held[f][:, : raw.shape[2] - gap].view(dtype) for f in range(n)]
    same(on_host(stack(frames, CLIPS)), stack(values, CLIPS, backend="cpu"))


def test_a_result_of_cupy_arrays_is_written(cuda, cube, tmp_path):
    found = stack(cuda.asarray(cube), CLIPS, unit="adu")
    found.write(tmp_path / "out.fits")
    expected = stack(cube, CLIPS, unit="adu", backend="cpu")
    read = CCDData.read(tmp_path / "out.fits")
    np.testing.assert_allclose(read.data, expected.data, rtol=1e-6)
    assert found.to_ccddata().unit == u.adu
    assert expected.to_host() is expected


def test_nothing_of_cupy_arrays_comes_to_the_host(pretend, cube):
    world = pretend()
    import cupy  # noqa: TID251

    frames = cupy.asarray(cube)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        found = stack(frames, CLIPS, outputs=("uncertainty", "count"))
    assert [name for _, name in world.asked] == ["up", "kernel"]
    assert {id(owner) for owner, _ in world.asked} == {id(stream)}
    assert not world.log, "somebody waited"
    stream.synchronize()
    expected = stack(cube, CLIPS, backend="cpu")
    np.testing.assert_allclose(found.data.get(), expected.data, rtol=1e-6)


def test_scratch_may_go_before_the_kernel_has_run(pretend, cube):
    world = pretend()
    import cupy  # noqa: TID251

    frames = [cupy.asarray(plane) for plane in cube]
    frames[3] = cupy.asarray(cube[3].astype("f8"))
    one = stack(frames, CLIPS, outputs=("count",))
    other = stack(frames, outputs=("count",))
    assert not world.log
    host = [*cube[:3], cube[3].astype("f8"), *cube[4:]]
    for found, clips in ((one, CLIPS), (other, ())):
        np.testing.assert_array_equal(
            found.count.get(), stack(host, clips, backend="cpu", outputs=("count",)).count
        )


def test_weights_on_another_device_are_refused(pretend, cube):
    pretend(devices=2)
    import cupy  # noqa: TID251

    frames = cupy.asarray(cube)
    with cupy.cuda.Device(1):
        weights = cupy.asarray(np.ones(cube.shape))
    match = r"weights: expected all on device 0, where the frames are, got them on \[1\]"
    with pytest.raises(InputError, match=match):
        stack(frames, weights=weights)


def test_frames_on_the_second_device(pretend, cube):
    pretend(devices=2)
    import cupy  # noqa: TID251

    with cupy.cuda.Device(1):
        frames = [cupy.asarray(plane) for plane in cube]
    found = stack(frames, CLIPS)
    assert found.data.device.id == 1
    same(on_host(found), stack(cube, CLIPS, backend="cpu"))
    frames[4] = cupy.asarray(cube[4])
    with pytest.raises(InputError, match=r"all on one device, got them on \[0, 1\]"):
        stack(frames, CLIPS)


@pytest.mark.parametrize("part", ["frames", "weights"])
def test_copies_are_made_on_the_device_of_the_frames(pretend, cube, part):
    # Axes in another order: neither flattens to rows as a view.
    pretend(devices=2)
    import cupy  # noqa: TID251

    cubes = np.stack([cube, cube + 3])
    weights = np.random.default_rng(2).random(cubes.shape)
    turned = {"frames": cubes, "weights": weights}
    turned[part] = np.ascontiguousarray(turned[part].swapaxes(1, 2))
    with cupy.cuda.Device(1):
        given = {name: cupy.asarray(values) for name, values in turned.items()}
    given[part] = given[part].swapaxes(1, 2)
    found = stack(given["frames"], weights=given["weights"])
    assert found.data.device.id == 1
    same(on_host(found), stack(cubes, weights=weights, backend="cpu"))


def refused_calls(cupy, cube):
    """Name -> (call, error, message)."""
    device = cupy.asarray(cube)
    return {
        "mixed": (
            lambda: stack([cube[0], device[1]]),
            MismatchError,
            "got a cupy array for frame 1, but not for frame 0",
        ),
        "on the cpu": (lambda: stack(device, backend="cpu"), InputError, "'cpu', got cupy arrays"),
        "statistic": (
            lambda: stack(device, scale="median"),
            FrameError,
            "frame 0: a cupy array stays on its device: expected scale",
        ),
        "weights of the host": (
            lambda: stack(device, weights=np.ones(cube.shape)),
            RecipeError,
            "for cupy frames alone a cupy array",
        ),
        "weights of the device": (
            lambda: stack(cube, weights=cupy.asarray(np.ones(cube.shape))),
            RecipeError,
            "expected numbers, one a frame",
        ),
        "one image": (lambda: stack(device[0]), InputError, r"an array \(frame, y, x\)"),
        "complex": (
            lambda: stack(cupy.asarray(np.ones((2, 3, 3), complex))),
            FrameError,
            "real numbers, got dtype complex128",
        ),
        "nothing": (
            lambda: stack([cupy.asarray(np.ones((0, 3)))]),
            FrameError,
            r"at least one row of samples, got shape \(0, 3\)",
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        "mixed",
        "on the cpu",
        "statistic",
        "weights of the host",
        "weights of the device",
        "one image",
        "complex",
        "nothing",
    ],
)
def test_refused(cuda, cube, name):
    call, error, match = refused_calls(cuda, cube)[name]
    with pytest.raises(error, match=match):
        call()


def test_a_recipe_is_run_again(cuda, cube):
    first = stack(cube, CLIPS, combine="median", scale="median", backend="cuda")
    assert isinstance(first.recipe, Recipe)
    same(stack(cube, first.recipe, backend="cpu"), first)
