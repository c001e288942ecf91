"""The result of a run: arrays, header and per-frame table, which convert to CCDData and FITS.

`outlier_frames` finds frames whose numbers are out of line.
"""

import sys
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from astropy import units as u
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.sink import Sink
from gpustack.drawing import Panel, brightness, png
from gpustack.files.paths import PathLike
from gpustack.frames.coordinates import Coordinates
from gpustack.header import fits_wcs, warn_without_wcs, with_tables, with_wcs, without_wcs
from gpustack.header.dates import without_dates
from gpustack.kept_samples import Look
from gpustack.maps import RejectionCube
from gpustack.maps.extensions import check_maps, extensions
from gpustack.markup import escape, table
from gpustack.provenance import output_record
from gpustack.recipe import MAPS, Recipe
from gpustack.value_texts import size_words, unit_words
from gpustack.writing import write_whole

if TYPE_CHECKING:  # slow to import, and not needed to write a file
    from astropy.nddata import CCDData
    from astropy.table import Table


#: In a notebook: the most rows of the table, and the most pixels on a side of the picture.
_ROWS, _THUMBNAIL = 10, 200


def left_out(per_frame: Mapping[str, Any]) -> list[str]:
    """The reason why each frame of a table is left out; an empty text if it is not."""
    return list(per_frame.get("left_out", [""] * len(per_frame["name"])))


