"""Why a sample is out."""

from enum import IntFlag


class Reason(IntFlag):
    """The first thing that put a sample out; 0 for a survivor.

    Attributes
    ----------
    MASKED
        Its frame's mask has it.
    NO_VALUE
        NaN, infinite or blank, in the frame or when normalised.
    RANGE
        Out of a range clip that stands before all other clips.
    CLIP
        Rejected by one of the other clips.
    GROW
        Near a sample of its frame that one of the other clips rejected.
    """

    MASKED = 1
    NO_VALUE = 2
    RANGE = 4
    CLIP = 8
    GROW = 16
