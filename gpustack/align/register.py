"""Frames aligned by what is seen on them: a `Register` done."""

from collections.abc import Sequence

from gpustack.align.base import Aligned
from gpustack.alignments import Register
from gpustack.frames import Frame


def register_frames(frames: Sequence[Frame], how: Register) -> Aligned:
    """Frames on the grid of the reference."""
    raise NotImplementedError(how)
