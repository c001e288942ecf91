"""The reasons for which a sample is not combined."""

from enum import IntFlag


class Reason(IntFlag):
    """Why a sample is invalid or rejected: the first reason that applies; 0 for a survivor.

    Attributes
    ----------
    MASKED
        True in the mask of its frame.
    NO_VALUE
        NaN, infinite or blank, in the frame or after it is normalised.
    RANGE
        Rejected by a range clip that comes before all other clips.
    CLIP
        Rejected by one of the other clips.
    GROW
        Rejected by `Grow`: near a sample of its frame that is out because of CLIP.
    """

    MASKED = 1
    NO_VALUE = 2
    RANGE = 4
    CLIP = 8
    GROW = 16
