"""cupy arrays in, cupy arrays out.

Run on simulated devices, or with ``--require-gpu`` on real ones.
"""

from dataclasses import fields

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData

from doors import CLIPS, MAPS, frames, same
from gpustack import LinearFitClip, stack
from gpustack.errors import FrameError, InputError, MemoryLimitError, MismatchError, RecipeError


@pytest.fixture
def cube():
    return frames()


def on_host(result):
    """A result of cupy arrays converted to numpy arrays, with counts in the host's dtype."""
    held = result.to_host()
    counts = {name: getattr(held, name).astype(np.uint16) for name in ("count", "low", "high")}
    names = [part.name for part in fields(held)]
    return type(held)(
        **{name: getattr(held, name) for name in names if name not in counts}, **counts
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
    with pytest.raises(
        MemoryLimitError, match=r"room for one row of all frames, .* bytes \(copies of arrays"
    ):
        stack(frames, CLIPS, device_memory=100)


def test_reasons_that_clips_need_are_within_the_limit(cuda, cube, monkeypatch):
    """They take a byte for each sample of the rows in work."""
    clip, row, made = LinearFitClip(2, 2), len(cube) * cube.shape[2], []
    empty = cuda.empty

    def spy(shape, dtype=float, *more, **others):
        made.append((tuple(np.atleast_1d(shape)), np.dtype(dtype)))
        return empty(shape, dtype, *more, **others)

    monkeypatch.setattr(cuda, "empty", spy)
    found = stack(cuda.asarray(cube), clip, device_memory=2 * row)
    reasons = [shape for shape, dtype in made if len(shape) == 3 and dtype == np.uint8]
    assert {shape[1] for shape in reasons} <= {1, 2}
    assert sum(shape[1] for shape in reasons) == cube.shape[1]
    same(on_host(found), stack(cube, clip, backend="cpu"))
    with pytest.raises(MemoryLimitError, match="one row of all frames"):
        stack(cuda.asarray(cube), clip, device_memory=row - 1)


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
    # As arrays in records of a file that was read as bytes.
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
    assert [name for _, name in world.asked] == ["copy", "kernel"]
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
    # With axes in another order, neither array can be flattened to rows as a view.
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
        "on the cpu": (
            lambda: stack(device, backend="cpu"),
            InputError,
            "'cpu' needs .*, got cupy arrays",
        ),
        "statistic": (
            lambda: stack(device, scale="median"),
            FrameError,
            "frame 0: a cupy array stays on its device: expected scale",
        ),
        "weights of the host": (
            lambda: stack(device, weights=np.ones(cube.shape)),
            RecipeError,
            "for frames that are cupy arrays, a cupy",
        ),
        "weights of the device": (
            lambda: stack(cube, weights=cupy.asarray(np.ones(cube.shape))),
            RecipeError,
            "expected numbers, one per frame",
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
