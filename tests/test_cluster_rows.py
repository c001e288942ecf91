"""The rows made by tasks, put together, equal those of one run; tested without a cluster."""

import math
import os
import pickle
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from gpustack import AvgSigmaClip, Grow, Image, InputError, Offsets, Reproject, SigmaClip
from gpustack.backends.cpu import CpuBackend
from gpustack.cluster import opening as how_to_open
from gpustack.cluster.opening import (
    Opening,
    absolute_paths,
    found_by_client,
    stamps_of,
    versions_here,
    with_absolute_file,
)
from gpustack.cluster.rows import RowSink, TaskRows, row_bytes
from gpustack.cluster.task_plan import AHEAD, MOST_BYTES, plan_tasks
from gpustack.errors import ClusterError, FrameError, MissingFileError
from gpustack.flags import Flags
from gpustack.frames import open_frames
from gpustack.maps import derived, execute
from gpustack.plan import Band
from gpustack.recipe import Recipe
from gpustack.run.io import outputs_of, rejected_share, source_of

N = 6
MAPS = ("count", "low", "high", "rejected", "reason", "exposure", "rejections", "sigma", "coverage")
CPU = CpuBackend(threads=1)
RECIPES = {
    "mean": Recipe(outputs=("uncertainty", "rejected")),
    "median": Recipe(combine="median", outputs=("uncertainty", "count")),
    "sigma": Recipe(clips=SigmaClip(spread="mad_std"), outputs=("uncertainty", *MAPS)),
    "grow": Recipe(clips=(SigmaClip(spread="mad_std"), Grow(2.3)), outputs=MAPS),
    "grow far": Recipe(clips=(SigmaClip(spread="mad_std"), Grow(30)), outputs=("rejected",)),
    "rows": Recipe(clips=(AvgSigmaClip(low=2, high=2), Grow(1)), outputs=MAPS),
    "weights": Recipe(weights=(1, 2, 3, 4, 5, 6), outputs=("weight", "rejected")),
}


def cube(shape):
    rng = np.random.default_rng(3)
    values = rng.normal(1000, 10, (N, *shape)).astype("f4")
    values[rng.random(values.shape) < 0.05] += 300
    values[:, ..., 2] = np.nan
    return values


def made(recipe, values, span=None, memory=10**7):
    """The outputs and maps of all rows, or of the rows of `span` as a task returns them."""
    frames = open_frames(values)
    source = source_of(frames, recipe, np.dtype("f4"))
    sinks = None if span is None else partial(RowSink, span=span)
    out = outputs_of(recipe, source, False, sinks)
    maps = [*derived(recipe, source, out.data.dtype, [1.0] * N, sinks).values()]
    execute(CPU, source, recipe, out, maps, memory, None, span)
    return out, maps


def empty(recipe, values):
    """The outputs and maps before a run."""
    frames = open_frames(values)
    source = source_of(frames, recipe, np.dtype("f4"))
    out = outputs_of(recipe, source, False)
    maps = [*derived(recipe, source, out.data.dtype, [1.0] * N).values()]
    return out, maps


def arrays(out, maps):
    """All outputs and maps, as bytes."""
    names = ("data", "uncertainty", "mask", "count", "low", "high", "valid", "rejected")
    found = [getattr(out, name) for name in names]
    values = [np.asarray(getattr(one.value, "packed", one.value)) for one in maps]
    return [array.tobytes() for array in found if array is not None] + [v.tobytes() for v in values]


#: The rows of a task, the shape of frames and the memory limit; all pairs of two values occur.
TASKS = [
    (step, shape, (40_000, 10**7)[(s + t) % 2])
    for s, step in enumerate((1, 5, 100))
    for t, shape in enumerate(((23, 9), (3, 8, 9)))
]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize(("step", "shape", "memory"), TASKS, ids=str)
def test_rows_of_tasks_are_those_of_one_run(recipe, shape, step, memory):
    values, rows = cube(shape), math.prod(shape[:-1])
    target = empty(recipe, values)
    bands = [Band(start, min(start + step, rows)) for start in range(0, rows, step)]
    for band in bands[::-1]:
        part = TaskRows.of(*made(recipe, values, band, memory))
        pickle.loads(pickle.dumps(part)).place(band, *target)
    assert arrays(*target) == arrays(*made(recipe, values))


