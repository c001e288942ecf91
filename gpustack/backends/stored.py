"""Samples of a tile as stored in the frames, decoded only when they are needed.

If no order is needed, samples are decoded chunk by chunk, right before they are used, so that they
are in cache. Integers are sorted as stored and then decoded, which keeps their order, if that is
faster: in the network int16 takes two fifths of the time of float32, and for a median only the
middle ranks are decoded.
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
    """Stored samples of all frames, all of them valid or trusted to be.

    Parameters
    ----------
    samples : Samples
        How the samples are decoded.
    flat : ndarray, shape (n, pixels)
        The stored samples, of any real dtype and byte order, in frame order; never written to.
    rows : ndarray of float32 or float64, shape (n, pixels)
        Memory for the decoded samples.
    """

    samples: Samples
    flat: NDArray[Any]
    rows: Floats

    def fill(self, some: slice = slice(None)) -> None:
        """Decode the samples of some columns into `rows`."""
        self.decode(some, self.rows[:, some])

    def decode(self, some: slice, out: Floats) -> None:
        """Decode the samples of some columns into `out`, shape (n, columns)."""
        decode_stored(self.flat[:, some], self.samples, out)

    @property
    def has_order(self) -> bool:
        """Whether stored samples have the same order as decoded ones, and are sorted faster.

        numpy sorts 16-bit integers in vector registers on few processors only; on others that
        takes four to nine times as long as sorting float32. So they are sorted as stored only
        where the network sorts them.
        """
        dtype = self.flat.dtype
        if dtype.kind not in "iu" or self.samples.bscale <= 0:
            return False
        return dtype.itemsize > 2 or (dtype.itemsize == 2 and are_few(len(self.flat), self.flat))

    def sort(self, ranks: frozenset[int] | None) -> Floats:
        """Sort all columns, shape (n, pixels), and decode only `ranks`; None is all."""
        n, pixels = self.flat.shape
        buffer = empty_rows(n + 1, pixels, self.flat.dtype.newbyteorder("="))
        rows: NDArray[Any] = buffer[:n]
        if self.flat.dtype == buffer.dtype:
            rows = self.flat.view()
            rows.flags.writeable = False  # so that the buffer is sorted instead
        else:
            np.copyto(rows, self.flat)
        found = sort_columns(rows, buffer, ranks)
        for rank in range(n) if ranks is None else ranks:
            decode_stored(found[rank], self.samples, self.rows[rank])
        return self.rows


def decode_stored(data: NDArray[Any], samples: Samples, out: Floats) -> None:
    """Decode `data` into `out`, of the same shape, with the BSCALE and BZERO of `samples`.

    Floats with BZERO 0 may keep -0.0.
    """
    own = working_dtype(data.dtype)
    if data.dtype.newbyteorder("=") == out.dtype and samples.bscale == 1:
        np.copyto(out, data)  # if bytes are swapped, takes half the time of an addition
        if samples.bzero != 0:
            np.add(out, samples.bzero, out=out)
        return
    if samples.bscale != 1:
        data = np.multiply(data, samples.bscale, out=out, dtype=own, casting="same_kind")
    np.add(data, samples.bzero, out=out, dtype=own, casting="same_kind")
