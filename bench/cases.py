"""The one table of what is compared, `CASES`: a case, its definition, and the calls of libraries.

Tests run all of it on tiny frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import in_python, truth
from bench.calls import (
    Call,
    bottleneck,
    by_loop,
    by_poisson,
    by_variance,
    clip_once,
    clip_to_convergence,
    clipped,
    door,
    file_to_file,
    image_of,
    is_gpustack,
    made_door,
    masked,
    native,
    numpy,
    whole,
    without_extremes,
)
from bench.data import Kind, frame_scales, frame_weights
from bench.rows import loop_median
from bench.truth import Truth
from gpustack import (
    AvgSigmaClip,
    ESDClip,
    ExtremaClip,
    LinearFitClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    SigmaClip,
    SigmaMedianClip,
    VarianceClip,
    WinsorizedClip,
)

FLOAT32 = Kind()


@dataclass(frozen=True, slots=True)
class Case:
    """A piece of work, its correct answer, and the calls that do it.

    Parameters
    ----------
    title : str
    truth : callable
        Computes the correct image from a cube, shape (n, y, x).
    calls : dict of str to Call
        The keys begin with the name of the library.
    kind : Kind
        The kind of the samples.
    """

    title: str
    truth: Callable[[NDArray[Any]], Truth]
    calls: dict[str, Call]
    kind: Kind = FLOAT32

    @property
    def full_title(self) -> str:
        """The title and the kind of the samples."""
        return f"{self.title} ({self.kind})"


def check(name: str, call: Call, answer: Any, expected: Truth) -> truth.Agreement:
    """Compare an answer, or its top rows where the truth has no more, with the truth.

    See `truth.compare`.
    """
    image = image_of(answer)[: len(expected.image)]
    tolerance = truth.GPUSTACK_TOLERANCE if is_gpustack(name) else truth.PEER_TOLERANCE
    try:
        return truth.compare(image, expected, tolerance, call.readmits)
    except truth.DisagreementError as err:
        raise truth.DisagreementError(f"{name}: {err}") from err


def _medians() -> dict[str, Case]:
    ours = native(combine="median")
    loop = {"numpy.sort in a loop": Call(loop_median)}
    plain = numpy("median") | bottleneck("median") | bottleneck("nanmedian") | loop

    def finish(combiner: Any) -> Any:
        return combiner.median_combine()

    both_doors = door(finish) | made_door(finish, "median_combine")
    return {
        "median": Case("median", truth.median, plain | both_doors | ours),
        "median-nan": Case(
            "median",
            truth.median,
            numpy("nanmedian")
            | bottleneck("nanmedian")
            | loop
            | door(finish)
            | ours
            | masked(combine="median"),
            Kind(nan=0.01),
        ),
        "median-float64": Case("median", truth.median, plain | ours, Kind("float64")),
        "median-uint16": Case(
            "median",
            truth.median,
            numpy("median") | bottleneck("median", "float32") | loop | ours,
            Kind("uint16"),
        ),
    }


def _sums() -> dict[str, Case]:
    ours, finish = native(combine="mean"), lambda combiner: combiner.average_combine()
    return {
        "mean": Case(
            "mean", truth.mean, numpy("mean") | bottleneck("nanmean") | door(finish) | ours
        ),
        "mean-nan": Case(
            "mean",
            truth.mean,
            numpy("nanmean") | bottleneck("nanmean") | ours | masked(combine="mean"),
            Kind(nan=0.01),
        ),
        "mean-uint16": Case(
            "mean", truth.mean, numpy("mean", dtype=np.float32) | ours, Kind("uint16")
        ),
        "sum": Case(
            "sum", truth.total, numpy("sum") | bottleneck("nansum") | native(combine="sum")
        ),
        "weighted-mean": Case(
            "mean with a weight for each frame",
            lambda cube: truth.weighted_mean(cube, frame_weights(len(cube))),
            {"numpy.tensordot": Call(in_python.weighted_mean, whole)}
            | door(finish, weighted=True)
            | native(weighted=True),
        ),
    }


def _clips() -> dict[str, Case]:
    plain_loop = {"numpy in a loop": Call(in_python.numpy_clipped_mean)}
    return {
        "clip-median-mad": Case(
            "sigma clip, median and MAD, to convergence; mean",
            truth.clipped_mean("median", "mad_std", None),
            by_loop(in_python.outside_sigma("median", "mad_std"))
            | clipped("median", "mad_std", None),
        ),
        "clip-mean-std": Case(
            "sigma clip, mean and standard deviation, to convergence; mean",
            truth.clipped_mean("mean", "std", None),
            plain_loop
            | by_loop(in_python.outside_sigma("mean", "std"))
            | door(clip_to_convergence)
            | clipped("mean", "std", None),
        ),
        "clip-mean-std-nan": Case(
            "sigma clip, mean and standard deviation, to convergence; mean",
            truth.clipped_mean("mean", "std", None),
            by_loop(in_python.outside_sigma("mean", "std")) | clipped("mean", "std", None),
            Kind(nan=0.01),
        ),
        "clip-mean-std-uint16": Case(
            "sigma clip, mean and standard deviation, to convergence; mean",
            truth.clipped_mean("mean", "std", None),
            plain_loop | clipped("mean", "std", None),
            Kind("uint16"),
        ),
        "clip-once": Case(
            "sigma clip, median and MAD, one pass; mean",
            truth.clipped_mean("median", "mad_std", 1),
            by_loop(in_python.outside_sigma("median", "mad_std"), once=True)
            | door(clip_once)
            | clipped("median", "mad_std", 1),
        ),
        "extrema": Case(
            "mean without the lowest and the highest sample",
            truth.trimmed_mean,
            {"numpy sum - min - max": Call(in_python.trimmed_mean)}
            | door(without_extremes)
            | native(clips=ExtremaClip(1, 1)),
        ),
    }


def _other_clips() -> dict[str, Case]:
    """Clips of IRAF and Siril; these programs themselves are timed by `bench.peers`."""
    noise, shares, esd = {"rdnoise": 12.5, "gain": 1.25}, (0.2, 0.1), (0.3, 0.05)
    by_esd = partial(in_python.loop_esd_mean, outliers=esd[0], significance=esd[1])
    by_sort = partial(in_python.sorted_share_mean, nlow=2, nhigh=3)
    return {
        "clip-mad": Case(
            "clip at 3 MAD, to convergence; mean",
            truth.mad_clipped_mean(),
            by_loop(in_python.outside_mad) | native(clips=MADClip(3, 3)),
        ),
        "clip-winsorized": Case(
            "winsorized sigma clip, to convergence; mean",
            truth.winsorized_mean(),
            by_loop(in_python.outside_winsorized) | native(clips=WinsorizedClip(3, 3)),
        ),
        "clip-sigmamedian": Case(
            "sigma clip that puts medians in the place of samples, to convergence; mean",
            truth.replaced_mean(),
            {"numpy.sort in a loop": Call(in_python.sorted_replaced_mean)}
            | native(clips=SigmaMedianClip(3, 3)),
        ),
        "clip-noise": Case(
            "clip by the noise of a CCD (ccdclip), to convergence; mean",
            truth.ccd_clipped_mean(**noise),
            by_loop(in_python.outside_ccd_noise(**noise)) | native(clips=NoiseClip(3, 3, **noise)),
        ),
        "clip-rank": Case(
            "clip by the distance of a rank (pclip), one pass; mean",
            truth.rank_clipped_mean(0.5),
            by_loop(in_python.outside_rank(0.5), once=True)
            | native(clips=PercentileRankClip(3, 3, -0.5)),
        ),
        "clip-percentile": Case(
            "clip by shares of the median, one pass; mean",
            truth.percentile_mean(*shares),
            by_loop(in_python.outside_shares(*shares), once=True)
            | native(clips=PercentileClip(*shares)),
        ),
        "clip-esd": Case(
            "generalised ESD test; mean",
            truth.esd_mean(*esd),
            {"bottleneck in a loop": Call(by_esd)} | native(clips=ESDClip(*esd)),
        ),
        "clip-extrema-share": Case(
            "mean without the 2 lowest and 3 highest, as many fewer as are missing (minmax)",
            truth.trimmed_share(2, 3),
            {"numpy.sort in a loop": Call(by_sort)} | native(clips=ExtremaClip(2, 3, "share")),
            Kind(nan=0.01),
        ),
    }


def _clips_by_frame() -> dict[str, Case]:
    """Clips with bounds that differ from sample to sample of a column."""
    by_line = partial(in_python.sorted_line_mean, times=5)
    by_row = partial(
        in_python.loop_mean_by, outside=in_python.outside_row_noise, beside=in_python.row_noise
    )
    return {
        "clip-variance": Case(
            "clip by the variance of each sample, to convergence; mean",
            truth.variance_clipped_mean(),
            by_variance(VarianceClip(3, 3)),
        ),
        "clip-linear": Case(
            "clip about a line through the sorted samples (linear fit), to convergence; mean",
            truth.line_clipped_mean(5),
            {"numpy.sort in a loop": Call(by_line)} | native(clips=LinearFitClip(5, 5)),
        ),
        "clip-avgsigma": Case(
            "clip by the noise of whole rows (avsigclip), to convergence; mean",
            truth.row_clipped_mean(),
            {"bottleneck in a loop": Call(by_row)} | native(clips=AvgSigmaClip(3, 3)),
        ),
        "clip-poisson": Case(
            "sigma clip of scaled frames by the root of their level (sigscale); mean",
            lambda cube: truth.poisson_clipped_mean(frame_scales(len(cube)))(cube),
            by_poisson(SigmaClip(3, 3, poisson=True)),
        ),
    }


def _files() -> dict[str, Case]:
    once = SigmaClip(3, 3, center="median", spread="mad_std", maxiters=1)
    (clip_by_hand,) = by_loop(in_python.outside_sigma("median", "mad_std"), once=True).values()
    return {
        "files-median": Case(
            "median, FITS files to FITS file",
            truth.median,
            file_to_file((), "median", loop_median, method="median"),
        ),
        "files-clip": Case(
            "sigma clip, median and MAD, one pass; mean, FITS files to FITS file",
            truth.clipped_mean("median", "mad_std", 1),
            # Names of statistics: the defaults of ccdproc.combine are functions, which are slower.
            file_to_file(
                once,
                "mean",
                clip_by_hand.run,
                sigma_clip=True,
                sigma_clip_func="median",
                sigma_clip_dev_func="mad_std",
            ),
        ),
    }


CASES: dict[str, Case] = {
    **_medians(),
    **_sums(),
    **_clips(),
    **_other_clips(),
    **_clips_by_frame(),
    **_files(),
}
