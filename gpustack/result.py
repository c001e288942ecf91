"""The result of a run: arrays, header and per-frame table; as CCDData, as a FITS file."""

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
from gpustack.dates import without_dates
from gpustack.drawing import Panel, brightness, png
from gpustack.frames.coordinates import Coordinates
from gpustack.header import fits_wcs, warn_without_wcs, with_tables, with_wcs, without_wcs
from gpustack.kept_samples import Look
from gpustack.maps import RejectionCube
from gpustack.maps.extensions import check_maps, extensions
from gpustack.markup import escape, table
from gpustack.paths import PathLike
from gpustack.provenance import output_record
from gpustack.recipe import MAPS, Recipe
from gpustack.value_texts import size_words, unit_words
from gpustack.writing import write_whole

if TYPE_CHECKING:  # slow to load, and who only writes a file needs neither
    from astropy.nddata import CCDData
    from astropy.table import Table


#: Of a result in a notebook: rows of its table, pixels on a side of its picture.
_ROWS, _THUMBNAIL = 10, 200


def left_out(per_frame: Mapping[str, Any]) -> list[str]:
    """Of every frame of a table the reason why it is left out; empty where it is not."""
    return list(per_frame.get("left_out", [""] * len(per_frame["name"])))


def is_there(per_frame: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Of every frame of a table whether it counts: it is not left out, and has valid samples."""
    used = np.array([not reason for reason in left_out(per_frame)])
    there: NDArray[np.bool_] = used & (np.asarray(per_frame.get("valid", 1.0)) > 0)
    return there


@dataclass(frozen=True, eq=False, repr=False)
class StackResult:
    """What a run of a recipe gives.

    From cupy frames the images are cupy arrays (counts int32); `to_host`, `to_ccddata` and `write`
    copy them to the host.

    Where the result went to its file as it was made (`ToFile`), `data` and the other images lie in
    that file. They have a shape, dtype, ndim and length, but no arithmetic, and cannot be pickled.
    Indexing reads what it asks for (``result.data[100:200]`` those rows alone); ``np.asarray``,
    `to_host`, `to_ccddata` and `write` read all. Images that the file does not hold are None. Once
    the file has been changed, replaced or removed, reading raises `FrameError`.

    Parameters
    ----------
    data : ndarray of float, shape of a frame
        The combined image, in `unit`; NaN where no sample survived (0 for a sum).
    uncertainty : ndarray of float or None
        Standard deviation of `data`; NaN where it is masked.
    mask : ndarray of bool
        True where no sample survived, or the survivors' weights sum to 0.
    count, low, high : ndarray of int or None
        Samples of each pixel that survived, and that were rejected below and above.
    unit : astropy unit or None
        None where the frames carried none.
    header : astropy.io.fits.Header
        That of the first frame, and how the result was made.
    coordinates : Coordinates
        Of the first frame; `wcs` makes them.
    recipe : Recipe
        What was done, with all numbers filled in.
    per_frame : mapping of str to sequence
        The columns of `frames`.
    rejected : float or None
        The fraction of the valid samples of all frames that was rejected; None where it was not
        counted.
    reasons : ndarray of uint8, shape ``(n, *shape)``, or None
        Why each sample is out, a `gpustack.reasons.Reason`, 0 for survivors; made only when
        asked for.
    reason : ndarray of uint8 or None
        The reasons of all samples of a pixel, bits of one number; see `gpustack.reasons.Reason`.
    exposure : ndarray of float or None
        The total exposure, in seconds, of the samples that survived.
    rejections : RejectionCube or None
        Which samples of each frame were rejected.
    flags : ndarray of int or None
        The bits that are set in the integer mask of any surviving sample; where none survived, of
        any sample.
    sigma : ndarray of float or None
        The standard deviation of the samples that survived about `data`; not that of `data`.
    coverage : ndarray of int or None
        How many samples are valid, rejected or not.
    weight : ndarray of float64 or None
        The sum of the weights of the samples that survived; with weights by variance, the inverse
        of the variance of `data`.
    report : dict or None
        How it was made, as JSON has it; see docs/provenance.md. Made only when asked for; `write`
        adds what it wrote.
    look : Look or None
        Some of the samples, for pictures; see `gpustack.show`. Made only when asked for.
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
        """A row a frame.

        Its name, scale, zero, weight (NaN where each sample has its own), valid (fraction of its
        samples) and rejected (fraction of the valid ones). The last two are there where they were
        counted; for a result in a file, `rejected` is counted only if something asks for it: a map
        of frames, a report, a preview or a page.
        """
        from astropy.table import Table

        return Table(dict(self.per_frame))

    def __repr__(self) -> str:
        """In one line: size, unit, how many frames, recipe."""
        size, unit = size_words(self.data.shape), unit_words(self.unit)
        n = len(self.per_frame.get("name", ()))
        told = f"{size} pixels, {self.data.dtype}, {unit}, of {n} frame{'s' * (n != 1)}"
        return f"<StackResult: {told}; {self.recipe}>"

    def _repr_html_(self) -> str:
        """For notebooks: size, recipe, the frames, and a thumbnail if matplotlib is loaded."""
        size, unit = size_words(self.data.shape), unit_words(self.unit)
        names = list(self.per_frame)
        rows = list(zip(*(map(_shown, self.per_frame[name]) for name in names), strict=True))
        more = f"<p>and {len(rows) - _ROWS} more</p>" if len(rows) > _ROWS else ""
        return (
            f"<div><strong>StackResult</strong> {size} pixels, {escape(unit)}{self._thumbnail()}"
            f"{self.recipe.to_html()}{table(names, rows[:_ROWS])}{more}</div>"
        )

    def _thumbnail(self) -> str:
        """A picture of it, of few pixels; empty where drawing would load matplotlib first."""
        if "matplotlib" not in sys.modules or not isinstance(self.data, np.ndarray):
            return ""
        plane = self.data.reshape(-1, *self.data.shape[-2:])[0] if self.data.ndim > 1 else self.data
        few = np.atleast_2d(plane)
        step = max(1, max(few.shape) // _THUMBNAIL)
        few = few[::step, ::step]
        drawn = b64encode(png(Panel("Stack", "", few, brightness(few)))).decode()
        return f'<br><img alt="the stack" src="data:image/png;base64,{drawn}">'

    @property
    def wcs(self) -> Any:
        """Of the first frame: a `~astropy.wcs.WCS`, another that follows APE 14, or None."""
        return self.coordinates.wcs

    @property
    def marks(self) -> NDArray[np.bool_] | None:
        """Which samples are rejected or invalid, shape ``(n, *shape)``, of `reasons`."""
        return None if self.reasons is None else self.reasons != 0

    @property
    def on_device(self) -> bool:
        """Whether the arrays are those of cupy, as the frames were."""
        return not isinstance(self.data, (np.ndarray, Sink))

    @property
    def _on_host(self) -> bool:
        return isinstance(self.data, np.ndarray)

    def to_host(self) -> Self:
        """The result with numpy arrays; itself where it has them already."""
        if self._on_host:
            return self
        maps = ("data", "mask", "uncertainty", "count", "low", "high", "reasons")
        held = {name: getattr(self, name) for name in (*maps, *MAPS)}
        return replace(
            self, **{name: map_.get() for name, map_ in held.items() if map_ is not None}
        )

    def to_ccddata(self) -> "CCDData":
        """The result as `~astropy.nddata.CCDData`, sharing its arrays.

        Without a unit it is dimensionless, as CCDData must have one. Coordinates that are
        no `~astropy.wcs.WCS` it cannot have: they are left out with a warning.
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
        """The result as FITS: data, and MASK and UNCERT extensions as CCDData has them.

        The header keeps the coordinates that the frame's file had, card by card; those of
        CCDData are written as `wcs` tells them, unless its header does. Where FITS has no cards
        for them they are left out with a warning.

        Parameters
        ----------
        maps : sequence of str
            Which to add as extensions: ``"count"`` as COUNT, ``"low"`` and ``"high"`` as LOW and
            HIGH, ``"reason"`` as REASON, ``"exposure"`` as EXPOSURE, ``"rejections"`` as REJECTED
            (a plane a frame, 1 where rejected, eight times as large as in memory), ``"flags"`` as
            DQ, ``"sigma"`` as SIGMA, ``"coverage"`` as COVERAGE, ``"weight"`` as WEIGHT,
            ``"frames"`` as FRAMES (a table).

        Raises
        ------
        InputError
            Where one is no such map, or was not made.
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
        """Write the result as FITS, whole or not at all.

        `astropy.nddata.CCDData.read` reads it back: data, mask, uncertainty, unit,
        header and WCS; it passes by what `maps` add.

        Parameters
        ----------
        path : path-like
            Ends in .fits, .fit or .fts, or one of them and .gz.
        overwrite : bool
            Replace the file if there is one.
        maps : sequence of str
            Which maps to add; see `to_hdulist`.

        Raises
        ------
        OutputError
            Where the file exists, or cannot be written; nothing is left behind.
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
    """The columns of `StackResult.frames`, from each frame's tallies of `samples` samples."""
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
