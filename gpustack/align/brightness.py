"""Warnings about surface brightness that is scaled as if it were counts per pixel."""

import warnings
from collections.abc import Sequence
from typing import Any

from astropy import units

from gpustack.align.base import GridFrame
from gpustack.errors import GpustackWarning
from gpustack.frames import Frame

#: Relative difference of pixel areas above which a warning is given. Distortions alone cause
#: differences as large as this.
AREA = 1e-3


def warn_scaled(images: Sequence[tuple[str, Any, float]], flux: str, stacklevel: int) -> None:
    """Warn where surface brightness is multiplied by a ratio of pixel areas.

    Parameters
    ----------
    images : sequence of (str, unit, float)
        Name and unit of each image, and the factor that its values are multiplied by.
    flux : str
        As in `gpustack.Reproject`.
    stacklevel : int
        As for `warnings.warn`, if it were called in the place of this function.
    """
    scaled = [one for one in images if abs(one[2] - 1) > AREA and is_brightness(one[1])]
    if scaled:
        (name, unit, factor), more = scaled[0], len(scaled) - 1
        others = f" and {more} more" if more else ""
        warnings.warn(
            f"{name}{others}: {unit} is surface brightness, and flux={flux!r} multiplies it by "
            f"{factor:.4g}, the ratio of pixel areas, as if it were counts; flux='unscaled' "
            "(flux=unscaled in --align) does not",
            GpustackWarning,
            stacklevel=stacklevel + 1,
        )


def warn_frames_scaled(frames: Sequence[Frame], flux: str, stacklevel: int) -> None:
    """Warn as `warn_scaled` does, about the frames that were brought onto another grid."""
    on_grid = [one for one in frames if isinstance(one, GridFrame) and is_brightness(one.unit)]
    scaled = [(one.name, one.unit, one.factor) for one in on_grid]
    warn_scaled(scaled, flux, stacklevel + 1)


def is_brightness(unit: Any) -> bool:
    """Whether a unit is per area on the sky or per beam; False for one as mag(AB/arcsec2)."""
    if not isinstance(unit, units.UnitBase):
        return False
    plain = unit.decompose()
    powers = dict(zip(plain.bases, plain.powers, strict=True))
    return bool(powers.get(units.rad, 0) <= -2 or powers.get(units.beam, 0) < 0)
