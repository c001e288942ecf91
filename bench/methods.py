"""The one table of what programs are asked, method by method, and of the correct answers.

Programs end and centre clips differently, so each has its own definition where they differ.
`METHODS` are those that many programs have; `ALGORITHMS` has each rejection of IRAF and of Siril,
beside the same recipe of gpustack.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import truth
from bench.frames_on_disk import LONGER
from bench.parity import differences
from bench.truth import Truth

Definition = Callable[[NDArray[Any]], Truth]


@dataclass(frozen=True, slots=True)
class Way:
    """How one program is asked.

    Parameters
    ----------
    words : str, tuple or dict
        As the program's function in `bench.programs` expects them.
    truth : callable or None
        Computes the correct image; None: the answer is not checked.
    may_differ : float
        Share of the pixels that may differ: twice what was seen with 25 frames, or 1%.
    why : str
        Why pixels may differ, or why nothing is checked.
    """

    words: Any
    truth: Definition | None
    may_differ: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to combine, and how programs are asked for it."""

    title: str
    ways: dict[str, Way]


def poisson(samples: NDArray[Any]) -> Truth:
    """The clip by Poisson noise, as IRAF has it, of frames scaled to the first one's exposure."""
    scales = 1 / (1 + LONGER * (np.arange(len(samples)) % 2))
    return truth.poisson_clipped_mean(scales, iraf=True)(samples)


#: To convergence about the median, as by gpustack, Gnuastro and the loop by hand.
SIGMA = truth.clipped_mean("median", "std", None)
IRAF_SIGMA = truth.deviation_clipped_mean("center")
SIRIL_SIGMA = truth.deviation_clipped_mean("mean")

METHODS = {
    "median": Method(
        "median",
        {
            "gpustack": Way(("--combine", "median"), truth.median),
            "iraf": Way({"combine": "median"}, truth.median),
            "siril": Way("med", truth.median),
            "gnuastro": Way(("median",), truth.median),
            "swarp": Way("MEDIAN", truth.median),
            "ccdproc": Way({"method": "median"}, truth.median),
            "bottleneck": Way("median", truth.median),
        },
    ),
    "mean": Method(
        "mean",
        {
            "gpustack": Way((), truth.mean),
            "iraf": Way({}, truth.mean),
            "siril": Way("rej n", truth.mean),
            "gnuastro": Way(("mean",), truth.mean),
            "swarp": Way("AVERAGE", truth.mean),
            "ccdproc": Way({"method": "average"}, truth.mean),
            "bottleneck": Way("mean", truth.mean),
        },
    ),
    "sigma": Method(
        "sigma-clipped mean",
        {
            "gpustack": Way(("--clip", "sigma"), SIGMA),
            "iraf": Way({"reject": "sigclip"}, IRAF_SIGMA),
            "siril": Way("rej s 3 3", SIRIL_SIGMA, 0.01, differences.STOP),
            # 0.0001: until the deviation changes by less than that share, which is convergence.
            "gnuastro": Way(("3", "0.0001", "sigclip-mean"), SIGMA),
            # One pass, the most that it makes. Names of statistics, as functions are slower.
            "ccdproc": Way(
                {
                    "method": "average",
                    "sigma_clip": True,
                    "sigma_clip_func": "median",
                    "sigma_clip_dev_func": "std",
                },
                truth.clipped_mean("median", "std", 1),
            ),
            "bottleneck": Way("sigma", SIGMA),
        },
    ),
    "extrema": Method(
        "mean without the lowest and the highest",
        {
            "gpustack": Way(("--clip", "extrema"), truth.trimmed_mean),
            "iraf": Way({"reject": "minmax"}, truth.trimmed_mean),
            "ccdproc": Way(
                {"method": "average", "clip_extrema": True, "nlow": 1, "nhigh": 1},
                truth.trimmed_mean,
            ),
            "bottleneck": Way("extrema", truth.trimmed_mean),
        },
    ),
}


def beside(
    program: str,
    words: Any,
    clip: str,
    right: Definition,
    *,
    also: tuple[str, ...] = (),
    may_differ: float = 0.0,
    why: str = "",
    checked: bool = True,
) -> Method:
    """A rejection of a program beside ours: `clip` and the command-line options `also`."""
    ways = {
        "gpustack": Way(("--clip", clip, *also), right),
        program: Way(words, right if checked else None, may_differ, why),
    }
    return Method(f"`{clip}`", ways)


NOISE = {"rdnoise": 5.0, "gain": 1.5}
SIGSCALE = {"reject": "sigclip", "scale": "exposure", "expname": "EXPTIME", "sigscale": 0.001}
IRAF_CLIP = "sigma:ddof=1,about=center,keep=1"

#: tests/test_golden.py compares these clips pixel by pixel; docs/parity.md says where they differ.
ALGORITHMS = {
    "iraf sigclip": beside("iraf", {"reject": "sigclip"}, IRAF_CLIP, IRAF_SIGMA),
    "iraf sigclip sigscale": beside(
        "iraf",
        SIGSCALE,
        "sigma:ddof=1,about=center,poisson=true,keep=1",
        poisson,
        also=("--scale", "exposure"),
    ),
    "iraf minmax": beside(
        "iraf", {"reject": "minmax"}, "extrema:among=share", truth.trimmed_share(1, 1)
    ),
    "iraf ccdclip": beside(
        "iraf",
        {"reject": "ccdclip", **NOISE},
        "noise:rdnoise=5,gain=1.5,keep=1",
        truth.ccd_clipped_mean(**NOISE),
    ),
    "iraf pclip": beside(
        "iraf", {"reject": "pclip"}, "rank:rank=-0.5,keep=1", truth.rank_clipped_mean(0.5)
    ),
    "iraf avsigclip": beside(
        "iraf", {"reject": "avsigclip"}, "avgsigma:keep=1", truth.row_clipped_mean()
    ),
    "siril p": beside(
        "siril", "rej p 0.2 0.1", "percentile:low=0.2,high=0.1", truth.percentile_mean(0.2, 0.1)
    ),
    "siril s": beside(
        "siril",
        "rej s 3 3",
        "sigma:ddof=1,keep=4",
        SIRIL_SIGMA,
        may_differ=0.01,
        why=differences.STOP,
    ),
    "siril a": beside(
        "siril",
        "rej a 5 5",
        "mad:low=5,high=5,keep=4",
        truth.mad_clipped_mean(5),
        may_differ=0.08,
        why=differences.MAD,
    ),
    "siril m": beside(
        "siril",
        "rej m 3 3",
        "sigmamedian",
        truth.replaced_mean(),
        may_differ=0.01,
        why=differences.MIDDLE,
    ),
    "siril w": beside(
        "siril",
        "rej w 3 3",
        "winsorized:keep=4",
        truth.winsorized_mean(),
        may_differ=0.01,
        why=differences.WINSOR,
    ),
    "siril l": beside(
        "siril",
        "rej l 5 5",
        "linear:keep=4",
        truth.line_clipped_mean(5),
        may_differ=0.05,
        why=differences.LINE,
    ),
    "siril g": beside(
        "siril",
        "rej g 0.3 0.05",
        "esd:outliers=0.3,significance=0.05",
        truth.esd_mean(0.3, 0.05),
        checked=False,
        why=differences.ESD,
    ),
}
