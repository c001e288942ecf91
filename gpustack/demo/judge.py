"""Check a stack of simulated exposures against the truth: the range that each number must be in.

Charges are in electrons; stacks are means, so that they keep the level of one frame.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpustack.clips import SigmaClip
from gpustack.demo import simulate
from gpustack.demo.truth import STAR_BOX, Truth, noise_of, tally

MAD_TO_SIGMA = 1.482602218505602  # 1 / Phi^-1(3/4): of a Gaussian

#: How many standard errors a right stack may be off by chance: with so many, one demo in a
#: million fails without a fault.
CHANCE = 5.0
#: Margin of the bias beyond chance, in sigmas of the stack. The clip shortens the longer
#: upper tail of Poisson noise a little more than the lower one: 0.004. A missed sample of
#: 5 to 7 sigma leaves a twentieth of itself: 0.004.
BIAS_MARGIN = 0.02
#: Margin of the noise beyond chance, as a fraction. Columns with rejected hits lose more by
#: the clip than full ones, and the expectation itself is measured to 0.5 % or better; see `expect`.
NOISE_MARGIN = 0.02
#: Margin of the flux of stars beyond chance, as a fraction. Clipping must leave stars alone: a
#: clip that rejects samples in their cores costs several per cent.
FLUX_MARGIN = 0.001
#: Margin of the fraction of injected samples found, beyond chance. Hits on hits and on stars
#: widen the spread of a column and hide each other.
FOUND_MARGIN = 0.01
#: Margin of the clean samples rejected, beyond chance, as a fraction of what is expected. The
#: expectation is for full columns of pure noise; columns with a hit reject more.
FALSE_MARGIN = 0.25


@dataclass(frozen=True, slots=True)
class Check:
    """One number of the stack, and the range that it must be in.

    Parameters
    ----------
    name, unit : str
        What was measured, in which unit.
    value, low, high : float
        The check passes if ``low <= value <= high``; NaN fails.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether the number is in its range."""
        return bool(self.low <= self.value <= self.high)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a clip does to columns of n samples of pure Gaussian noise.

    Parameters
    ----------
    noise : float
        Of the clipped mean, in units of sigma / sqrt(n).
    rejected : float
        Fraction of good samples that are rejected.
    found : float
        Fraction of samples on a satellite trail that are rejected.
    """

    noise: float
    rejected: float
    found: float


