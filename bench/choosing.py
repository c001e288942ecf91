"""What clips cost and what they leave, by the number of frames: ``python -m bench.choosing``.

Normal noise of a CCD about a flat sky, of which a few samples are hit: the truth is known, so
each way to combine is judged by how far its result scatters where nothing is wrong, and by how far
it is off where something is. No time is taken.
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
#: Of an image, and of its columns each so many is hit.
SHAPE, EACH = (200, 600), 10
#: What happens to samples -> how many of a column are hit, and by how many times the noise.
HITS = {"clean": (0, 0), "faint": (1, 6), "bright": (1, 50), "two": (2, 50)}
SKY, READNOISE = 1000.0, 5.0
#: The core of a star, and how much of it differs from frame to frame, as seeing does.
STAR, SEEING = 10_000.0, 0.05

#: How it is written on the command line -> the clips, and how they are combined.
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
    """Of one sample, at a gain of 1."""
    return float(np.sqrt(level + READNOISE**2))


def frames_of(n: int, level: float, spread: float = 0.0) -> NDArray[np.float64]:
    """`n` frames of a level, which differs by `spread` from frame to frame."""
    rng = np.random.default_rng([n, int(level)])
    levels = level + rng.normal(0, spread, (n, *SHAPE)) if spread else level
    return levels + rng.normal(0, noise(level), (n, *SHAPE))


def hit(frames: NDArray[np.float64], hits: int, height: float) -> NDArray[np.float64]:
    """The same frames; in each `EACH`-th column other `hits` of the samples are too high."""
    rng = np.random.default_rng([len(frames), hits])
    which = np.tile(np.arange(len(frames))[:, None, None] < hits, (SHAPE[0], SHAPE[1] // EACH))
    frames[:, :, ::EACH] += height * noise(SKY) * rng.permuted(which, axis=0)
    return frames


def combined(frames: NDArray[np.float64], way: str) -> Any:
    """The result, made as most are, in float32; clips that are too weak need no warning here."""
    clips, combine = WAYS[way]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GpustackWarning)
        return stack(frames.astype(np.float32), clips, combine, outputs=("rejected",))


def judge(way: str, n: int) -> dict[str, float | None]:
    """What a way to combine makes of `n` frames.

    In units of the noise of a mean: of clean columns the scatter, of those that are hit how far
    they are off. Of the core of a star the percentage of samples that are rejected. None where a
    majority of the samples is hit.
    """
    told: dict[str, float | None] = {}
    for kind, (hits, height) in HITS.items():
        if hits > 1 and 2 * hits > n:
            told[kind] = None
            continue
        data = combined(hit(frames_of(n, SKY), hits, height), way).data
        off = (data - SKY) / noise(SKY) * np.sqrt(n)
        told[kind] = float(np.mean(off[:, ::EACH]) if hits else np.std(off))
    told["star"] = 100 * combined(frames_of(n, STAR, SEEING * STAR), way).rejected
    return told


def choosing_table(results: dict[str, Any], kind: str) -> str:
    """A row a way to combine, a column a number of frames."""
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
