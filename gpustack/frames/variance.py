"""Variances of samples, from standard deviations, variances or their inverses."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.errors import FrameError
from gpustack.frames.base import decode_values, unit_of
from gpustack.frames.hdus import Hdu, quiet
from gpustack.frames.onfile import reading
from gpustack.frames.planes import Plane, open_plane
from gpustack.frames.views import take_rows
from gpustack.lazy_types import loaded
from gpustack.logs import logger, warn_of

_log = logger(__name__)

#: As `astropy.nddata.NDUncertainty.uncertainty_type` has them.
Kind = Literal["std", "var", "ivar"]

#: UTYPE of the extension that `CCDData.write` makes -> what it holds.
UTYPES: dict[str, Kind] = {
    "StdDevUncertainty": "std",
    "VarianceUncertainty": "var",
    "InverseVariance": "ivar",
}

#: Power of the samples' unit that an uncertainty is in.
_POWERS: dict[Kind, int] = {"std": 1, "var": 2, "ivar": -2}

#: Bytes of a sample while its variance is read: as it lies, in float64, whether it is blank; or
#: in float64 twice.
READ_BYTES = 8 + 8 + 1


def as_variance(values: NDArray[np.float64], kind: Kind, factor: float) -> NDArray[np.float64]:
    """Variances of what `values` are, times `factor`. May use their memory.

    The inverse of 0 is infinite. NaN stays NaN, and what is negative stays so, a standard
    deviation too: it is for whoever uses variances to leave it out.
    """
    with np.errstate(all="ignore"):
        if factor != 1:
            values *= factor
        values += 0.0  # 1 / -0.0 is -inf
        if kind == "std":
            squares = np.square(values)
            return np.copysign(squares, values, out=squares)
        if kind == "ivar":
            np.divide(1.0, values, out=values)
    return values


def inverse_variance(variance: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """The weights of samples times `scale` that have this variance without. Uses its memory.

    0 where the inverse is no positive number: of what is 0, negative, NaN or infinite.
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
    """By what uncertainties in `unit` are multiplied to go with samples in `data_unit`.

    Parameters
    ----------
    name, what : str
        Of which frame, and what of it, for the error.
    kind : {"std", "var", "ivar"}
    unit : astropy unit or None
        None: that which goes with the samples.
    data_unit : astropy unit or None

    Raises
    ------
    FrameError
        Where one cannot be converted into the other by a factor.
    """
    if unit is None:
        return 1.0
    power = _POWERS[kind]
    expected = data_unit if power == 1 or data_unit is None else data_unit**power
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
    """What an extension called UNCERT, VAR or ERR holds.

    Raises
    ------
    FrameError
        Where its UTYPE is another.
    """
    if hdu.name != "UNCERT":
        return "var" if hdu.name == "VAR" else "std"
    text = str(hdu.header.get("UTYPE", "StdDevUncertainty")).strip()
    if text not in UTYPES:
        raise FrameError(
            file, f"UNCERT extension: expected UTYPE {', '.join(UTYPES)} or none, got {text!r}"
        )
    return UTYPES[text]


@dataclass(eq=False)
class PlaneVariance:
    """The variance of an image in a FITS file, by the extension beside it.

    Nothing of that is checked or read before a variance is wanted.

    Parameters
    ----------
    file : str
    hdu : Hdu
        UNCERT: what its UTYPE says, standard deviations where it has none, as
        `CCDData.read` does. VAR: variances. ERR: standard deviations.
    packed : bool
        Whether the file is gzip-compressed.
    image : Plane
    unit : astropy unit or None
        Of the samples of the image as they lie in the file.
    bunit : str
        BUNIT of the image, which the primary header may have.
    meant : {"std", "var", "ivar"} or None
        What it holds; None: what `kind_of` says.
    """

    file: str
    hdu: Hdu
    packed: bool
    image: Plane
    unit: units.UnitBase | None
    bunit: str
    meant: Kind | None = None

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Rows ``[start, stop)`` as `Frame.read_variance` gives them."""
        plane, kind, factor = self._opened
        return as_variance(_values(plane.read(start, stop)), kind, factor)

    @property
    def held_bytes(self) -> int:
        """Bytes that reading takes beside the rows, however few; 0 before a variance is wanted."""
        return self._opened[0].held_bytes if "_opened" in vars(self) else 0

    @property
    def _what(self) -> str:
        if self.meant is None:
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
        kind = kind_of(self.file, self.hdu) if self.meant is None else self.meant
        with reading(self.file), quiet():
            factor = unit_factor(self.file, self._what, kind, self._unit(), self.unit)
            return open_plane(self.file, self.hdu, self.packed), kind, factor

    def _unit(self) -> Any:
        """What BUNIT says; None, that which goes with the samples, where there is none.

        So it is with a copy of that of the image, and with one that nobody knows where that of the
        image is unknown too: then a given unit stands for both.
        """
        text = bunit_of(self.hdu.header)
        if not text or text == self.bunit:
            return None
        unit = _known(text)
        if unit is not None:
            return unit
        if not self.bunit or _known(self.bunit) is not None:
            raise FrameError(
                self.file, f"{self._what}: expected a unit that astropy knows, got BUNIT {text!r}"
            )
        told = f"using the unit that goes with {self.unit} instead of its own, {text!r}"
        told = f"{self._what}: {told}, which is unknown"
        warn_of(_log, f"%s: {told.replace('%', '%%')}", self.file)
        return None


def bunit_of(header: fits.Header) -> str:
    """BUNIT without blanks around it, "" where there is none, or a card without a value."""
    text = header.get("BUNIT")
    return "" if text is None or isinstance(text, fits.card.Undefined) else str(text).strip()


def _known(text: str) -> units.UnitBase | None:
    """The unit that a BUNIT says; None where astropy knows none of that name."""
    try:
        return unit_of(text)
    except ValueError:
        return None


def _values(samples: Samples) -> NDArray[np.float64]:
    """Samples in float64, NaN where blank. The precision is that of float64 under any BSCALE."""
    values: NDArray[Any] = decode_values(samples, np.dtype(np.float64))
    if samples.blank is not None and samples.data.dtype.kind in "iu":
        np.copyto(values, np.nan, where=samples.data == samples.blank)
    return values


@dataclass(frozen=True, eq=False)
class ArrayVariance:
    """The variance of a frame by the uncertainty that a CCDData has.

    Nothing of that is checked or read before a variance is wanted.

    Parameters
    ----------
    name : str
        Of the frame.
    given : array or number
        The uncertainty, one for each sample, or one for all.
    kind : {"std", "var", "ivar"}
    unit : astropy unit or None
        Of the uncertainty.
    shape, data_unit
        Of the frame; None where it came without a unit.
    """

    name: str
    given: Any
    kind: Kind
    unit: Any
    shape: tuple[int, ...]
    data_unit: units.UnitBase | None

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Rows ``[start, stop)`` as `Frame.read_variance` gives them."""
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
    """What the variance of a frame in memory, a CCDData or an array, is read from, if anything.

    `data_unit` is that of the samples as they came, whatever they are called now.
    """
    given = item.uncertainty if isinstance(item, loaded("astropy.nddata", "NDData")) else None
    for kind in _POWERS:
        if given is not None and given.uncertainty_type == kind and given.array is not None:
            return ArrayVariance(name, given.array, kind, given.unit, shape, data_unit)
    return None