def expect(clip: SigmaClip, frames: int, seed: int) -> Expected:
    """Measure `clip` on simulated noise, by a plain loop that shares no code with a backend.

    There is no formula for a clip that is repeated about the median in units of the
    median absolute deviation, and its loss is large for few frames: at 4 spreads it
    rejects 0.4 % of the good samples and adds 2 % to the noise with 20 frames, 2 % and
    5 % with 8 frames.

    Parameters
    ----------
    clip : SigmaClip
        About the median, in units of ``"mad_std"``.
    frames : int
        Samples a column.
    seed : int
        Of the noise.
    """
    # The noise is measured to 1 / sqrt(2 * columns): 0.22 % for 20 frames, 0.5 % for 100 or more.
    columns = max(20_000, 2_000_000 // frames)
    rng = np.random.default_rng([seed, 2**31])
    noise = rng.normal(size=(frames, columns))
    rejected = _rejected(noise, clip)
    means = np.mean(noise, axis=0, where=~rejected)
    # The profile of a trail from its middle to where it stops counting as injected.
    edge = np.sqrt(2.0 * np.log(simulate.TRAIL_PEAK / simulate.INJECTED))
    noise[0] += simulate.TRAIL_PEAK * np.exp(-0.5 * rng.uniform(0.0, edge, columns) ** 2)
    found = _rejected(noise, clip)[0]
    return Expected(
        noise=float(means.std() * np.sqrt(frames)),
        rejected=float(rejected.mean()),
        found=float(found.mean()),
    )


def _rejected(samples: NDArray[np.float64], clip: SigmaClip) -> NDArray[np.bool_]:
    """Clip columns pass by pass, as the definition reads; True = rejected."""
    low, high = (np.inf if side is None else side for side in (clip.low, clip.high))
    survivors = samples.copy()
    changing = np.arange(samples.shape[1])
    while changing.size:
        columns = survivors[:, changing]
        center = _median(columns)
        deviation = np.abs(columns - center)
        bound = np.where(columns < center, low, high) * MAD_TO_SIGMA * _median(deviation)
        wild = deviation > bound
        survivors[:, changing] = np.where(wild, np.nan, columns)
        changing = changing[wild.any(axis=0)]
    return np.isnan(survivors)


def _median(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each column without its NaN; there are always some numbers."""
    ordered = np.sort(columns, axis=0)  # NaN last
    count = np.count_nonzero(~np.isnan(columns), axis=0)
    middle = np.stack([(count - 1) // 2, count // 2])
    return np.asarray(np.take_along_axis(ordered, middle, axis=0).mean(axis=0))


def check_stack(
    image: NDArray[np.floating], marks: NDArray[np.bool_], truth: Truth, expected: Expected
) -> list[Check]:
    """Measure a stack, and return each number with the range that it must be in.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        The stack in the shared area; NaN = no value.
    marks : ndarray of bool, shape (n, y, x)
        True = rejected.
    truth : Truth
    expected : Expected
        For the clip and the number of frames of the stack.
    """
    return [
        Check("pixels without a value", float(np.count_nonzero(~np.isfinite(image))), 0, 0),
        *_check_background(image, truth, expected),
        *_check_stars(image, truth),
        *_check_samples(marks, truth, expected),
    ]


def _check_background(image: NDArray[np.floating], truth: Truth, expected: Expected) -> list[Check]:
    where = truth.background
    pixels = int(where.sum())
    noise = expected.noise * float(np.sqrt(np.mean(truth.mean_sigma[where] ** 2)))
    bias = float(np.mean((image - truth.signal)[where]))
    bias_room = noise * (BIAS_MARGIN + CHANCE / np.sqrt(pixels))
    noise_room = noise * (NOISE_MARGIN + CHANCE / np.sqrt(2 * pixels))
    return [
        Check(
            "background rms", noise_of(image, truth)[1], noise - noise_room, noise + noise_room, "e"
        ),
        Check("background bias", bias, -bias_room, bias_room, "e"),
    ]


def _check_stars(image: NDArray[np.floating], truth: Truth) -> list[Check]:
    """Each star by itself, in sigmas of its flux, and the light of all of them together."""
    clear, variance = truth.clear, truth.mean_sigma**2
    starlight, measured = truth.signal - simulate.SKY, image - simulate.SKY
    sums = np.array(
        [
            [part[box][clear[box]].sum() for part in (starlight, measured, variance)]
            for box in map(_box, truth.stars)
        ]
    ).reshape(-1, 3)
    flux, found, noise = sums[:, 0], sums[:, 1], np.sqrt(sums[:, 2])
    room = FLUX_MARGIN + CHANCE * float(np.sqrt(np.sum(noise**2)) / flux.sum())
    return [
        Check(
            f"flux of {len(sums)} stars / truth",
            float(found.sum() / flux.sum()),
            1 - room,
            1 + room,
        ),
        Check("worst star", float(np.max(np.abs(found - flux) / noise)), 0.0, CHANCE, "sigma"),
    ]


def _box(star: NDArray[np.float64]) -> tuple[slice, slice]:
    x, y = (round(float(value)) for value in star[:2])
    return slice(y - STAR_BOX, y + STAR_BOX + 1), slice(x - STAR_BOX, x + STAR_BOX + 1)


def _check_samples(marks: NDArray[np.bool_], truth: Truth, expected: Expected) -> list[Check]:
    counts = tally(truth, marks)
    clean, wrong = counts.pop("clean")
    injected, found = (sum(pair) for pair in zip(*counts.values(), strict=True))
    missed = 1.0 - expected.found
    least = expected.found - FOUND_MARGIN - CHANCE * float(np.sqrt(missed / max(injected, 1)))
    # Good samples are not rejected one by one: a column loses about two at a time.
    chance = CHANCE * float(np.sqrt(2.0 * expected.rejected / clean))
    room = FALSE_MARGIN * expected.rejected + chance
    return [
        Check(
            "injected samples found", 100.0 * found / max(injected, 1), 100.0 * least, 100.0, "%"
        ),
        Check(
            "clean samples rejected",
            100.0 * wrong / clean,
            100.0 * (expected.rejected - room),
            100.0 * (expected.rejected + room),
            "%",
        ),
    ]
