"""Maps as extensions of a FITS file, which `CCDData.read` ignores."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits

from gpustack.cards.names import printable
from gpustack.checks import words_in_order
from gpustack.errors import InputError
from gpustack.header import fits_wcs, with_wcs
from gpustack.reasons import Reason

#: Name of the map -> EXTNAME.
EXTENSIONS = {
    "count": "COUNT",
    "low": "LOW",
    "high": "HIGH",
    "reason": "REASON",
    "exposure": "EXPOSURE",
    "rejections": "REJECTED",
    "flags": "DQ",
    "sigma": "SIGMA",
    "coverage": "COVERAGE",
    "weight": "WEIGHT",
    "frames": "FRAMES",
}

_MEANINGS = {
    Reason.MASKED: "masked in a frame",
    Reason.NO_VALUE: "NaN, infinite or blank",
    Reason.RANGE: "out of a range clip that stands first",
    Reason.CLIP: "rejected by a clip",
    Reason.GROW: "near a sample that a clip rejected",
}


def check_maps(maps: Any) -> tuple[str, ...]:
    """Return the names of maps, each once, in the order of `EXTENSIONS`.

    Raises
    ------
    RecipeError
        Where a name is not that of a map.
    """
    return words_in_order("maps", maps, tuple(EXTENSIONS))


def extensions(result: Any, maps: Sequence[str]) -> Iterator[Any]:
    """Yield the HDUs of some maps of a `StackResult` that is on the host.

    Raises
    ------
    InputError
        Where a map was not made.
    """
    for name in check_maps(maps):
        value = getattr(result, name)
        if value is None:
            raise InputError(
                f"maps: expected {name} among the outputs of the recipe, got "
                f"{', '.join(result.recipe.outputs) or 'none'}"
            )
        yield _hdu(name, value, result)


def _hdu(name: str, value: Any, result: Any) -> Any:
    if name == "frames":
        table = value.copy()
        for column in table.colnames:
            if table[column].dtype.kind == "U":
                table[column] = [printable(text) for text in table[column]]
        return fits.BinTableHDU(table, name=EXTENSIONS[name])
    data = np.asarray(value)
    header = None
    if fits_wcs(result.wcs) is not None and data.shape == result.data.shape:
        header = with_wcs(fits.Header(), result.coordinates)
    hdu = fits.ImageHDU(data.view(np.uint8) if data.dtype == bool else data, header)
    hdu.name = EXTENSIONS[name]
    unit = _unit(name, result)
    if unit is not None:
        hdu.header["BUNIT"] = unit.to_string()
    if name == "reason":
        for reason, meaning in _MEANINGS.items():
            hdu.header[f"REASON{reason.value}"] = (reason.name, meaning)
    return hdu


def _unit(name: str, result: Any) -> Any:
    """Return the unit of a map; None where it has none."""
    if name == "exposure":
        return units.s
    if name == "sigma":
        return result.unit
    by_variance = name == "weight" and result.recipe.weights == "variance"
    return result.unit**-2 if by_variance and result.unit is not None else None
