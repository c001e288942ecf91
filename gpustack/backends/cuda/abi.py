"""The arguments of a kernel as numpy dtypes, which mirror the structs of ``kernels/abi.h``."""

from typing import Any

import numpy as np

FRAME = np.dtype(
    [
        ("data", "u8"),
        ("data_stride", "i8"),
        ("mask", "u8"),
        ("mask_stride", "i8"),
        ("weight", "u8"),
        ("weight_stride", "i8"),
        ("variance", "u8"),
        ("variance_stride", "i8"),
        ("bscale", "f8"),
        ("bzero", "f8"),
        ("zero", "f8"),
        ("scale", "f8"),
        ("weight_value", "f8"),
        ("blank", "i8"),
        ("has_blank", "i4"),
        ("reserved", "i4", 3),
    ]
)

CLIP = np.dtype(
    [
        ("kind", "i4"),
        ("center", "i4"),
        ("spread", "i4"),
        ("about", "i4"),
        ("maxiters", "i4"),
        ("ddof", "i4"),
        ("nlow", "i4"),
        ("nhigh", "i4"),
        ("has_low", "i4"),
        ("has_high", "i4"),
        ("keep", "i4"),
        ("rank", "i4"),
        ("low", "f8"),
        ("high", "f8"),
        ("rdnoise", "f8"),
        ("gain", "f8"),
        ("snoise", "f8"),
        ("outliers", "f8"),
        ("table", "u8"),
    ]
)

OUT = np.dtype(
    [
        (name, "u8")
        for name in (
            "data",
            "uncertainty",
            "mask",
            "count",
            "low",
            "high",
            "reasons",
            "invalid",
            "rejected",
        )
    ]
)


def planes(frames: int) -> np.dtype[Any]:
    """The dtype of the struct `Planes`: addresses of the data and masks of so many frames."""
    count = max(frames, 1)
    return np.dtype([("data", "u8", count), ("mask", "u8", count)])


#: The enums of ``kernels/abi.h``: values of a clip's fields, and of -D names that are choices.
CLIP_RANGE, CLIP_EXTREMA, CLIP_EXTREMA_ALL, CLIP_EXTREMA_SHARE = range(4)
CLIP_BOUNDS, CLIP_ESD, CLIP_BY_FRAME, CLIP_REPLACING = range(4, 8)
CLIPPED_NOT, CLIPPED_BASIC, CLIPPED_ALL, CLIPPED_BY_FRAME = range(4)
CENTER = {"mean": 0, "median": 1, "trimmed_mean": 2}
ABOUT = {"mean": 0, "center": 1}
COMBINE = {
    "mean": 0,
    "median": 1,
    "sum": 2,
    "min": 3,
    "max": 4,
    "lower_median": 5,
    "lmedian": 6,
    "quadrature": 7,
    "nmodel": 8,
}
SPREAD = {None: 0, "std": 1, "mad_std": 2}
#: Spreads that only clips have, never an uncertainty.
SPREAD_RAW_MAD, SPREAD_CENTER, SPREAD_NOISE, SPREAD_RANK, SPREAD_WINSORIZED = range(3, 8)
SPREAD_POISSON, SPREAD_VARIANCE, SPREAD_LINE, SPREAD_ROW = range(8, 12)
NORMALIZE_NONE, NORMALIZE_EARLY, NORMALIZE_LATE = range(3)
WEIGHTED_NOT, WEIGHTED_FRAME, WEIGHTED_SAMPLE = range(3)

#: Kind and itemsize of a dtype -> the C type in which a kernel reads stored samples.
STORED = {
    "u1": "unsigned char",
    "i1": "signed char",
    "u2": "unsigned short",
    "i2": "short",
    "u4": "unsigned int",
    "i4": "int",
    "u8": "unsigned long long",
    "i8": "long long",
    "f4": "float",
    "f8": "double",
}

#: Itemsize of the working dtype -> the most frames that are sorted in registers.
REGISTER_FRAMES = {4: 128, 8: 64}

#: Bytes of shared memory that a block has on every device without asking for more.
SHARED_BYTES = 48 * 1024

#: Itemsize of the working dtype -> the most frames whose columns fit in shared memory, in blocks
#: of 32 threads and with two 32-bit counters a frame. With more frames, samples are streamed:
#: read again for every statistic (-D N=0).
SHARED_FRAMES = {4: 360, 8: 186}


def frames_macro(n: int, itemsize: int, ranks: bool) -> int:
    """The value of -D N for `n` frames of a working dtype of `itemsize` bytes; 0 = streamed.

    `ranks` says whether the kernel looks up ranks repeatedly. Only then are columns that are too
    long for registers held in shared memory.
    """
    held = SHARED_FRAMES if ranks else REGISTER_FRAMES
    return n if n <= held[itemsize] else 0


def held_frames(n: int, itemsize: int) -> int:
    """The number of frames whose addresses are among the arguments, for this value of -D N."""
    return n if n <= REGISTER_FRAMES[itemsize] else 0


def block_threads(n: int, itemsize: int) -> int:
    """The threads of a block, which is the value of -D BLOCK, for this value of -D N.

    Shared memory has to hold the sorted columns of a block and two 32-bit counters a frame.
    """
    threads = 32 if n > REGISTER_FRAMES[itemsize] else 128
    return threads if n * (threads * itemsize + 8) <= SHARED_BYTES else 64
