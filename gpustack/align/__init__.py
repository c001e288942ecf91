"""Frames brought onto one pixel grid, as an alignment says.

What comes out are frames that are read by rows of the new grid: a run aligns, band by band, what
it needs. `project` has the function that ccdproc has for single images.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gpustack.align.base import AbsentFrame, Aligned
from gpustack.align.similarity import Similarity
from gpustack.alignments import Alignment, Offsets, Register, Reproject, as_alignment
from gpustack.errors import InputError
from gpustack.frames import Frame, check_agree
from gpustack.frames.resident import ResidentFrame

__all__ = ["AbsentFrame", "Aligned", "bring_together"]

#: Which module aligns frames as an alignment says, by which function. They load on first use:
#: coordinates on the sky are slow to load.
_ALIGNERS: dict[type[Alignment], tuple[str, str]] = {
    Reproject: ("reproject", "reproject_frames"),
    Offsets: ("offsets", "place_frames"),
    Register: ("register", "register_frames"),
}


def bring_together(
    frames: Sequence[Frame],
    given: Alignment | str | None,
    known: Sequence[Similarity | None] | None = None,
    *,
    room: float | None = None,
) -> Aligned:
    """Frames that agree in unit and shape: aligned, or as they are.

    Parameters
    ----------
    frames : sequence of Frame
    given : alignment, its text, or None
        None: the frames must be of one shape.
    known : sequence of Similarity or None, optional
        Where frames lie that were measured before (`Aligned.found`); they are not measured again.
    room : float or None
        Bytes of the disk that the result goes to as it is made, infinite where nobody holds it
        here; None: that of the memory of this machine.

    Raises
    ------
    MismatchError
        Where units differ, or shapes that nothing aligns.
    InputError
        Where frames cannot be aligned, or there is no room for the result.
    """
    alignment = as_alignment(given)
    if alignment is None:
        check_agree(frames)
        return Aligned(list(frames))
    _check(frames, alignment)
    check_agree(frames, ("unit",))
    module, function = _ALIGNERS[type(alignment)]
    words: dict[str, Any] = {"room": room} | ({} if known is None else {"known": known})
    aligned: Aligned = getattr(import_module(f"gpustack.align.{module}"), function)(
        frames, alignment, **words
    )
    if all(isinstance(frame, AbsentFrame) for frame in aligned.frames):
        why = aligned.columns.get("left_out", ["it is known to be left out"])[0]
        raise InputError(
            f"align {alignment}: expected at least one frame that can be aligned, got none of "
            f"{len(frames)}; {frames[0].name}: {why}"
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
