"""A `PixelMap` as reproject takes coordinates: as two WCS with common world coordinates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.units import Quantity
from astropy.wcs.wcsapi import BaseLowLevelWCS

from gpustack.align.pixel_map import PixelMap


class FramePixels(BaseLowLevelWCS):  # type: ignore[misc]
    """A WCS whose world coordinates are the pixels of a frame."""

    @property
    def pixel_n_dim(self) -> int:
        """X and y."""
        return 2

    @property
    def world_n_dim(self) -> int:
        """X and y."""
        return 2

    @property
    def world_axis_physical_types(self) -> list[str]:
        """Custom types, which must differ for the axes to be distinguished."""
        return ["custom:pos.frame.x", "custom:pos.frame.y"]

    @property
    def world_axis_units(self) -> list[str]:
        """Pixels."""
        return ["pix", "pix"]

    @property
    def world_axis_object_components(self) -> list[tuple[str, Any, Any]]:
        """The value of a quantity for each axis."""
        return [("x", 0, "value"), ("y", 0, "value")]

    @property
    def world_axis_object_classes(self) -> dict[str, Any]:
        """A quantity in pixels for each axis."""
        return {axis: (Quantity, (), {"unit": "pix"}) for axis in "xy"}

    def pixel_to_world_values(self, *pixels: Any) -> tuple[Any, ...]:
        """Return the pixels unchanged."""
        return pixels

    def world_to_pixel_values(self, *world: Any) -> tuple[Any, ...]:
        """Return the world coordinates unchanged."""
        return world


@dataclass(eq=False)
class GridPixels(FramePixels):
    """A WCS of a part of a grid whose world coordinates are the pixels of a part of the frame.

    Parameters
    ----------
    pixel_map : PixelMap
    left, top : int
        x, y of the first pixel of the part of the grid.
    across, up : int
        x, y of the first pixel of the part of the frame.
    """

    pixel_map: PixelMap
    left: int
    top: int
    across: int
    up: int

    def pixel_to_world_values(self, *pixels: Any) -> tuple[Any, ...]:
        """Where pixels of the part of the grid lie on the part of the frame."""
        x, y = np.add(pixels[0], self.left), np.add(pixels[1], self.top)
        x, y = self.pixel_map.places_of_pixels(x, y)
        return x - self.across, y - self.up

    def world_to_pixel_values(self, *world: Any) -> tuple[Any, ...]:
        """Not implemented: reproject does not use it."""
        raise NotImplementedError
