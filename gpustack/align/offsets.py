"""Frames moved by whole pixels: an `Offsets` done."""

from collections.abc import Sequence

from gpustack.align.base import Aligned
from gpustack.alignments import Offsets
from gpustack.frames import Frame


def place_frames(frames: Sequence[Frame], how: Offsets) -> Aligned:
    """Frames in a grid that holds them, or in a part of it."""
    raise NotImplementedError(how)
