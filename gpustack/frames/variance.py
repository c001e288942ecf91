"""Variances of samples, from standard deviations, variances or inverse variances."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from astropy import units
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.cards.texts import read_text
from gpustack.errors import FrameError
from gpustack.frames.base import decode_values, unit_of
from gpustack.frames.hdus import Hdu, quiet
from gpustack.frames.onfile import reading
from gpustack.frames.planes import Plane, open_plane
from gpustack.frames.views import take_rows
from gpustack.lazy_types import loaded
from gpustack.logs import logger, warn_about_file

_log = logger(__name__)

#: Kinds of uncertainty, as in `astropy.nddata.NDUncertainty.uncertainty_type`.
Kind = Literal["std", "var", "ivar"]

#: UTYPE of the extension that `CCDData.write` makes -> kind of uncertainty.
UTYPES: dict[str, Kind] = {
    "StdDevUncertainty": "std",
    "VarianceUncertainty": "var",
    "InverseVariance": "ivar",
}

#: Kind of uncertainty -> the power of the samples' unit that it has.
_POWERS: dict[Kind, int] = {"std": 1, "var": 2, "ivar": -2}

#: Bytes per sample while its variance is read: the stored value, a float64, and whether it is
#: blank; or two float64.
READ_BYTES = 8 + 8 + 1


def as_variance(values: NDArray[np.float64], kind: Kind, factor: float) -> NDArray[np.float64]:
    """Return the variances that follow from uncertainties times `factor`. May work in place.

    The inverse of 0 is infinite. NaN stays NaN. Negative values stay negative, even where they
    are standard deviations: whoever uses the variances must leave these out.
    """
    with np.errstate(all="ignore"):
        if factor != 1:
            values *= factor
        values += 0.0  # makes -0.0 positive: 1 / -0.0 is -inf
        if kind == "std":
            squares = np.square(values)
            return np.copysign(squares, values, out=squares)
        if kind == "ivar":
            np.divide(1.0, values, out=values)
    return values


def inverse_variance(variance: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return the inverse variances of scaled samples, in place; `variance` is that before scaling.

    They are 0 where the inverse is not a positive finite number: where the variance is 0,
    negative, NaN or infinite.
    """
    with np.errstate(all="ignore"):
        np.multiply(variance, scale * scale, out=variance)
        weight = np.divide(1.0, variance, out=variance)
    usable = np.isfinite(weight)
    usable &= weight > 0
    np.copyto(weight, 0.0, where=~usable)
    return weight


def unit_factor(
    name: str, what: str, kind: Kind, unit: Any, data_unit: units.UnitBase | None
) -> float:
    """Return the factor by which uncertainties in `unit` fit samples in `data_unit`.

    Parameters
    ----------
    name, what : str
        The frame, and what has the unit, for the error message.
    kind : {"std", "var", "ivar"}
    unit : astropy unit or None
        The unit of the uncertainties; None if it fits the samples.
    data_unit : astropy unit or None
        The unit of the samples.

    Raises
    ------
    FrameError
        Where no factor converts the unit.
    """
    if unit is None:
        return 1.0
    power = _POWERS[kind]
    try:
        expected = data_unit if power == 1 or data_unit is None else data_unit**power
    except units.UnitsError as err:  # magnitudes have no square
        raise FrameError(
            name,
            f"{what}: expected standard deviations for samples in {data_unit}, got a unit {unit}",
        ) from err
    if unit == expected:
        return 1.0
    # Magnitudes and the like do not convert by a factor.
    if isinstance(unit, units.UnitBase) and isinstance(expected, units.UnitBase):
        try:
            return float(unit.to(expected))
        except units.UnitConversionError:
            pass
    raise FrameError(
        name,
        f"{what}: expected a unit that converts to {expected}, as the samples have, got {unit}",
    )


def kind_of(file: str, hdu: Hdu) -> Kind:
    """Return the kind of uncertainty in an extension called UNCERT, VAR or ERR.

    Raises
    ------
    FrameError
        Where UNCERT has a UTYPE that is not in `UTYPES`.
    """
    if hdu.name != "UNCERT":
        return "var" if hdu.name == "VAR" else "std"
    text = read_text(hdu.header, "UTYPE", "StdDevUncertainty")
    if text not in UTYPES:
        raise FrameError(
            file, f"UNCERT extension: expected UTYPE {', '.join(UTYPES)} or none, got {text!r}"
        )
    return UTYPES[text]


