"""Integer masks of which every bit says something else of a sample: data-quality flags."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.flags import Flags
from gpustack.frames.planes import Plane

#: BZERO by which FITS stores integers of the other sign (FITS standard 4.0, table 11).
_OTHER_SIGN = {"u1": -128.0, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63}


def is_bools(plane: Plane) -> bool:
    """Whether it is a mask as `CCDData.write` makes one of bools: 8 bits, called MASK."""
    return plane.hdu.name == "MASK" and plane.stored.itemsize == 1 and plane.bzero == 0


def bits_dtype(plane: Plane) -> np.dtype[Any] | None:
    """The integer type that the samples of a plane are bits of, native; None where of none."""
    stored = plane.stored
    if stored.kind == "f" or plane.bscale != 1 or is_bools(plane):
        return None
    native = stored.newbyteorder("=")
    # uint64 has lost its BZERO when it was read.
    if plane.bzero == 0 or native == np.uint64:
        return native
    return _other(native) if plane.bzero == _OTHER_SIGN.get(native.str[1:]) else None


def _other(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The integer type of the same size and byte order, signed or not."""
    turned = dtype.str.translate(str.maketrans("iu", "ui"))
    return np.dtype(turned)


def unsigned(bits: NDArray[Any]) -> NDArray[Any]:
    """The same bits, that of a sign too, which else would fill the upper ones of a wider type."""
    return bits.view(bits.dtype.str.replace("i", "u"))


def bits_of(samples: Samples) -> NDArray[Any]:
    """The integers that samples of a plane with a `bits_dtype` are, in the file's byte order.

    Turns their sign bit in place where they have a BZERO: adding it does no more.
    """
    if samples.bzero == 0:
        return samples.data
    raw = unsigned(samples.data)
    np.bitwise_xor(raw, raw.dtype.type(1 << (8 * raw.itemsize - 1)), out=raw)
    return raw.view(_other(samples.data.dtype))


def raised(bits: NDArray[Any], flags: Flags) -> NDArray[np.bool_]:
    """Where integers of any type, byte order and strides have bits that make samples invalid."""
    raw = unsigned(bits)
    wanted = flags.invalid(int(np.iinfo(raw.dtype).max))
    invalid = np.empty(raw.shape, bool)
    # Cast piece by piece, without an integer array of all of it.
    np.bitwise_and(raw, raw.dtype.type(wanted), out=invalid, casting="unsafe")
    return invalid
