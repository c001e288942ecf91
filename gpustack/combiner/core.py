"""The Combiner: clip methods are recorded, and combining runs them over the images."""

import math
import warnings
from collections.abc import Iterable
from typing import Any

from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyDeprecationWarning
from numpy.typing import DTypeLike

from gpustack.checks import real
from gpustack.clips import ExtremaClip, RangeClip, SigmaClip
from gpustack.combiner.arguments import naming_arguments
from gpustack.combiner.attributes import Attributes, real_dtype
from gpustack.combiner.callables import Statistic, Word, word_or_function
from gpustack.combiner.combination import MAIN_ARGUMENTS, Combination, Method
from gpustack.combiner.images import hint_for
from gpustack.combiner.recorder import Recorder
from gpustack.errors import InputError
from gpustack.frames import check_agree, open_frames
from gpustack.markup import escape, items
from gpustack.plain_words import clip_words
from gpustack.value_texts import size_words, unit_words

_CENTERS: tuple[Word, ...] = ("mean", "median")
_SPREADS: tuple[Word, ...] = ("std", "mad_std")


class Combiner(Attributes):
    """Combine images pixel by pixel: clip, then average, median or sum.

    Has the interface of `ccdproc.Combiner`. The images are referred to, not copied, and
    read when something is combined: do not change them in between.

    Parameters
    ----------
    ccd_iter : iterable of `~astropy.nddata.CCDData`
        The images, of one shape and unit; any number of dimensions.
    dtype : dtype, optional
        Of the samples and of the combined data; float64 where None.
    backend : {"auto", "cpu", "cuda"}
        What computes; ``"auto"`` takes a usable GPU.

    Attributes
    ----------
    ccd_list : list of `~astropy.nddata.CCDData`
        The images.
    unit : `~astropy.units.Unit`
        Of the images and of the result.
    dtype : `numpy.dtype`
        Of the samples and of the combined data.

    Raises
    ------
    TypeError
        Where `ccd_iter` is None or empty, or contains something other than CCDData, or
        images of different shapes or units.

    Notes
    -----
    Masked, NaN and infinite samples are invalid: they enter no statistic, neither when
    clipping nor when combining.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> images = [CCDData(np.full((2, 2), v), unit="adu") for v in (1.0, 2.0, 3.0, 2.0, 90.0)]
    >>> combiner = Combiner(images)
    >>> combiner.sigma_clipping(low_thresh=3, high_thresh=3, func="median", dev_func="mad_std")
    >>> combiner.average_combine().data
    array([[2., 2.],
           [2., 2.]])
    """

    def __init__(
        self,
        ccd_iter: Iterable[CCDData],
        dtype: DTypeLike | None = None,
        *,
        backend: str = "auto",
    ) -> None:
        if ccd_iter is None:
            raise TypeError("ccd_iter: expected an iterable of CCDData, got None")
        ccd_list = list(ccd_iter)
        for i, ccd in enumerate(ccd_list):
            if not isinstance(ccd, CCDData):
                raise TypeError(
                    f"image {i}: expected CCDData, got {type(ccd).__name__}{hint_for(ccd)}"
                )
        if not ccd_list:
            raise TypeError("ccd_iter: expected at least one CCDData, got none")
        frames = open_frames(ccd_list)
        check_agree(frames)
        super().__init__(ccd_list, Recorder(frames, real_dtype(dtype), backend))

    def __repr__(self) -> str:
        """One line: the images, their unit and dtype, and the number of clips still to be run."""
        n, *shape = self._recorder.shape
        held = f"{n} images of {size_words(shape)} pixels, {unit_words(self.unit)}, {self.dtype}"
        return f"<Combiner: {held}, clips to run: {len(self._recorder.clips)}>"

    def _repr_html_(self) -> str:
        """The images and the recorded clips, for notebooks."""
        n, *shape = self._recorder.shape
        clips = [f"{clip_words(clip)}." for clip in self._recorder.clips]
        given = [
            f"With {name}." for name in ("weights", "scaling") if getattr(self, name) is not None
        ]
        return (
            f"<div><strong>Combiner</strong> {n} images of {size_words(shape)} pixels, "
            f"{escape(unit_words(self.unit))}, {self.dtype}"
            f"{items([*clips, *given])}</div>"
        )

    def clip_extrema(self, nlow: int | None = 0, nhigh: int | None = 0) -> None:
        """Reject the `nlow` lowest and `nhigh` highest samples of every pixel.

        All samples are ranked, including those already masked or rejected, with NaN as
        the highest. An invalid sample among the extremes counts as one of them.

        Parameters
        ----------
        nlow, nhigh : int or None
            How many; None is 0. Together fewer than there are images.

        Raises
        ------
        RecipeError
            Where a number is negative or not whole, or no image would be left (a ValueError).

        References
        ----------
        IRAF imcombine, ``reject=minmax``, which ranks valid samples only.
        """
        with naming_arguments(
            nlow="ExtremaClip nlow", nhigh="ExtremaClip nhigh", clip_extrema="ExtremaClip"
        ):
            self._recorder.clip(ExtremaClip(nlow or 0, nhigh or 0, among="all"))

    def minmax_clipping(self, min_clip: float | None = None, max_clip: float | None = None) -> None:
        """Reject samples below `min_clip` or above `max_clip`.

        Parameters
        ----------
        min_clip, max_clip : float or None
            Bounds in the unit of the images, before any scaling; None is no bound.

        Raises
        ------
        RecipeError
            Where a bound is no finite number, or `min_clip` is above `max_clip` (a ValueError).
        """
        with naming_arguments(
            min_clip="RangeClip low", max_clip="RangeClip high", minmax_clipping="RangeClip"
        ):
            self._recorder.clip(RangeClip(min_clip, max_clip))

    def sigma_clipping(
        self,
        low_thresh: float | None = 3,
        high_thresh: float | None = 3,
        func: str | Statistic = "mean",
        dev_func: str | Statistic = "std",
        *,
        maxiters: int | None = 1,
        axis: int = 0,
        copy: bool = False,
        grow: float | None = False,
        use_astropy: bool | None = None,
    ) -> None:
        """Reject samples that deviate by more than so many spreads from the centre.

        Parameters
        ----------
        low_thresh, high_thresh : float or None
            How many spreads below and above the centre a sample may lie; the sign does
            not matter. None rejects nothing on that side.
        func : {"mean", "median"} or callable
            The centre. Functions such as `numpy.ma.median` are recognised. Any other is
            called as ``func(array, axis=0)`` with a masked array: rejected and invalid
            samples are masked, and NaN under the mask. If it raises TypeError for that, it
            is called with a plain array in which these samples are NaN. Where it returns no
            number for a pixel, nothing is rejected there, and a warning says so.
        dev_func : {"std", "mad_std"} or callable
            The spread, likewise. ``"std"`` is the standard deviation about the mean, with
            divisor n.
        maxiters : int or None
            How many passes to make, each over the survivors of the one before; None: until
            nothing more is rejected.
        axis : int
            Only 0, across the images.
        copy : bool
            Accepted for compatibility and without effect: images are never changed.
        grow : float or None
            Only False, 0 or None: rejection does not spread to neighbours.
        use_astropy : bool, optional
            Deprecated by ccdproc; without effect.

        Raises
        ------
        InputError
            Where an argument is none of these (a ValueError).

        References
        ----------
        `astropy.stats.sigma_clip`.
        """
        if use_astropy is not None:
            warnings.warn(
                "use_astropy has no effect and is deprecated: leave it out",
                AstropyDeprecationWarning,
                stacklevel=2,
            )
        if axis != 0:
            raise InputError(f"axis: expected 0, across the images, got {axis!r}")
        if grow:
            raise InputError(f"grow: expected False, as rejections do not spread, got {grow!r}")
        low, high = map(_distance, (low_thresh, high_thresh))
        center: Any = word_or_function("func", func, _CENTERS)
        spread: Any = word_or_function("dev_func", dev_func, _SPREADS)
        names = {"low_thresh": "SigmaClip low", "high_thresh": "SigmaClip high"}
        with naming_arguments(**names, maxiters="SigmaClip maxiters"):
            clip = SigmaClip(
                low,
                high,
                center="mean" if callable(center) else center,
                spread="std" if callable(spread) else spread,
                maxiters=None if maxiters == math.inf else maxiters,
            )
        if callable(center) or callable(spread):
            self._recorder.clip_by_function(clip, center, spread)
        else:
            self._recorder.clip(clip)

    def average_combine(
        self,
        scale_func: Statistic | None = None,
        scale_to: Any = None,
        uncertainty_func: Statistic | None = None,
        sum_func: Statistic | None = None,
    ) -> CCDData:
        """Return the mean of the surviving samples of every pixel, weighted if there are weights.

        Parameters
        ----------
        scale_func : callable, optional
            Computes the data in place of the mean, called as
            ``scale_func(masked_array, axis=0)``. Ignored where there are weights.
        scale_to : float or array, optional
            One factor for all images, one for each, or an array that broadcasts to the
            shape of all samples, in place of `scaling`.
        uncertainty_func : callable, optional
            Computes the spread for the uncertainty; the standard deviation if omitted.
        sum_func : callable, optional
            Adds up the weights, and the weighted samples.

        Returns
        -------
        `~astropy.nddata.CCDData`
            Data of the combiner's dtype, NaN (0 for integers) where no sample survived, with
            the mask True there. The uncertainty is the spread (by default the standard
            deviation with divisor n) over sqrt(n), for n survivors. The unit is that of the
            images; ``meta["NCOMBINE"]`` is the number of images.

        Raises
        ------
        InputError
            Where `weights`, `scaling` or an argument cannot be used, or a function returns
            anything but one number for each pixel (a ValueError).
        """
        if self.weights is not None:
            scale_func = None
        return self._combine("mean", scale_func, uncertainty_func, scale_to, total=sum_func)

    def median_combine(
        self,
        median_func: Statistic | None = None,
        scale_to: Any = None,
        uncertainty_func: Statistic | None = None,
    ) -> CCDData:
        """Return the median of the surviving samples of every pixel. Weights are ignored.

        Parameters
        ----------
        median_func : callable, optional
            Computes the data in place of the median, called as
            ``median_func(masked_array, axis=0)``.
        scale_to : float or array, optional
            One factor for all images, one for each, or an array that broadcasts to the
            shape of all samples, in place of `scaling`.
        uncertainty_func : callable, optional
            Computes the spread for the uncertainty; if omitted, 1.4826 times the median
            absolute deviation.

        Returns
        -------
        `~astropy.nddata.CCDData`
            As from `average_combine`; the uncertainty is the spread over sqrt(n).

        Raises
        ------
        InputError
            As `average_combine`.
        """
        return self._combine("median", median_func, uncertainty_func, scale_to)

    def sum_combine(
        self,
        sum_func: Statistic | None = None,
        scale_to: Any = None,
        uncertainty_func: Statistic | None = None,
    ) -> CCDData:
        """Return the sum of the surviving samples of every pixel, weighted if there are weights.

        A rejected sample is missing from the sum: pixels with fewer samples are fainter.

        Parameters
        ----------
        sum_func : callable, optional
            Computes the sum, called as ``sum_func(masked_array, axis=0)``.
        scale_to : float or array, optional
            One factor for all images, one for each, or an array that broadcasts to the
            shape of all samples, in place of `scaling`.
        uncertainty_func : callable, optional
            Computes the spread for the uncertainty; the standard deviation if omitted.

        Returns
        -------
        `~astropy.nddata.CCDData`
            As from `average_combine`, but the data are 0 where no sample survived, and the
            uncertainty is the spread times sqrt(n).

        Raises
        ------
        InputError
            As `average_combine`.
        """
        # With weights, sum_func adds up the products of samples and weights.
        weighted = self.weights is not None
        main = None if weighted else sum_func
        return self._combine("sum", main, uncertainty_func, scale_to, total=sum_func)

    def _combine(
        self,
        method: Method,
        main: Statistic | None,
        spread: Statistic | None,
        scale_to: Any,
        *,
        total: Statistic | None = None,
    ) -> CCDData:
        mains: tuple[Word, ...] = ("sum",) if method == "sum" else _CENTERS
        usual = "mad_std" if method == "median" else "std"
        how = Combination(
            method=method,
            main=word_or_function(MAIN_ARGUMENTS[method], main or method, mains),
            spread=word_or_function("uncertainty_func", spread or usual, _SPREADS),
            total=word_or_function("sum_func", total or "sum", ("sum",)),
            scale=self._factors(scale_to),
            weights=None if method == "median" else self._usable_weights(),
        )
        combined = self._recorder.combine(how)
        ccd = CCDData(
            combined.data,
            mask=combined.mask,
            unit=self.unit,
            uncertainty=StdDevUncertainty(combined.uncertainty, copy=False),
        )
        ccd.meta["NCOMBINE"] = len(self._recorder.frames)
        return ccd


def combiner_of(recorder: Recorder) -> Combiner:
    """Return a Combiner of frames that need not be CCDData; its `ccd_list` is empty."""
    combiner = Combiner.__new__(Combiner)
    Attributes.__init__(combiner, [], recorder)
    return combiner


def _distance(threshold: Any) -> Any:
    """Return a threshold without its sign. What is no number stays as it is: the clip checks it."""
    number = real(threshold)
    return threshold if math.isnan(number) else abs(number)