def test_tasks_count_the_survivors_of_a_result_that_goes_to_a_file():
    recipe, values = Recipe(clips=SigmaClip(spread="mad_std"), outputs=()), cube((8, 9))
    whole, _ = made(replace(recipe, outputs=("count", "rejected")), values)
    target, _ = made(recipe, values, Band(0, 8))
    target.valid[:], target.count.total = 0, 0
    for band in (Band(5, 8), Band(0, 5)):
        TaskRows.of(*made(recipe, values, band)).place(band, target, [])
    assert target.count.total == whole.count.sum()
    assert 0 < rejected_share(target) == rejected_share(whole)
    assert rejected_share(replace(target, valid=None)) is None


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_bytes_of_a_row_are_those_that_come_back(recipe):
    values = cube((8, 9))
    part = TaskRows.of(*made(recipe, values, Band(2, 5)))
    size = sum(array.nbytes for array in [*part.arrays.values(), *part.maps])
    assert 3 * row_bytes(*empty(recipe, values)) == size


@given(
    rows=st.integers(1, 5000),
    workers=st.integers(1, 200),
    read=st.integers(0, 1 << 33),
    made=st.integers(1, 1 << 20),
    memory=st.integers(0, 1 << 30),
    chunk=st.integers(1, 400),
    most=st.integers(0, 300),
)
def test_tasks_cover_each_row_once_within_limits(rows, workers, read, made, memory, chunk, most):
    parts = plan_tasks(rows, workers, read, made, memory, chunk, most)
    assert [row for band in parts.bands for row in range(band.start, band.stop)] == [*range(rows)]
    step = parts.bands[0].rows
    assert 1 <= parts.window <= AHEAD * workers
    assert step == 1 or step * read <= MOST_BYTES
    assert parts.window * step * made <= max(memory, made)
    assert not most or step <= most
    assert step <= chunk or step % chunk == 0


