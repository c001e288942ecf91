"""Integer masks whose bits each have a meaning of their own: data-quality flags."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.flags import Flags
from gpustack.frames.planes import Plane

#: BZERO with which FITS stores signed bytes and unsigned integers (FITS standard 4.0, table 11).
_OTHER_SIGN = {"u1": -128.0, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63}


def is_bools(plane: Plane) -> bool:
    """Whether a plane is a boolean mask as `CCDData.write` stores it: 8 bits, called MASK."""
    return plane.hdu.name == "MASK" and plane.stored.itemsize == 1 and plane.bzero == 0


def bits_dtype(plane: Plane) -> np.dtype[Any] | None:
    """Return the native integer dtype of the flags in a plane; None where it holds no flags.

    Floats, integers with any other scaling, and boolean masks are not flags.
    """
    stored = plane.stored
    if stored.kind == "f" or plane.bscale != 1 or is_bools(plane):
        return None
    native = stored.newbyteorder("=")
    # Of uint64, `Plane.read` has already applied the BZERO.
    if plane.bzero == 0 or native == np.uint64:
        return native
    return _other_signedness(native) if plane.bzero == _OTHER_SIGN.get(native.str[1:]) else None


def _other_signedness(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the unsigned dtype for a signed one and vice versa, same size and byte order."""
    turned = dtype.str.translate(str.maketrans("iu", "ui"))
    return np.dtype(turned)


def unsigned(bits: NDArray[Any]) -> NDArray[Any]:
    """View integers as unsigned, so that no sign bit is extended when they become wider."""
    return bits.view(bits.dtype.str.replace("i", "u"))


def bits_of(samples: Samples) -> NDArray[Any]:
    """Return the integers that samples stand for, in the file's byte order.

    The samples must be of a plane with a `bits_dtype`, whose rows are read into fresh memory or a
    buffer. Adding its BZERO, where it has one, only flips the sign bit, which is done in place.
    """
    if samples.bzero == 0:
        return samples.data
    raw = unsigned(samples.data)
    np.bitwise_xor(raw, raw.dtype.type(1 << (8 * raw.itemsize - 1)), out=raw)
    return raw.view(_other_signedness(samples.data.dtype))


def invalid_by_flags(bits: NDArray[Any], flags: Flags) -> NDArray[np.bool_]:
    """Return where integers, of any type, byte order and strides, have a bit that is bad."""
    raw = unsigned(bits)
    wanted = flags.invalid(int(np.iinfo(raw.dtype).max))
    invalid = np.empty(raw.shape, bool)
    # numpy casts to bool chunk by chunk, so no integer array of the whole is made.
    np.bitwise_and(raw, raw.dtype.type(wanted), out=invalid, casting="unsafe")
    return invalid
