"""Kinds of recipes that are compiled for devices, as -D names, for bench and the register table."""

from gpustack.backends.cuda import abi

#: Samples that are on the device in the working dtype, with nothing to decode.
RESIDENT = {
    "FLAT": 1,
    "SCALED": 0,
    "MASKED": 0,
    "NORMALIZE": abi.NORMALIZE_NONE,
    "CLIPPED": abi.CLIPPED_NOT,
    "COMBINE": abi.COMBINE["mean"],
    "SPREAD": abi.SPREAD[None],
    "WEIGHTED": abi.WEIGHTED_NOT,
    "REPLACES": 0,
    "LOOK": 0,
}
MEDIAN, MAD, STD = abi.COMBINE["median"], abi.SPREAD["mad_std"], abi.SPREAD["std"]
#: Unsigned 16-bit integers as a FITS file stores them.
FITS = {"STORED": "short", "SWAP": 1, "SCALED": 1}

SHAPES = {
    "mean": RESIDENT | {"SPREAD": STD},
    "median": RESIDENT | {"COMBINE": MEDIAN},
    "median-mad": RESIDENT | {"COMBINE": MEDIAN, "SPREAD": MAD},
    "quadrature": RESIDENT | {"COMBINE": abi.COMBINE["quadrature"]},
    "clip-nmodel": RESIDENT
    | {
        "CLIPPED": abi.CLIPPED_BASIC,
        "COMBINE": abi.COMBINE["nmodel"],
        "NORMALIZE": abi.NORMALIZE_EARLY,
    },
    "clip-mean": RESIDENT | {"CLIPPED": abi.CLIPPED_BASIC, "SPREAD": STD},
    "every-clip-mean": RESIDENT | {"CLIPPED": abi.CLIPPED_ALL, "SPREAD": STD},
    "masked-clip-median": RESIDENT
    | {"CLIPPED": abi.CLIPPED_BASIC, "COMBINE": MEDIAN, "SPREAD": MAD, "MASKED": 1, "LOOK": 1},
    "replacing-mean": RESIDENT | {"CLIPPED": abi.CLIPPED_BASIC, "REPLACES": 1, "SPREAD": STD},
    "fits-replacing": RESIDENT
    | FITS
    | {
        "CLIPPED": abi.CLIPPED_ALL,
        "REPLACES": 1,
        "SPREAD": STD,
        "NORMALIZE": abi.NORMALIZE_EARLY,
        "MASKED": 1,
        "LOOK": 1,
    },
    "fits-median": RESIDENT | FITS | {"COMBINE": MEDIAN},
    "fits-scaled-clip": RESIDENT
    | FITS
    | {
        "CLIPPED": abi.CLIPPED_BASIC,
        "SPREAD": STD,
        "NORMALIZE": abi.NORMALIZE_EARLY,
        "MASKED": 1,
        "LOOK": 1,
    },
    "fits-every-clip": RESIDENT
    | FITS
    | {
        "CLIPPED": abi.CLIPPED_ALL,
        "SPREAD": MAD,
        "NORMALIZE": abi.NORMALIZE_EARLY,
        "MASKED": 1,
        "LOOK": 1,
    },
    "by-frame-mean": RESIDENT
    | {
        "CLIPPED": abi.CLIPPED_BY_FRAME,
        "SPREAD": STD,
        "NORMALIZE": abi.NORMALIZE_EARLY,
        "MASKED": 1,
        "LOOK": 1,
    },
    "raw-clip-weighted": RESIDENT
    | {
        "CLIPPED": abi.CLIPPED_BASIC,
        "SPREAD": STD,
        "NORMALIZE": abi.NORMALIZE_LATE,
        "WEIGHTED": abi.WEIGHTED_SAMPLE,
        "MASKED": 1,
        "LOOK": 1,
    },
}


def defines(shape, n, itemsize=4):
    """All -D names of a shape for `n` frames and a working dtype of `itemsize` bytes."""
    real = abi.STORED[f"f{itemsize}"]
    names = SHAPES[shape]
    ranks = names["CLIPPED"] != abi.CLIPPED_NOT or names["SPREAD"] == MAD
    held = abi.frames_macro(n, itemsize, ranks)
    sizes = {
        "N": held,
        "BLOCK": abi.block_threads(held, itemsize),
        "REAL": real,
        "OUT": real,
        "STORED": real,
    }
    return sizes | names
