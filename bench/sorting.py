"""Time the sorting network and ``ndarray.sort(axis=0)``: ``python -m bench.sorting --json PATH``.

Both sort, in turn, the columns of a tile of the size that the CPU backend uses. The result is up
to how many frames the network is faster; `NETWORK_FRAMES` in gpustack/backends/network.py is based
on such results.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from bench import machine
from bench.table import sorting_table
from gpustack.backends import network
from gpustack.backends.base import working_dtype
from gpustack.backends.cache_lines import empty_rows
from gpustack.backends.tile_plan import TileCost

FRAMES = (4, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 192)
DTYPES = ("int16", "float32", "float64")


def sort_with(limit: int, ranks: frozenset[int] | None = None) -> Callable[[NDArray[Any]], Any]:
    """A call of `sort_columns` that uses the network for up to `limit` frames."""

    def run(buffer: NDArray[Any]) -> list[NDArray[Any]]:
        with ExitStack() as patched:
            for limits in (network.NETWORK_FRAMES, network.SHORT_NETWORK_FRAMES):
                patched.enter_context(patch.dict(limits, dict.fromkeys(limits, limit)))
            return network.sort_columns(list(buffer[:-1]), buffer, ranks)

    return run


def compare(dtype: str, n: int, repeat: int, pixels: int | None = None) -> dict[str, Any]:
    """Median seconds of each way to sort `n` frames; each run sorts a fresh copy of the samples.

    Raises
    ------
    ArithmeticError
        Where the ways disagree.
    """
    middle = frozenset({(n - 1) // 2, n // 2})
    ways = {
        "sort": sort_with(0),
        "network": sort_with(n),
        "median_network": sort_with(n, middle),
    }
    pixels = pixels or TileCost(n, working_dtype(dtype)).full_tile
    samples = np.random.default_rng(n).normal(scale=1000, size=(n, pixels)).astype(dtype)
    buffer = empty_rows(n + 1, pixels, dtype)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeat):
        medians = []
        for way, sort in ways.items():
            buffer[:n] = samples
            start = time.perf_counter()
            rows = sort(buffer)
            seconds[way].append(time.perf_counter() - start)
            medians.append([rows[rank].copy() for rank in sorted(middle)])
        if not all(np.array_equal(medians[0], other) for other in medians[1:]):
            raise ArithmeticError(f"{n} frames of {dtype}: the ways to sort disagree")
    times = {way: median(runs) for way, runs in seconds.items()}
    return {"dtype": dtype, "frames": n, "pixels": pixels, **times}


def crossover(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """For each dtype, the number of frames up to which the network was never slower."""
    found = {}
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        best = 0
        for row in (row for row in rows if row["dtype"] == dtype):
            if row["network"] > row["sort"]:
                break
            best = row["frames"]
        found[dtype] = best
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("bench.sorting", description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument(
        "--pixels", type=int, help="pixels of a tile (default: what the backend chooses)"
    )
    machine.add_json(parser)
    options = parser.parse_args(arguments)
    load = machine.load()
    rows = [
        compare(dtype, n, options.repeat, options.pixels)
        for dtype in DTYPES
        for n in sorted(options.frames)
    ]
    settings = {"repeat": options.repeat}
    results = machine.record("sorting", settings, load, rows=rows, crossover=crossover(rows))
    machine.write(options.json, results)
    print(sorting_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
