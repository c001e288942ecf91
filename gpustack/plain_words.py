"""Describes recipes and clips in English sentences, for reports and notebooks."""

from typing import Any

from gpustack.clips import (
    AvgSigmaClip,
    Clip,
    ESDClip,
    ExtremaClip,
    Grow,
    LinearFitClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    RangeClip,
    SigmaClip,
    SigmaMedianClip,
    VarianceClip,
    WinsorizedClip,
)
from gpustack.combines import Combine, NoiseModel

_CENTERS = {
    "median": "the median",
    "mean": "the mean",
    "trimmed_mean": "the mean without the lowest and the highest sample",
}
_SPREADS = {"std": "standard deviations", "mad_std": "robust deviations (1.4826 MAD)"}
_UNITS: dict[type[Any], str] = {
    MADClip: "median absolute deviations",
    WinsorizedClip: "winsorized standard deviations",
    VarianceClip: "times their noise (by the variances of the frames)",
    AvgSigmaClip: "times the noise averaged over their row",
}
_AMONG = {
    "valid": "",
    "all": ", invalid ones counted as the highest",
    "share": ", fewer in proportion where samples are invalid",
}
_COMBINES = {
    "mean": "the mean of the remaining samples",
    "median": "the median of the remaining samples",
    "lower_median": "the median of the remaining samples, of two middle ones the lower",
    "lmedian": "the median of the remaining samples, of only two the lower",
    "sum": "the sum of the remaining samples",
    "quadrature": "the root of the sum of the squares of the remaining samples, over their number",
    "min": "the lowest of the remaining samples",
    "max": "the highest of the remaining samples",
}


def recipe_words(recipe: Any) -> list[str]:
    """Return what a `gpustack.Recipe` does, one sentence per step."""
    steps = ["Leave out samples that are masked, NaN or infinite"]
    first = len(recipe.raw_ranges)
    steps += [clip_words(clip) for clip in recipe.clips[:first]]
    steps += _normalisation(recipe)
    raw = ", judged by their raw values" * recipe.normalizes_late
    steps += [
        clip_words(clip) + raw * (not isinstance(clip, RangeClip)) for clip in recipe.clips[first:]
    ]
    steps.append(combine_words(recipe.combine) + _weighting(recipe.weights))
    return [f"{step}." for step in steps]


def _normalisation(recipe: Any) -> list[str]:
    """The normalisation, if any; a measure that has not become numbers yet is named."""
    words = {"zero": "subtract its zero", "scale": "multiply by its scale"}
    done = [
        text if isinstance(value, tuple) else f"{text} ({value})"
        for name, text in words.items()
        for value in [getattr(recipe, name)]
        if value is not None
    ]
    return [f"For each frame, {' and '.join(done)}"] if done else []


def _weighting(weights: Any) -> str:
    match weights:
        case None:
            return ""
        case "variance":
            return ", each sample weighted by the inverse of its variance"
        case "sample":
            return ", each sample with a weight of its own"
        case tuple():
            return ", each sample with the weight of its frame"
    return f", each sample with the weight of its frame ({weights})"


def clip_words(clip: Clip) -> str:
    """What a clip does, as a sentence without its full stop."""
    if getattr(clip, "low", 0) is None and getattr(clip, "high", 0) is None:
        return "Reject nothing, as there are no thresholds"
    return f"{_what(clip)}{_how_often(clip)}{_kept(getattr(clip, 'keep', 0))}"


def combine_words(combine: Combine) -> str:
    """How the survivors of a pixel are combined, as a sentence without its full stop."""
    if isinstance(combine, NoiseModel):
        return f"Take the noise of the mean of the remaining samples, for {_ccd(combine)}"
    return f"Take {_COMBINES[combine]}"


