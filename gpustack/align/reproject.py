"""Frames resampled onto a grid on the sky: a `Reproject` done."""

from collections.abc import Sequence

from gpustack.align.base import Aligned
from gpustack.alignments import Reproject
from gpustack.frames import Frame


def reproject_frames(frames: Sequence[Frame], how: Reproject) -> Aligned:
    """Frames on the grid of the target."""
    raise NotImplementedError(how)
