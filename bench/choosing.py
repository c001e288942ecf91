"""The noise that clips add and the outliers they leave, by frames: ``python -m bench.choosing``.

Frames are simulated: a flat sky with the normal noise of a CCD, and a few samples that are hit. As
the truth is known, each way to combine is judged by the scatter of its result where no sample is
hit, and by its error where some are. Nothing is timed.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import machine
from bench.markdown import markdown
from gpustack import stack
from gpustack.errors import GpustackWarning

FRAMES = (3, 5, 8, 10, 20, 50)
#: Shape of an image; every `EACH`-th of its x positions is hit.
SHAPE, EACH = (200, 600), 10
#: Name of a test -> how many samples of a column are hit, and by how many times the noise.
HITS = {"clean": (0, 0), "faint": (1, 6), "bright": (1, 50), "two": (2, 50)}
SKY, READNOISE = 1000.0, 5.0
#: Level of a star's core, and the relative scatter of it from frame to frame, by seeing.
STAR, SEEING = 10_000.0, 0.05

#: Name in the tables, most as on the command line -> the clips, and how to combine.
WAYS: dict[str, tuple[str | tuple[()], str]] = {
    "no clip, mean": ((), "mean"),
    "no clip, median": ((), "median"),
    "extrema": ("extrema:nlow=1,nhigh=1", "mean"),
    "sigma": ("sigma", "mean"),
    "sigma:spread=mad_std": ("sigma:spread=mad_std", "mean"),
    "sigma:low=4,high=4,spread=mad_std": ("sigma:low=4,high=4,spread=mad_std", "mean"),
    "noise:rdnoise=5,gain=1": (f"noise:rdnoise={READNOISE},gain=1", "mean"),
    "noise:low=5,high=5,rdnoise=5,gain=1": (f"noise:low=5,high=5,rdnoise={READNOISE}", "mean"),
    "noise:snoise=0.05,rdnoise=5,gain=1": (f"noise:snoise=0.05,rdnoise={READNOISE}", "mean"),
    "avgsigma": ("avgsigma", "mean"),
    "winsorized": ("winsorized", "mean"),
    "sigmamedian": ("sigmamedian", "mean"),
    "linear": ("linear", "mean"),
    "esd": ("esd", "mean"),
    "rank": ("rank", "mean"),
}


def noise(level: float) -> float:
    """The standard deviation of one sample at a level, at a gain of 1."""
    return float(np.sqrt(level + READNOISE**2))


def frames_of(n: int, level: float, spread: float = 0.0) -> NDArray[np.float64]:
    """`n` frames with noise about a level that itself scatters by `spread` between samples."""
    rng = np.random.default_rng([n, int(level)])
    levels = level + rng.normal(0, spread, (n, *SHAPE)) if spread else level
    return levels + rng.normal(0, noise(level), (n, *SHAPE))


def hit(frames: NDArray[np.float64], hits: int, height: float) -> NDArray[np.float64]:
    """Raise `hits` random samples of each column at every `EACH`-th x, in place.

    They become too high by `height` times the noise. Returns the same frames.
    """
    rng = np.random.default_rng([len(frames), hits])
    which = np.tile(np.arange(len(frames))[:, None, None] < hits, (SHAPE[0], SHAPE[1] // EACH))
    frames[:, :, ::EACH] += height * noise(SKY) * rng.permuted(which, axis=0)
    return frames


def combined(frames: NDArray[np.float64], way: str) -> Any:
    """The result for float32 samples, without the warning that a clip is too weak."""
    clips, combine = WAYS[way]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GpustackWarning)
        return stack(frames.astype(np.float32), clips, combine, outputs=("rejected",))


def judge(way: str, n: int) -> dict[str, float | None]:
    """How well a way to combine does with `n` frames, by the names in `HITS`, and "star".

    For clean columns the scatter, for columns with hits the mean error, both in units of the noise
    of a mean; None where a majority of the samples would be hit. For the core of a star the
    percentage of samples that are rejected.
    """
    results: dict[str, float | None] = {}
    for kind, (hits, height) in HITS.items():
        if 2 * hits > n:
            results[kind] = None
            continue
        data = combined(hit(frames_of(n, SKY), hits, height), way).data
        off = (data - SKY) / noise(SKY) * np.sqrt(n)
        results[kind] = float(np.mean(off[:, ::EACH]) if hits else np.std(off))
    results["star"] = 100 * combined(frames_of(n, STAR, SEEING * STAR), way).rejected
    return results


def choosing_table(results: dict[str, Any], kind: str) -> str:
    """A table with a row for each way to combine, a column for each number of frames."""
    digits = 2 if kind == "clean" else 1
    rows = [
        (way, *(_shown(one[kind], digits) for one in all_n))
        for way, all_n in results["ways"].items()
    ]
    return markdown(("", *(f"{n} frames" for n in results["settings"]["frames"])), rows)


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("bench.choosing", description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    machine.add_json(parser)
    options = parser.parse_args(arguments)
    ways = {way: [judge(way, n) for n in options.frames] for way in WAYS}
    results = machine.record("choosing", {"frames": options.frames}, machine.load(), ways=ways)
    machine.write(options.json, results)
    for kind in (*HITS, "star"):
        print(f"{kind}\n\n{choosing_table(results, kind)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
