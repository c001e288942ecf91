"""The one table of what is compared: a program's options, and our recipe for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.parity import iraf
from bench.parity.frames import Frames
from gpustack.alignments import Offsets
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
    WinsorizedClip,
)
from gpustack.combines import Combine, NoiseModel
from gpustack.recipe import Recipe

#: A recipe, or a function that makes it from the frames and the numbers that the program reported.
Ours = Recipe | Callable[[Frames, dict[str, Any]], Recipe] | None


@dataclass(frozen=True, slots=True)
class Case:
    """One run of a program.

    Parameters
    ----------
    program : {"iraf", "siril"}
    frames : str
        One of `bench.parity.frames.NAMES`.
    options : dict or str
        Parameters of imcombine, or the arguments of Siril's ``stack``.
    ours : Recipe, callable, or None
        None: gpustack has no equivalent.
    sigma : bool
        Whether imcombine makes its map of sigmas.
    align : Alignment or None
        Our equivalent of imcombine's ``offsets``.
    """

    program: str
    frames: str
    options: Any
    ours: Ours = None
    sigma: bool = field(default=False, kw_only=True)
    align: Any = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """The name in files and tests, made from the options."""
        return f"{self.program}-{self.title}-{self.frames}"

    @property
    def title(self) -> str:
        """The options as they are written, with only characters that file names may have."""
        if isinstance(self.options, str):
            return self.options.replace("-nonorm", "").strip().replace(" ", "_")
        values = {name: value for name, value in self.options.items() if name != "reject"}
        words = [self.options["reject"]] if "reject" in self.options else []
        words += [f"{name}={_short(value)}" for name, value in values.items()]
        return "_".join(words)

    def recipe(self, frames: Frames, said: dict[str, Any]) -> Recipe | None:
        """Our recipe for these frames."""
        return self.ours(frames, said) if callable(self.ours) else self.ours


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "file" if isinstance(value, tuple) else str(value)


def clipped(*clips: Clip, combine: Combine = "mean") -> Recipe:
    """A recipe with these clips and a way to combine."""
    return Recipe(clips=clips, combine=combine)


#: The number of samples at which a program's clips stop: IRAF keeps 1 by default, Siril 4.
IRAF_KEEP, SIRIL_KEEP = 1, 4
LOW, HIGH = 2.0, 2.5
CENTER = {True: "median", False: "trimmed_mean"}


def _iraf_combines() -> Iterator[Case]:
    for combine in ("average", "median", "lmedian", "sum", "quadrature", "nmodel"):
        ours = Recipe(combine="mean" if combine == "average" else combine)  # type: ignore[arg-type]
        for frames in ("even", "whole", "six", "masked"):
            sigma = (combine == "average" and frames == "even") or (
                combine in ("average", "median", "lmedian") and frames == "masked"
            )
            yield Case("iraf", frames, {"combine": combine}, ours, sigma=sigma)
    lowest = {"reject": "minmax", "combine": "lmedian", "nlow": 0, "nhigh": 8}
    yield Case("iraf", "even", lowest, clipped(ExtremaClip(0, 8, "share"), combine="lmedian"))


def _iraf_quadratures() -> Iterator[Case]:
    """Weights of other combines than means and sums, and noise that depends on scales."""
    noise = {"rdnoise": 20.0, "gain": 1.5, "snoise": 0.01}
    clip = SigmaClip(LOW, HIGH, ddof=1, about="center", keep=1)
    clipping = {"reject": "sigclip", "lsigma": LOW, "hsigma": HIGH}
    weights = tuple(float(1 + i % 4) for i in range(10))
    scaling = {"scale": "exposure", "expname": "EXPTIME"}
    ways: tuple[tuple[dict[str, Any], Combine], ...] = (
        ({"combine": "quadrature"}, "quadrature"),
        ({"combine": "nmodel"} | noise, NoiseModel(**noise)),
    )
    for options, combine in ways:
        if isinstance(combine, NoiseModel):
            for frames in ("whole", "masked"):
                yield Case("iraf", frames, options, Recipe(combine=combine))
        weighted = Recipe(clips=(clip,), weights=weights, combine=combine)
        yield Case("iraf", "masked", clipping | options | {"weight": weights}, weighted)

        def scaled(frames: Frames, said: dict[str, Any], combine: Combine = combine) -> Recipe:
            found = STATISTICS["exposure"](frames)
            return Recipe(scale=tuple(found[0] / found), combine=combine)

        yield Case("iraf", "levels", options | scaling, scaled)


def _iraf_extrema() -> Iterator[Case]:
    table = {
        "even": ((1, 1),),
        "six": ((1, 1),),
        "whole": ((2, 1),),
        "masked": ((1, 1), (2, 1), (0, 3)),
    }
    for frames, (nlow, nhigh) in ((name, pair) for name in table for pair in table[name]):
        options = {"reject": "minmax", "nlow": nlow, "nhigh": nhigh}
        yield Case("iraf", frames, options, clipped(ExtremaClip(nlow, nhigh, "share")))


def _iraf_sigma() -> Iterator[Case]:
    for mclip in (True, False):
        common = {"mclip": mclip, "lsigma": LOW, "hsigma": HIGH}

        def ours(keep: int, low: float = LOW, high: float = HIGH, mclip: bool = mclip) -> Recipe:
            center: Any = CENTER[mclip]
            return clipped(SigmaClip(low, high, center, ddof=1, about="center", keep=keep))

        for frames in ("even", "whole", "six", "masked"):
            sigma = frames == "even"
            yield Case("iraf", frames, {"reject": "sigclip"} | common, ours(1), sigma=sigma)
        for keep in (5, -2):
            for frames in ("whole", "masked"):
                options = {"reject": "sigclip", "nkeep": keep} | common
                yield Case("iraf", frames, options, ours(keep))
        tight = {"reject": "sigclip", "mclip": mclip, "lsigma": 0.9, "hsigma": 0.8, "nkeep": 4}
        yield Case("iraf", "even", tight, ours(4, 0.9, 0.8))
        average = clipped(AvgSigmaClip(LOW, HIGH, CENTER[mclip], keep=1))  # type: ignore[arg-type]
        for frames in ("even", "masked"):
            yield Case("iraf", frames, {"reject": "avsigclip"} | common, average)
    median = {"reject": "sigclip", "combine": "median", "lsigma": LOW, "hsigma": HIGH}
    clip = SigmaClip(LOW, HIGH, ddof=1, about="center", keep=1)
    yield Case("iraf", "even", median, clipped(clip, combine="median"))
    yield Case("iraf", "even", median | {"grow": 1.5}, clipped(clip, Grow(1.5), combine="median"))


def _iraf_grow() -> Iterator[Case]:
    """Rejections grow; those by thresholds (in `whole`) and by masks (in `masked`) do not."""
    options = {"reject": "sigclip", "lsigma": LOW, "hsigma": HIGH}
    clip = SigmaClip(LOW, HIGH, ddof=1, about="center", keep=1)
    for grow, frames in ((1.0, "even"), (1.5, "masked"), (2.5, "six"), (1.5, "whole")):
        limits = {"lthreshold": 950.0, "hthreshold": 1200.0} if frames == "whole" else {}
        ranges = [RangeClip(950, 1200)] if limits else []
        ours = clipped(*ranges, clip, Grow(grow))
        yield Case("iraf", frames, options | limits | {"grow": grow}, ours, sigma=grow == 1)
    options |= {"combine": "median", "mclip": False, "grow": 1.5}
    clip = SigmaClip(LOW, HIGH, "trimmed_mean", ddof=1, about="center", keep=1)
    yield Case("iraf", "even", options, clipped(clip, Grow(1.5), combine="median"))
    options = {"reject": "minmax", "nlow": 0, "nhigh": 1, "combine": "sum", "grow": 1.0}
    ours = clipped(ExtremaClip(0, 1, "share"), Grow(1), combine="sum")
    yield Case("iraf", "six", options, ours)
    weights = tuple(float(1 + i % 4) for i in range(6))
    noise = {"reject": "ccdclip", "rdnoise": 5.0, "gain": 1.5, "snoise": 0.01}
    noise_clip = NoiseClip(3, 3, rdnoise=5, gain=1.5, snoise=0.01, keep=1)
    ours = Recipe(clips=(noise_clip, Grow(1.42)), weights=weights)
    yield Case("iraf", "six", noise | {"weight": weights, "grow": 1.42}, ours)


def _iraf_noise() -> Iterator[Case]:
    noise = {"rdnoise": 5.0, "gain": 1.5, "snoise": 0.01}
    for mclip in (True, False):
        for reject, low in (("ccdclip", 3.0), ("crreject", None)):
            clip = NoiseClip(low, 3.0, **noise, center=CENTER[mclip], keep=1)  # type: ignore[arg-type]
            for frames in ("even", "whole", "six", "masked"):
                if reject == "ccdclip" or frames in ("whole", "masked"):
                    options = {"reject": reject, "mclip": mclip} | noise
                    yield Case("iraf", frames, options, clipped(clip))
        plain = {"rdnoise": 10.0, "gain": 2.0, "snoise": 0.0}
        options = {"reject": "ccdclip", "mclip": mclip, "nkeep": 5, "lsigma": 1.0, "hsigma": 1.0}
        clip = NoiseClip(1, 1, **plain, center=CENTER[mclip], keep=5)  # type: ignore[arg-type]
        yield Case("iraf", "whole", options | plain, clipped(clip))


def _iraf_rank() -> Iterator[Case]:
    table = {
        "even": (-0.5, 0.3, -2.0),
        "whole": (-0.7, 3.0),
        "six": (-0.5,),
        "masked": (-0.5, 0.3, 3.0),
    }
    for frames, rank in ((name, rank) for name, ranks in table.items() for rank in ranks):
        options = {"reject": "pclip", "pclip": rank, "lsigma": 3.0, "hsigma": 2.5}
        yield Case("iraf", frames, options, clipped(PercentileRankClip(3.0, 2.5, rank, keep=1)))


def _iraf_ranges() -> Iterator[Case]:
    limits = {"lthreshold": 950.0, "hthreshold": 1200.0}
    yield Case("iraf", "even", limits, clipped(RangeClip(950, 1200)))
    clip = SigmaClip(LOW, HIGH, ddof=1, about="center", keep=1)
    options = {"reject": "sigclip", "lsigma": LOW, "hsigma": HIGH} | limits
    yield Case("iraf", "whole", options, clipped(RangeClip(950, 1200), clip))


def _of_each(statistic: Callable[[NDArray[Any]], float]) -> Callable[[Frames], Any]:
    return lambda frames: np.array([statistic(frame) for frame in frames.cube])


STATISTICS: dict[str, Callable[[Frames], NDArray[np.float64]]] = {
    "median": _of_each(iraf.median),
    "mean": _of_each(lambda frame: float(frame.mean(dtype=np.float64))),
    "exposure": lambda frames: np.array(frames.exposures),
}


def _scaled_and_shifted(frames: Frames, said: dict[str, Any]) -> Recipe:
    """Scales by exposure, then zeros that bring all means to that of the first frame."""
    exposures, means = STATISTICS["exposure"](frames), STATISTICS["mean"](frames)
    scale = exposures[0] / exposures
    return Recipe(scale=tuple(scale), zero=tuple(means - means[0] / scale))


def _multiplied_by_exposure(frames: Frames, said: dict[str, Any]) -> Recipe:
    return Recipe(scale=tuple(time / frames.exposures[0] for time in frames.exposures))


def _iraf_offsets() -> Iterator[Case]:
    """Frames that are shifted by whole pixels, (x, y); single frames cover some of the edges."""
    places = ((3, 1), (0, 0), (9, 4), (-5, 2), (3, -6), (0, 1), (12, 0), (4, 4), (-2, -3), (1, 7))
    clip = SigmaClip(LOW, HIGH, center="trimmed_mean", ddof=1, about="center", keep=IRAF_KEEP)
    options = {"reject": "sigclip", "mclip": False, "lsigma": LOW, "hsigma": HIGH}
    for frames, n in (("six", 6), ("masked", 10)):
        align = Offsets([(y, x) for x, y in places[:n]])
        yield Case("iraf", frames, options | {"offsets": places[:n]}, clipped(clip), align=align)


def _iraf_levels() -> Iterator[Case]:
    """Scales and zeros: x = d / scale - zero, both relative to the first frame.

    A scale is divided by that of the first frame; from a zero, that of the first is subtracted.
    With numbers from a file or a keyword it is the reverse: imcombine multiplies by scales and adds
    zeros.
    """
    clip = SigmaClip(LOW, HIGH, ddof=1, about="center", keep=1)
    clipping = {"reject": "sigclip", "lsigma": LOW, "hsigma": HIGH, "sigscale": 0.0}

    def scaled(name: str, clips: tuple[Clip, ...] = ()) -> Ours:
        def ours(frames: Frames, said: dict[str, Any]) -> Recipe:
            found = STATISTICS[name](frames)
            return Recipe(clips=clips, scale=tuple(found[0] / found))

        return ours

    def shifted(name: str, clips: tuple[Clip, ...] = ()) -> Ours:
        def ours(frames: Frames, said: dict[str, Any]) -> Recipe:
            found = STATISTICS[name](frames)
            return Recipe(clips=clips, zero=tuple(found - found[0]))

        return ours

    for name in ("median", "mean", "exposure"):
        yield Case("iraf", "levels", {"scale": name, "expname": "EXPTIME"}, scaled(name))
    for name in ("median", "mean"):
        yield Case("iraf", "levels", {"zero": name}, shifted(name))
    yield Case("iraf", "levels", {"scale": "mode"}, Recipe(scale="mode"))
    yield Case("iraf", "levels", {"zero": "mode"}, Recipe(zero="mode"))
    both = {"scale": "exposure", "zero": "mean", "expname": "EXPTIME"}
    yield Case("iraf", "levels", both, _scaled_and_shifted)
    factors = tuple(2.0 + 0.25 * i for i in range(10))
    relative = tuple(factor / factors[0] for factor in factors)
    yield Case("iraf", "levels", {"scale": factors}, Recipe(scale=relative))
    yield Case("iraf", "levels", {"scale": "!EXPTIME"}, _multiplied_by_exposure)
    added = tuple(5.0 * i for i in range(10))
    yield Case("iraf", "levels", {"zero": added}, Recipe(zero=tuple(-zero for zero in added)))
    median = scaled("median", (clip,))
    yield Case("iraf", "levels", {"scale": "median"} | clipping, median, sigma=True)
    yield Case("iraf", "levels", {"zero": "median"} | clipping, shifted("median", (clip,)))
    own = replace(clip, poisson=True)
    for statistic in ("median", "mean"):
        options = {"scale": statistic} | clipping | {"sigscale": 0.1}
        yield Case("iraf", "levels", options, scaled(statistic, (own,)))
    options = {"scale": "median"} | clipping | {"reject": "avsigclip", "sigscale": 0.1}
    yield Case("iraf", "levels", options, scaled("median", (AvgSigmaClip(LOW, HIGH, keep=1),)))
    noise = {"rdnoise": 5.0, "gain": 1.5, "snoise": 0.01}
    options = {"reject": "ccdclip", "scale": "median", "sigscale": 0.1} | noise
    yield Case("iraf", "levels", options, scaled("median", (NoiseClip(**noise, keep=1),)))
    weights = tuple(float(1 + i % 4) for i in range(10))
    yield Case("iraf", "even", {"weight": weights}, Recipe(weights=weights), sigma=True)
    weighted = {"weight": weights, "reject": "sigclip", "lsigma": LOW, "hsigma": HIGH}
    yield Case("iraf", "masked", weighted, Recipe(clips=(clip,), weights=weights), sigma=True)


def _siril_clips() -> Iterator[Case]:
    keep = SIRIL_KEEP
    table = {
        "rej n": Recipe(),
        "rej p 0.2 0.1": clipped(PercentileClip(0.2, 0.1)),
        "rej p 0.05 0.04": clipped(PercentileClip(0.05, 0.04)),
        "rej s 3 3": clipped(SigmaClip(3, 3, ddof=1, keep=keep)),
        "rej s 2 2.5": clipped(SigmaClip(2, 2.5, ddof=1, keep=keep)),
        "rej a 5 4": clipped(MADClip(5, 4, keep=keep)),
        "rej a 3 3": clipped(MADClip(3, 3, keep=keep)),
        "rej m 3 3": clipped(SigmaMedianClip(3, 3)),
        "rej m 2 2.5": clipped(SigmaMedianClip(2, 2.5)),
        "rej w 3 3": clipped(WinsorizedClip(3, 3, keep=keep)),
        "rej w 2 2.5": clipped(WinsorizedClip(2, 2.5, keep=keep)),
        "rej l 5 5": clipped(LinearFitClip(5, 5, keep=keep)),
        "rej l 2 1.5": clipped(LinearFitClip(2, 1.5, keep=keep)),
        "rej g 0.3 0.05": clipped(ESDClip(0.3, 0.05)),
        "med": Recipe(combine="median"),
    }
    for arguments, ours in table.items():
        # On the other frames, this clip is tested with other thresholds, which reject more.
        for frames in ("even",) if arguments == "rej m 3 3" else ("even", "whole", "six"):
            yield Case("siril", frames, f"{arguments} -nonorm", ours)
        if ours.clips:
            yield Case("siril", "mild", f"{arguments} -nonorm", ours)


def _siril_levels() -> Iterator[Case]:
    """Scales and zeros are those that Siril writes to its sequence file.

    Siril's mean ignores samples of 0; its median treats them like any other.
    """
    clip = SigmaClip(3, 3, ddof=1, keep=SIRIL_KEEP)
    for norm in ("add", "mul", "addscale", "mulscale"):

        def ours(frames: Frames, said: dict[str, Any], norm: str = norm) -> Recipe:
            scale, zero = said[norm]
            return Recipe(clips=(clip,), scale=scale, zero=zero)

        yield Case("siril", "levels", f"rej s 3 3 -norm={norm}", ours)
    for arguments, ours_ in (
        ("rej n -nonorm", clipped(RangeClip(low=1))),
        ("rej s 3 3 -nonorm", clipped(RangeClip(low=1), clip)),
        ("med -nonorm", Recipe(combine="median")),
    ):
        yield Case("siril", "gaps", arguments, ours_)
    yield Case("siril", "levels", "rej s 3 3 -norm=addscale -weighted")


def _all() -> Iterator[Case]:
    yield from _iraf_combines()
    yield from _iraf_quadratures()
    yield from _iraf_extrema()
    yield from _iraf_sigma()
    yield from _iraf_grow()
    yield from _iraf_noise()
    yield from _iraf_rank()
    yield from _iraf_ranges()
    yield from _iraf_offsets()
    yield from _iraf_levels()
    yield from _siril_clips()
    yield from _siril_levels()


CASES: dict[str, Case] = {case.name: case for case in _all()}
