"""The samples of a tile as they are stored, which are decoded when they are needed.

Where no order is needed they are decoded part by part, right before they are looked at, so that
they are in cache. Integers are sorted as they are and only then decoded, which keeps their order,
if that is faster: in the network int16 take two fifths of the time of float32, and where BSCALE is
1 no more than the middle ranks are decoded for a median.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.cache_lines import empty_rows
from gpustack.backends.columns import Floats
from gpustack.backends.network import are_few, sort_columns


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Samples of all frames, every one of them valid.

    Parameters
    ----------
    samples : Samples
        How they are decoded.
    flat : ndarray, shape (n, pixels)
        They, of any real dtype and byte order, in the order of the frames; never written to.
    rows : ndarray of float32 or float64, shape (n, pixels)
        Where decoded ones belong.
    """

    samples: Samples
    flat: NDArray[Any]
    rows: Floats

    def fill(self, some: slice = slice(None)) -> None:
        """Decode the samples of some columns."""
        self.decode(some, self.rows[:, some])

    def decode(self, some: slice, out: Floats) -> None:
        """Decode the samples of some columns, shape (n, columns), to somewhere else."""
        decode_stored(self.flat[:, some], self.samples, out)

    @property
    def has_order(self) -> bool:
        """Whether they are ordered as the values that they stand for, and faster to sort.

        Of 16 bits numpy sorts in vector registers on few processors; on others that takes four to
        nine times as long as float32, so that only the network gets them as they are.
        """
        dtype = self.flat.dtype
        if dtype.kind not in "iu" or self.samples.bscale <= 0:
            return False
        return dtype.itemsize > 2 or (dtype.itemsize == 2 and are_few(len(self.flat), self.flat))

    def sort(self, ranks: frozenset[int] | None) -> Floats:
        """Sorted columns, shape (n, pixels), of which `ranks` alone are decoded; None is all."""
        n, pixels = self.flat.shape
        buffer = empty_rows(n + 1, pixels, self.flat.dtype.newbyteorder("="))
        rows: NDArray[Any] = buffer[:n]
        if self.flat.dtype == buffer.dtype:
            rows = self.flat.view()
            rows.flags.writeable = False  # it is sorted elsewhere
        else:
            np.copyto(rows, self.flat)
        found = sort_columns(rows, buffer, ranks)
        for rank in range(n) if ranks is None else ranks:
            decode_stored(found[rank], self.samples, self.rows[rank])
        return self.rows


def decode_stored(data: NDArray[Any], samples: Samples, out: Floats) -> None:
    """The physical values of `data`, decoded as `samples`, in `out` of the same shape.

    Of floats with BZERO 0, -0.0 may stay.
    """
    own = working_dtype(data.dtype)
    if data.dtype.newbyteorder("=") == out.dtype and samples.bscale == 1:
        np.copyto(out, data)  # takes half the time of an addition that swaps bytes
        if samples.bzero != 0:
            np.add(out, samples.bzero, out=out)
        return
    if samples.bscale != 1:
        data = np.multiply(data, samples.bscale, out=out, dtype=own, casting="same_kind")
    np.add(data, samples.bzero, out=out, dtype=own, casting="same_kind")
