"""Frames brought onto one pixel grid, as an alignment says.

What comes out are frames that are read by rows of the new grid: a run aligns, band by band, what
it needs. `wcs_project` is the door that ccdproc has for single images.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gpustack.align.base import AbsentFrame, Aligned
from gpustack.align.offsets import place_frames
from gpustack.align.project import wcs_project
from gpustack.align.register import register_frames
from gpustack.align.reproject import reproject_frames
from gpustack.alignments import Alignment, Offsets, Register, Reproject, as_alignment
from gpustack.errors import InputError
from gpustack.frames import Frame, check_agree
from gpustack.frames.resident import ResidentFrame

__all__ = ["AbsentFrame", "Aligned", "bring_together", "wcs_project"]

#: Who aligns frames as an alignment says.
_ALIGNERS: dict[type[Alignment], Callable[[Sequence[Frame], Any], Aligned]] = {
    Reproject: reproject_frames,
    Offsets: place_frames,
    Register: register_frames,
}


def bring_together(frames: Sequence[Frame], given: Alignment | str | None) -> Aligned:
    """Frames that agree in unit and shape: aligned, or as they are.

    Parameters
    ----------
    frames : sequence of Frame
    given : alignment, its text, or None
        None: the frames must be of one shape.

    Raises
    ------
    MismatchError
        Where units differ, or shapes that nothing aligns.
    InputError
        Where frames cannot be aligned.
    """
    alignment = as_alignment(given)
    if alignment is None:
        check_agree(frames)
        return Aligned(list(frames))
    _check(frames, alignment)
    check_agree(frames, ("unit",))
    aligned = _ALIGNERS[type(alignment)](frames, alignment)
    if all(isinstance(frame, AbsentFrame) for frame in aligned.frames):
        raise InputError(
            f"align {alignment}: expected at least one frame that can be aligned, got none of "
            f"{len(frames)}, from {frames[0].name} on"
        )
    return aligned


def _check(frames: Sequence[Frame], alignment: Alignment) -> None:
    """Raise where frames are no images on the host."""
    for frame in frames:
        if isinstance(frame, ResidentFrame):
            raise InputError(
                f"align {alignment}: expected frames on the host, got a cupy array for "
                f"{frame.name}; cupy.asnumpy copies it"
            )
        if len(frame.shape) != 2:
            raise InputError(
                f"align {alignment}: expected images of two axes, got shape {frame.shape} in "
                f"{frame.name}"
            )