@pytest.mark.parametrize(
    ("rows", "workers", "read", "tasks"),
    [(10, 1, 1, 4), (10, 2, 1, 5), (3, 1, 1, 3), (1000, 1, MOST_BYTES // 4, 250)],
)
def test_each_worker_gets_four_tasks_or_as_many_as_rows_demand(rows, workers, read, tasks):
    assert len(plan_tasks(rows, workers, read, made=1, memory=1 << 40).bands) == tasks


def files(folder):
    for f in range(3):
        header = fits.Header({"BUNIT": "adu", "BPM": "bad.fits"})
        fits.writeto(folder / f"{f}.fits", np.full((4, 5), f, "f4"), header)
    fits.writeto(folder / "bad.fits", np.eye(4, 5, dtype="u1"))
    return [str(folder / f"{f}.fits") for f in range(3)]


def opening(items, **how):
    stamps = stamps_of(open_frames(items))
    how = {"stamps": stamps, "versions": versions_here(), **how}
    return Opening("token", absolute_paths(items), None, None, None, **how)


def test_frames_are_opened_by_names_that_hold_everywhere(tmp_path, monkeypatch):
    files(tmp_path)
    monkeypatch.chdir(tmp_path)
    items = ["0.fits", Image("1.fits", mask="!BPM"), Image("2.fits[0]", mask="bad.fits")]
    given = pickle.loads(pickle.dumps(opening(items)))
    monkeypatch.chdir("/")
    frames = given.frames()
    assert [frame.masked for frame in frames] == [False, True, True]
    assert [frame.read(0, 1).data[0, 0] for frame in frames] == [0, 1, 2]
    assert given.only(2).frames()[0].read(0, 1).data[0, 0] == 2
    monkeypatch.chdir(tmp_path)
    assert absolute_paths(["!0.fits", Image("!0.fits", mask="!BPM")]) == [
        str(tmp_path / "!0.fits"),
        Image(str(tmp_path / "!0.fits"), mask="!BPM"),
    ]
    monkeypatch.chdir("/")
    assert with_absolute_file(Offsets("@shifts")) == Offsets("@/shifts")
    assert with_absolute_file(Reproject("grid.fits")) == Reproject("/grid.fits")
    assert with_absolute_file(Reproject("optimal")) == Reproject("optimal")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert with_absolute_file(Offsets("@~/shifts")) == Offsets(f"@{tmp_path}/shifts")
    assert with_absolute_file(Reproject("~/grid.fits")) == Reproject(f"{tmp_path}/grid.fits")


def test_a_file_that_a_keyword_names_is_the_one_that_the_client_found(tmp_path, monkeypatch):
    """It is in the client's current folder, which a worker does not share; also with an HDU."""
    (tmp_path / "night").mkdir()
    items = [Image(file, mask="!BPM") for file in files(tmp_path / "night")[:2]]
    (tmp_path / "night" / "bad.fits").rename(tmp_path / "bad.fits")
    fits.setval(items[1].data, "BPM", value="bad.fits[0]")
    monkeypatch.chdir(tmp_path)
    opened = open_frames(items)
    found = found_by_client(absolute_paths(items), opened)
    assert [one.mask for one in found] == [f"{tmp_path}/bad.fits[0]"] * 2
    monkeypatch.chdir("/")
    with pytest.raises(MissingFileError, match=r"expected the mask that BPM of .* names"):
        open_frames(items)
    assert all(frame.masked for frame in open_frames(found))


def test_a_wcs_is_no_target_as_it_loses_digits_when_it_is_pickled():
    wcs = WCS(naxis=2)
    wcs.wcs.crval = 10 / 3, 20 / 7
    assert not np.array_equal(pickle.loads(pickle.dumps(wcs)).wcs.crval, wcs.wcs.crval)
    with pytest.raises(InputError, match="got WCS, which loses digits when"):
        with_absolute_file(Reproject(wcs))


@pytest.mark.parametrize("change", ["image", "mask"])
def test_a_file_that_is_not_the_one_the_client_saw_is_refused(tmp_path, change):
    first, *_ = files(tmp_path)
    given = opening([Image(first, mask=tmp_path / "bad.fits")])
    path = tmp_path / {"image": "0.fits", "mask": "bad.fits"}[change]
    os.utime(path, ns=(0, path.stat().st_mtime_ns - 1))
    with pytest.raises(FrameError, match=rf"{path.name}: is not the file that .*modified 20.* UTC"):
        given.frames()


@pytest.mark.parametrize("name", ["gpustack", "Python", "numpy", "astropy", "scipy", "reproject"])
def test_other_versions_are_refused(tmp_path, name):
    given = opening(files(tmp_path), versions=versions_here() | {name: "1.0"})
    with pytest.raises(ClusterError, match=rf"{name}: expected 1\.0 as at the client, so"):
        given.frames()


def test_frames_go_apart_where_none_needs_another(tmp_path):
    given = opening(files(tmp_path))
    assert given.opens_singly
    assert replace(given, flags=Flags()).opens_singly
    assert not replace(given, align=Reproject()).opens_singly
    assert not replace(given, flags=Flags(bad=(1,))).opens_singly


def test_the_frames_of_the_stacks_that_were_used_last_stay_open(monkeypatch):
    monkeypatch.setattr(how_to_open, "_opened", OrderedDict())
    one, two, three = (SimpleNamespace(token=token, frames=list) for token in "abc")
    first = how_to_open.frames_of(one)
    for other in (two, one, three):
        how_to_open.frames_of(other)
    assert how_to_open.frames_of(one) is first


def test_samples_are_not_sent():
    with pytest.raises(InputError, match="no samples are sent, got ndarray for frame 1; write"):
        absolute_paths(["a.fits", np.ones((2, 2))])


@pytest.mark.parametrize("kind", [FrameError, MissingFileError])
def test_errors_of_frames_travel(kind):
    back = pickle.loads(pickle.dumps(kind("a.fits", "expected b")))
    assert type(back) is kind
    assert (back.name, back.problem, str(back)) == ("a.fits", "expected b", "a.fits: expected b")
