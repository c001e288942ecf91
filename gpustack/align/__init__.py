"""Bring frames onto one pixel grid, as an alignment specifies.

Aligned frames are read by rows of the new grid, so that a run resamples band by band only what it
needs. `gpustack.align.project` contains the counterpart of ccdproc's function for single images.
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

__all__ = ["AbsentFrame", "Aligned", "align_frames"]

#: Kind of alignment -> the module and the function that carry it out. Modules are imported on first
#: use: those for coordinates on the sky are slow to import.
_ALIGNERS: dict[type[Alignment], tuple[str, str]] = {
    Reproject: ("reproject", "reproject_frames"),
    Offsets: ("offsets", "place_frames"),
    Register: ("register", "register_frames"),
}

_UNIT_ADVICE = "; unit= (--unit on the command line) gives one unit for all, without conversion"


def align_frames(
    frames: Sequence[Frame],
    given: Alignment | str | None,
    known: Sequence[Similarity | None] | None = None,
    *,
    max_bytes: float | None = None,
) -> Aligned:
    """Return frames that agree in unit and shape: aligned, or unchanged without an alignment.

    Parameters
    ----------
    frames : sequence of Frame
    given : alignment, its text, or None
        With None, the frames must have one shape.
    known : sequence of Similarity or None, optional
        Only for `Register`: where each frame lies, from an earlier measurement
        (`Aligned.found`); nothing is measured again.
    max_bytes : float or None
        Size in bytes of the disk that the result is written to while it is computed; infinite
        where the result is not held by this process. None: the memory of this machine counts.

    Raises
    ------
    MismatchError
        Where units differ, or shapes differ without an alignment.
    InputError
        Where frames cannot be aligned, or the result would be too large.
    MissingPackageError
        Where a package that measures shifts is not installed.
    """
    alignment = as_alignment(given)
    if alignment is None:
        check_agree(frames, unit_advice=_UNIT_ADVICE)
        return Aligned(list(frames))
    _check(frames, alignment)
    check_agree(frames, ("unit",), _UNIT_ADVICE)
    module, function = _ALIGNERS[type(alignment)]
    words: dict[str, Any] = {"max_bytes": max_bytes} | ({} if known is None else {"known": known})
    aligned: Aligned = getattr(import_module(f"gpustack.align.{module}"), function)(
        frames, alignment, **words
    )
    if all(isinstance(frame, AbsentFrame) for frame in aligned.frames):
        why = aligned.columns.get("left_out", ["it was left out when the frames were measured"])[0]
        raise InputError(
            f"align {alignment}: expected at least one frame that can be aligned, got none of "
            f"{len(frames)}; {frames[0].name}: {why}"
        )
    return aligned


def _check(frames: Sequence[Frame], alignment: Alignment) -> None:
    """Raise InputError where a frame is on a device or does not have two axes."""
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