def _what(clip: Clip) -> str:  # noqa: PLR0911 - one line a clip
    match clip:
        case RangeClip():
            low, high = clip.low, clip.high
            ends = [] if low is None else [f"below {low:.15g}"]
            ends += [] if high is None else [f"above {high:.15g}"]
            return f"Reject raw values {' or '.join(ends)}"
        case ExtremaClip():
            return f"Reject {_extremes(clip.nlow, clip.nhigh)}{_AMONG[clip.among]}"
        case PercentileClip():
            low, high = (None if side is None else 100 * side for side in (clip.low, clip.high))
            return f"Reject samples {_sides(low, high, '%')} the median"
        case PercentileRankClip():  # alone rejects samples on a bound
            unit = f"times the distance of the sample at rank {clip.rank:g}"
            return f"Reject samples {_sides(clip.low, clip.high, unit, 'at least')} the median"
        case ESDClip():
            return (
                "Reject outliers by the generalised ESD test, at a significance of "
                f"{clip.significance:g}, at most {100 * clip.outliers:g} % of the samples"
            )
        case Grow():
            pixels = f"{clip.radius:g} pixel{'s' * (clip.radius != 1)}"
            return f"Also reject samples within {pixels} of a rejected sample of the same frame"
        case SigmaMedianClip():
            far = _sides(clip.low, clip.high, _SPREADS["std"])
            return f"Replace samples {far} the median by the median"
    unit, center = _measure(clip)
    return f"Reject samples {_sides(clip.low, clip.high, unit)} {center}"


def _extremes(nlow: int, nhigh: int) -> str:
    """The samples that an `ExtremaClip` rejects, such as "the lowest and the 2 highest samples"."""
    ends = [
        f"the {most}" if count == 1 else f"the {count} {most}"
        for count, most in ((nlow, "lowest"), (nhigh, "highest"))
        if count
    ]
    plural = "s" * (max(nlow, nhigh) > 1)
    return f"{' and '.join(ends)} sample{plural} of each pixel" if ends else "nothing"


def _measure(clip: Any) -> tuple[str, str]:
    """The unit of the thresholds of a clip, and the centre that distances are measured from."""
    center = _CENTERS[getattr(clip, "center", "median")]
    match clip:
        case SigmaClip():
            own = ", each by the photon noise of its frame," if clip.poisson else ""
            unit = _SPREADS[clip.spread] + own
        case LinearFitClip():
            unit, center = "mean distances", "a straight line through the sorted samples"
        case NoiseClip():
            unit = f"times the noise of {_ccd(clip)}"
        case _:
            unit = _UNITS[type(clip)]
    return unit, center


def _sides(low: float | None, high: float | None, unit: str, than: str = "") -> str:
    """The rejected distances, such as "more than 3 standard deviations from"."""
    than = than or ("further than" if unit.startswith("times") else "more than")
    if low is None or high is None:
        far, side = (high, "above") if low is None else (low, "below")
        return f"{than} {far:g} {unit} {side}"
    if low == high:
        return f"{than} {low:g} {unit} from"
    again = f" {unit}" if unit == "%" else ""
    return f"{than} {low:g} {unit} below or {high:g}{again} above"


def _how_often(clip: Clip) -> str:
    if not hasattr(clip, "maxiters"):
        return ""
    if clip.maxiters is None:
        return ", repeatedly until nothing changes"
    return ", once" if clip.maxiters == 1 else f", at most {clip.maxiters} times"


def _kept(keep: int) -> str:
    if keep == 0:
        return ""
    return f"; at least {keep} survive" if keep > 0 else f"; at most {-keep} are rejected"


def _ccd(value: Any) -> str:
    snoise = value.snoise if isinstance(value.snoise, str) else f"{100 * value.snoise:g} %"
    noise = f" and a sensitivity noise of {snoise}" if value.snoise else ""
    rdnoise, gain = _number(value.rdnoise), _number(value.gain)
    return f"a CCD with {rdnoise} electrons of read-out noise, {gain} electrons per unit{noise}"


def _number(value: float | str) -> str:
    """A number as text, or the keyword that it has not been read from yet."""
    return value if isinstance(value, str) else f"{value:g}"
