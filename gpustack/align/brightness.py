"""Values that are not counts a pixel, and are about to be scaled as if they were."""

import warnings
from collections.abc import Sequence
from typing import Any

from astropy import units

from gpustack.align.projected import ProjectedFrame
from gpustack.errors import GpustackWarning
from gpustack.frames import Frame

#: Of areas of pixels, relative: distortions make as much; values that are off by it are warned of.
AREA = 1e-3


def warn_scaled(frames: Sequence[Frame], stacklevel: int) -> None:
    """Warn where surface brightness is multiplied by a ratio of the areas of pixels."""
    scaled = [
        frame
        for frame in frames
        if isinstance(frame, ProjectedFrame)
        and frame.how.flux != "unscaled"
        and abs(frame.ratio - 1) > AREA
        and is_brightness(frame.unit)
    ]
    if scaled:
        first, more = scaled[0], len(scaled) - 1
        others = f" and {more} more" if more else ""
        warnings.warn(
            f"{first.name}{others}: {first.unit} is surface brightness, and "
            f"flux={first.how.flux!r} multiplies it by {first.ratio:.4g}, the ratio of pixel "
            "areas, as if it were counts; flux='unscaled' (--align wcs:flux=unscaled) does not",
            GpustackWarning,
            stacklevel=stacklevel,
        )


def is_brightness(unit: Any) -> bool:
    """Whether a unit is one of something an area on the sky, or a beam."""
    if unit is None:
        return False
    plain = unit.decompose()
    powers = dict(zip(plain.bases, plain.powers, strict=True))
    return bool(powers.get(units.rad, 0) <= -2 or powers.get(units.beam, 0) < 0)