@dataclass(eq=False)
class PlaneVariance:
    """The variance of an image in a FITS file, from an extension or a separate file.

    These are neither checked nor read before a variance is requested.

    Parameters
    ----------
    file : str
    hdu : Hdu
        UNCERT holds what its UTYPE says, or standard deviations without one, as for
        `CCDData.read`. VAR holds variances, ERR standard deviations.
    gzipped : bool
        Whether the file is gzip-compressed.
    image : Plane
    unit : astropy unit or None
        The unit of the samples of the image in the file.
    bunit : str
        BUNIT of the image, which may come from the primary header.
    kind : {"std", "var", "ivar"} or None
        The kind of uncertainty; None if `kind_of` decides.
    """

    file: str
    hdu: Hdu
    gzipped: bool
    image: Plane
    unit: units.UnitBase | None
    bunit: str
    kind: Kind | None = None

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return rows ``[start, stop)`` as `Frame.read_variance` does."""
        plane, kind, factor = self._opened
        return as_variance(_values(plane.read(start, stop)), kind, factor)

    @property
    def held_bytes(self) -> int:
        """Bytes that reading takes in addition to the rows; 0 before a variance is requested."""
        return self._opened[0].held_bytes if "_opened" in vars(self) else 0

    @property
    def _what(self) -> str:
        if self.kind is None:
            return f"{self.hdu.name} extension"
        return f"HDU {self.hdu} for {self.image.file}"

    @cached_property
    def _opened(self) -> tuple[Plane, Kind, float]:
        if self.hdu.shape != self.image.shape:
            raise FrameError(
                self.file,
                f"{self._what}: expected the shape of the image, {self.image.shape}, "
                f"got {self.hdu.shape}",
            )
        kind = kind_of(self.file, self.hdu) if self.kind is None else self.kind
        with reading(self.file), quiet():
            factor = unit_factor(self.file, self._what, kind, self._unit(), self.unit)
            return open_plane(self.file, self.hdu, self.gzipped), kind, factor

    def _unit(self) -> Any:
        """Return the unit that BUNIT names; None, the unit that fits the samples, if it has none.

        It is also None where BUNIT is a copy of the image's, and, with a warning, where both this
        BUNIT and the image's are unknown: a given unit then replaces both.
        """
        text = read_text(self.hdu.header, "BUNIT")
        if not text or text == self.bunit:
            return None
        unit = _known(text)
        if unit is not None:
            return unit
        if not self.bunit or _known(self.bunit) is not None:
            raise FrameError(
                self.file, f"{self._what}: expected a unit that astropy knows, got BUNIT {text!r}"
            )
        change = f"using the unit that goes with {self.unit} instead of its own, {text!r}"
        change = f"{self._what}: {change}, which is unknown"
        warn_about_file(_log, f"%s: {change.replace('%', '%%')}", self.file)
        return None


def _known(text: str) -> units.UnitBase | None:
    """Return the unit that a BUNIT names; None where astropy knows no such unit."""
    try:
        return unit_of(text)
    except ValueError:
        return None


def _values(samples: Samples) -> NDArray[np.float64]:
    """Return samples in float64, NaN where blank; BSCALE too is applied in float64."""
    values: NDArray[Any] = decode_values(samples, np.dtype(np.float64))
    if samples.blank is not None and samples.data.dtype.kind in "iu":
        np.copyto(values, np.nan, where=samples.data == samples.blank)
    return values


@dataclass(frozen=True, eq=False)
class ArrayVariance:
    """The variance of a frame in memory, from the uncertainty of a CCDData.

    The uncertainty is neither checked nor read before a variance is requested.

    Parameters
    ----------
    name : str
        The name of the frame.
    given : array or number
        The uncertainty, one for each sample, or one for all.
    kind : {"std", "var", "ivar"}
    unit : astropy unit or None
        The unit of the uncertainty.
    shape, data_unit
        The shape and unit of the frame; the unit is None where it came without one.
    """

    name: str
    given: Any
    kind: Kind
    unit: Any
    shape: tuple[int, ...]
    data_unit: units.UnitBase | None

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return rows ``[start, stop)`` as `Frame.read_variance` does."""
        factor = unit_factor(self.name, "uncertainty", self.kind, self.unit, self.data_unit)
        values = take_rows(self._array(), start, stop).astype(np.float64)
        return as_variance(values, self.kind, factor)

    def _array(self) -> NDArray[Any]:
        is_masked = isinstance(self.given, loaded("astropy.utils.masked", "Masked"))
        plain: NDArray[Any] = np.asarray(self.given.unmasked if is_masked else self.given)
        if plain.ndim == 0:
            plain = np.broadcast_to(plain, self.shape)
        if plain.shape != self.shape or plain.dtype.kind not in "iuf":
            raise FrameError(
                self.name,
                f"uncertainty: expected real numbers of shape {self.shape}, as the data, got "
                f"{plain.dtype} of shape {plain.shape}",
            )
        return plain


def variance_of(
    name: str, item: Any, shape: tuple[int, ...], data_unit: units.UnitBase | None
) -> ArrayVariance | None:
    """Return the source of the variance of a CCDData or array; None where there is none.

    `data_unit` is the unit that the samples came with, even where another one is given.
    """
    given = item.uncertainty if isinstance(item, loaded("astropy.nddata", "NDData")) else None
    for kind in _POWERS:
        if given is not None and given.uncertainty_type == kind and given.array is not None:
            return ArrayVariance(name, given.array, kind, given.unit, shape, data_unit)
    return None
