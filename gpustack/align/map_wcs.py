"""A `PixelMap` in the form in which reproject takes coordinates: two WCS that share a world."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.units import Quantity
from astropy.wcs.wcsapi import BaseLowLevelWCS

from gpustack.align.pixel_map import PixelMap


class FramePixels(BaseLowLevelWCS):  # type: ignore[misc]
    """A world that is the pixels of a frame."""

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
        """Those of no vocabulary; they must differ to be told apart."""
        return ["custom:pos.frame.x", "custom:pos.frame.y"]

    @property
    def world_axis_units(self) -> list[str]:
        """Pixels."""
        return ["pix", "pix"]

    @property
    def world_axis_object_components(self) -> list[tuple[str, Any, Any]]:
        """Plain numbers with a unit."""
        return [("x", 0, "value"), ("y", 0, "value")]

    @property
    def world_axis_object_classes(self) -> dict[str, Any]:
        """Plain numbers with a unit."""
        return {axis: (Quantity, (), {"unit": "pix"}) for axis in "xy"}

    def pixel_to_world_values(self, *pixels: Any) -> tuple[Any, ...]:
        """Themselves."""
        return pixels

    def world_to_pixel_values(self, *world: Any) -> tuple[Any, ...]:
        """Themselves."""
        return world


@dataclass(eq=False)
class GridPixels(FramePixels):
    """The pixels of a part of a grid, in the world of a part of the frame.

    Parameters
    ----------
    pixel_map : PixelMap
    left, top : int
        The first pixel of the part of the grid.
    across, up : int
        The first pixel of the part of the frame.
    """

    pixel_map: PixelMap
    left: int
    top: int
    across: int
    up: int

    def pixel_to_world_values(self, *pixels: Any) -> tuple[Any, ...]:
        """Where they lie on the frame."""
        x, y = self.pixel_map.at(np.add(pixels[0], self.left), np.add(pixels[1], self.top))
        return x - self.across, y - self.up

    def world_to_pixel_values(self, *world: Any) -> tuple[Any, ...]:
        """Nobody asks for it."""
        raise NotImplementedError
