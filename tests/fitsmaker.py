"""FITS files written byte by byte, so that tests of reading do not depend on astropy's writer."""

import numpy as np

BLOCK = 2880
BITPIX = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


def header_bytes(cards, end=True):
    """Fixed-format cards for these keywords and values, padded to a block; None is left out."""
    lines = [
        f"{key:<8}= {_text(value):>20}".ljust(80)[:80] for key, value in cards if value is not None
    ]
    text = "".join(lines + ["END".ljust(80)] * end).encode("ascii")
    return text.ljust(-(-len(text) // BLOCK) * BLOCK)


def _text(value):
    if isinstance(value, bool):
        return "T" if value else "F"
    return f"'{value:<8}'" if isinstance(value, str) else repr(value)


def image_header(raw_dtype, shape, *, extension=False, end=True, **cards):
    """The header of an image HDU of the given shape."""
    bitpix = BITPIX[np.dtype(raw_dtype).str[1:]]
    first = ("XTENSION", "IMAGE") if extension else ("SIMPLE", True)
    axes = [(f"NAXIS{n}", length) for n, length in enumerate(reversed(shape), 1)]
    counts = [("PCOUNT", 0), ("GCOUNT", 1)] if extension else []
    structure = [first, ("BITPIX", bitpix), ("NAXIS", len(shape)), *axes, *counts]
    return header_bytes([*structure, *cards.items()], end)


def image_bytes(raw, **cards):
    """A whole image HDU; `raw` are the stored values, before BSCALE and BZERO are applied."""
    data = raw.astype(raw.dtype.newbyteorder(">")).tobytes()
    padded = data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
    return image_header(raw.dtype, raw.shape, **cards) + padded


def empty_primary(**cards):
    """A primary HDU without data."""
    return header_bytes([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), *cards.items()])