def is_there(per_frame: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Whether each frame of a table counts: it is not left out and has valid samples."""
    used = np.array([not reason for reason in left_out(per_frame)])
    there: NDArray[np.bool_] = used & (np.asarray(per_frame.get("valid", 1.0)) > 0)
    return there


@dataclass(frozen=True, eq=False, repr=False)
class StackResult:
    """The result of running a recipe: images, header and numbers of each frame.

    For cupy frames the images are cupy arrays (counts int32); `to_host`, `to_ccddata` and `write`
    copy them to the host.

    With `ToFile`, which writes the result to a file while it is made, `data` and the other images
    stay in that file. They have a shape, dtype, ndim and length, but support no arithmetic and
    cannot be pickled. Indexing reads only what is indexed (``result.data[100:200]`` reads those
    rows); ``np.asarray``, `to_host`, `to_ccddata` and `write` read everything. Images that the file
    does not contain are None. Once the file has been changed, replaced or removed, reading raises
    `FrameError`.

    Parameters
    ----------
    data : ndarray of float, shape of a frame
        The combined image, in `unit`; NaN where no sample survived (0 for a sum).
    uncertainty : ndarray of float or None
        Standard deviation of `data`; NaN where it is masked.
    mask : ndarray of bool
        True where no sample survived, or the survivors' weights sum to 0.
    count, low, high : ndarray of int or None
        How many samples of each pixel survived, and were rejected below and above the survivors.
    unit : astropy unit or None
        None where the frames have none.
    header : astropy.io.fits.Header
        The header of the first frame, with cards that say how the result was made.
    coordinates : Coordinates
        The coordinates of the first frame, from which `wcs` is made.
    recipe : Recipe
        What was done, with all numbers filled in.
    per_frame : mapping of str to sequence
        The columns of the table `frames`.
    rejected : float or None
        The rejected fraction of the valid samples of all frames; None where it was not counted.
    reasons : ndarray of uint8, shape ``(n, *shape)``, or None
        Why each sample is out, a `gpustack.reasons.Reason`, 0 for survivors. Made on request only.
    reason : ndarray of uint8 or None
        The reasons of all samples of a pixel as bits of one number; see `gpustack.reasons.Reason`.
    exposure : ndarray of float or None
        The total exposure, in seconds, of the samples that survived.
    rejections : RejectionCube or None
        Which samples of each frame were rejected.
    flags : ndarray of int or None
        The bits that are set in the integer mask of any surviving sample; where no sample survived,
        of any sample.
    sigma : ndarray of float or None
        The standard deviation of the surviving samples about `data`; not the uncertainty of `data`.
    coverage : ndarray of int or None
        How many samples are valid, whether rejected or not.
    weight : ndarray of float64 or None
        The sum of the weights of the surviving samples. With weights by variance it is the inverse
        of the variance of a mean.
    report : dict or None
        How the result was made, in types that JSON has; see docs/provenance.md. Made on request
        only; `write` adds what it wrote.
    look : Look or None
        Some of the samples, for pictures; see `gpustack.show`. Made on request only.
    """

    data: NDArray[Any]
    mask: NDArray[np.bool_]
    recipe: Recipe
    header: fits.Header
    per_frame: Mapping[str, Any]
    uncertainty: NDArray[Any] | None = None
    count: NDArray[Any] | None = None
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    unit: u.UnitBase | None = None
    rejected: float | None = None
    coordinates: Coordinates = field(default_factory=Coordinates)
    reasons: NDArray[np.uint8] | None = None
    reason: NDArray[np.uint8] | None = None
    exposure: NDArray[Any] | None = None
    rejections: RejectionCube | None = None
    flags: NDArray[Any] | None = None
    sigma: NDArray[Any] | None = None
    coverage: NDArray[Any] | None = None
    weight: NDArray[Any] | None = None
    report: dict[str, Any] | None = None
    look: Look | None = None

    @cached_property
    def frames(self) -> "Table":
        """A table with one row per frame.

        The columns are name, scale, zero, weight (NaN where each sample has its own), valid
        (fraction of the samples) and rejected (fraction of the valid samples), and those of an
        alignment, such as shifts, or why a frame is left out. Valid and rejected are present if
        they were counted. For a result in a file, `rejected` is counted only where it is
        needed: for a map of frames, a report, a preview or a page.
        """
        from astropy.table import Table

        return Table(dict(self.per_frame))

    def __repr__(self) -> str:
        """One line: size, unit, number of frames, recipe."""
        size, unit = size_words(self.data.shape), unit_words(self.unit)
        n = len(self.per_frame.get("name", ()))
        told = f"{size} pixels, {self.data.dtype}, {unit}, of {n} frame{'s' * (n != 1)}"
        return f"<StackResult: {told}; {self.recipe}>"

    def _repr_html_(self) -> str:
        """HTML for notebooks: size, recipe, frames, and a thumbnail if matplotlib is loaded."""
        size, unit = size_words(self.data.shape), unit_words(self.unit)
        names = list(self.per_frame)
        rows = list(zip(*(map(_shown, self.per_frame[name]) for name in names), strict=True))
        more = f"<p>and {len(rows) - _ROWS} more</p>" if len(rows) > _ROWS else ""
        return (
            f"<div><strong>StackResult</strong> {size} pixels, {escape(unit)}{self._thumbnail()}"
            f"{self.recipe.to_html()}{table(names, rows[:_ROWS])}{more}</div>"
        )

    def _thumbnail(self) -> str:
        """An HTML image of few pixels; empty if drawing it would have to import matplotlib."""
        if "matplotlib" not in sys.modules or not isinstance(self.data, np.ndarray):
            return ""
        plane = self.data.reshape(-1, *self.data.shape[-2:])[0] if self.data.ndim > 1 else self.data
        few = np.atleast_2d(plane)
        step = max(1, -(-max(few.shape) // _THUMBNAIL))
        few = few[::step, ::step]
        drawn = b64encode(png(Panel("Stack", "", few, brightness(few)))).decode()
        return f'<br><img alt="the stack" src="data:image/png;base64,{drawn}">'

    @property
    def wcs(self) -> Any:
        """The WCS of the first frame: `~astropy.wcs.WCS`, another that follows APE 14, or None."""
        return self.coordinates.wcs

    @property
    def marks(self) -> NDArray[np.bool_] | None:
        """Which samples are rejected or invalid, shape ``(n, *shape)``; None without `reasons`."""
        return None if self.reasons is None else self.reasons != 0

    @property
    def on_device(self) -> bool:
        """Whether the images are cupy arrays, as the frames were."""
        return not isinstance(self.data, (np.ndarray, Sink))

    @property
    def _on_host(self) -> bool:
        return isinstance(self.data, np.ndarray)

    def to_host(self) -> Self:
        """Return the result with numpy arrays; itself if it has them already."""
        if self._on_host:
            return self
        maps = ("data", "mask", "uncertainty", "count", "low", "high", "reasons")
        held = {name: getattr(self, name) for name in (*maps, *MAPS)}
        return replace(
            self, **{name: map_.get() for name, map_ in held.items() if map_ is not None}
        )

    def to_ccddata(self) -> "CCDData":
        """Return the result as `~astropy.nddata.CCDData`, sharing its arrays.

        CCDData must have a unit: without one it is dimensionless. It cannot have coordinates that
        are no `~astropy.wcs.WCS`: they are left out with a warning.
        """
        from astropy.nddata import CCDData, StdDevUncertainty

        if not self._on_host:
            return self.to_host().to_ccddata()
        wcs = fits_wcs(self.wcs)
        if wcs is None and self.wcs is not None:
            warn_without_wcs(self.wcs, "CCDData")
        spread = self.uncertainty
        if spread is not None:
            spread = StdDevUncertainty(spread, copy=False)
        return CCDData(
            self.data,
            uncertainty=spread,
            mask=self.mask,
            unit=u.dimensionless_unscaled if self.unit is None else self.unit,
            meta=without_wcs(self.header, self.wcs),
            wcs=None if wcs is None else without_dates(wcs),
        )

    def to_hdulist(self, maps: Sequence[str] = ()) -> fits.HDUList:
        """Return the result as FITS: data, and MASK and UNCERT extensions as CCDData writes them.

        Coordinates from a FITS file are kept card by card. Coordinates of a CCDData are written
        from `wcs`, unless its header already describes them. Coordinates for which FITS has no
        cards are left out with a warning.

        Parameters
        ----------
        maps : sequence of str
            The maps to add as extensions: ``"count"`` as COUNT, ``"low"`` and ``"high"`` as LOW and
            HIGH, ``"reason"`` as REASON, ``"exposure"`` as EXPOSURE, ``"rejections"`` as REJECTED
            (one plane per frame, 1 where rejected, eight times as large as in memory), ``"flags"``
            as DQ, ``"sigma"`` as SIGMA, ``"coverage"`` as COVERAGE, ``"weight"`` as WEIGHT,
            ``"frames"`` as FRAMES (a table).

        Raises
        ------
        InputError
            Where one is no such map or was not made.
        """
        if not self._on_host:
            return self.to_host().to_hdulist(maps)
        header, tables = with_tables(with_wcs(self.header, self.coordinates), self.coordinates)
        if self.unit is not None:
            header["BUNIT"] = self.unit.to_string()
        hdus = [fits.PrimaryHDU(self.data, header)]
        hdus.append(fits.ImageHDU(self.mask.view(np.uint8), name="MASK"))
        if self.uncertainty is not None:
            spread = fits.ImageHDU(self.uncertainty, name="UNCERT")
            spread.header["UTYPE"] = "StdDevUncertainty"
            if self.unit is not None:
                spread.header["BUNIT"] = self.unit.to_string()
            hdus.append(spread)
        return fits.HDUList([*hdus, *extensions(self, maps), *tables])

    def write(self, path: PathLike, overwrite: bool = False, maps: Sequence[str] = ()) -> None:
        """Write the result as a FITS file, completely or not at all.

        `astropy.nddata.CCDData.read` reads it back: data, mask, uncertainty, unit, header and WCS.
        It ignores the extensions of `maps`.

        Parameters
        ----------
        path : path-like
            Ends in .fits, .fit or .fts, optionally followed by .gz.
        overwrite : bool
            Replace the file if there is one.
        maps : sequence of str
            Which maps to add; see `to_hdulist`.

        Raises
        ------
        OutputError
            Where the file exists or cannot be written; nothing is left behind.
        InputError
            Where a map was not made.
        """
        maps = check_maps(maps)
        begin = time.perf_counter()
        write_whole(path, self.to_hdulist(maps), overwrite=overwrite)
        if self.look is not None:
            self.look.watch.seconds["write"] = time.perf_counter() - begin
        if self.report is not None:
            self.report["seconds"]["write"] = round(time.perf_counter() - begin, 6)
            self.report["output"] = output_record(path, maps)


def _shown(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float | np.floating) else str(value)


def per_frame(
    names: Sequence[str], recipe: Recipe, samples: int, valid: Any, rejected: Any
) -> dict[str, Any]:
    """Return the columns of `StackResult.frames`.

    Parameters
    ----------
    names : sequence of str
    recipe : Recipe
        With all numbers filled in.
    samples : int
        How many samples a frame has.
    valid, rejected : ndarray of int, shape (n,), or None
        How many samples of each frame were valid, and rejected; None where not counted.
    """
    n = len(names)
    columns: dict[str, Any] = {"name": list(names)}
    for name, neutral in (("scale", 1.0), ("zero", 0.0)):
        value = getattr(recipe, name)
        columns[name] = np.full(n, neutral) if value is None else np.array(value)
    columns["weight"] = np.full(n, np.nan if recipe.per_sample else 1.0)
    if isinstance(recipe.weights, tuple):
        columns["weight"] = np.array(recipe.weights)
    if valid is not None:
        columns["valid"] = valid / samples
    if rejected is not None:
        columns["rejected"] = np.divide(rejected, valid, out=np.zeros(n), where=valid > 0)
    return columns
