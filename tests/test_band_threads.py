"""Bands that threads read and run in turn: their order, memory and progress."""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustack.backends.band_threads import (
    FRAME_BYTES,
    BandPlan,
    cut_bands,
    held_bytes,
    row_bytes,
    run_in_turn,
)
from gpustack.backends.base import Outputs, Samples
from gpustack.errors import MemoryLimitError
from gpustack.plan import Band, plan_bands
from gpustack.recipe import Recipe


@dataclass
class Source:
    """Frames of float32; records which rows are read, and into which buffers."""

    n: int = 2
    rows: int = 40
    width: int = 8
    lies_in_memory: bool = False
    temporary_bytes: int = 0
    held_bytes: int = 0
    read_rows: list[Any] = field(default_factory=list)
    places: set[int] = field(default_factory=set)

    @property
    def stored(self):
        return [np.dtype("f4")] * self.n

    @property
    def row_bytes(self):
        return [0 if self.lies_in_memory else 4 * self.width] * self.n

    def read(self, f, start, stop, into=None):
        self.read_rows.append((start, f))
        self.places.add(0 if into is None else into.__array_interface__["data"][0])
        return Samples(np.full((stop - start, self.width), start, np.float32))


@given(
    st.integers(1, 5),
    st.integers(1, 300),
    st.integers(1, 50),
    st.integers(1, 4),
    st.integers(1, 100),
    st.integers(1, 40_000),
    st.booleans(),
    st.integers(0, 1000),
)
def test_bands_fit_and_cover_each_row_once(n, rows, width, threads, pixels, memory, lies, held):
    source, work = Source(n, rows, width, lies_in_memory=lies, held_bytes=held), 100
    row, held = row_bytes(source, Outputs()), held_bytes(source)
    if row and row + held + work > memory:
        with pytest.raises(MemoryLimitError, match="at least one row of all frames"):
            cut_bands(source, Outputs(), memory, work, threads, pixels)
        return
    plan = cut_bands(source, Outputs(), memory, work, threads, pixels)
    assert [y for band in plan.bands for y in range(band.start, band.stop)] == list(range(rows))
    most = max(band.rows for band in plan.bands)
    assert 1 <= plan.workers <= threads
    if row:
        assert plan.workers * (most * row + held) + work <= memory
        assert plan.workers == threads or (plan.workers + 1) * (row + held) + work > memory


def test_a_band_is_whole_tiles_and_no_small_read():
    width, rows = 2048, 4096
    frame = FRAME_BYTES // (4 * width)
    for pixels in (frame * width * 2, frame * width // 4):
        first, *_ = cut_bands(Source(3, rows, width), Outputs(), 10**9, 0, 2, pixels).bands
        assert first.rows % (pixels // width) == 0
        assert first.rows >= frame


def test_bands_are_as_many_for_each_thread():
    for rows in (2048, 1000, 999):
        plan = cut_bands(Source(1, rows, 2048), Outputs(), 10**9, 0, 2, 64 * 2048)
        assert len(plan.bands) % 2 == 0


def out_of(source):
    return Outputs(np.empty((source.rows, source.width), np.float32))


def test_rows_are_read_in_order_into_a_few_buffers():
    source, out, told = Source(), None, []
    out = out_of(source)
    barrier = threading.Barrier(2, timeout=10)

    def run(band, recipe, rows):
        barrier.wait()  # fails unless two bands run at a time
        rows.data[:] = band[0].data

    def progress(done, total):
        assert threading.current_thread() is threading.main_thread()
        told.append((done, total))

    bands = plan_bands(source.rows, 1, 5)
    run_in_turn(run, source, Recipe(), out, BandPlan(bands, 2), progress)
    assert source.read_rows == [(band.start, f) for band in bands for f in range(source.n)]
    assert len(source.places) == 2 * source.n
    assert told == [(band.stop, source.rows) for band in bands]
    np.testing.assert_array_equal(out.data[:, 0], np.arange(source.rows) // 5 * 5)


def test_errors_and_interrupts_come_through():
    source, told = Source(), []
    plan = BandPlan([Band(0, 20), Band(20, 40)], 2)

    def run(band, recipe, rows):
        if band[0].data[0, 0]:
            raise ValueError("no")

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(ValueError, match="no"):
        run_in_turn(run, source, Recipe(), out_of(source), plan, lambda *done: told.append(done))
    assert len(told) <= 1
    with pytest.raises(KeyboardInterrupt):
        run_in_turn(lambda *_: None, source, Recipe(), out_of(source), plan, interrupt)
