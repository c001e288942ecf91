"""The interface of all backends: samples as input, outputs to fill, one band at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpustack.backends.sink import Sink
from gpustack.recipe import Recipe

#: Called with (rows done, total rows) after each band.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Rows of one frame as stored in memory or in the file, and how to decode them.

    The value of a sample is ``data * bscale + bzero``. A sample is invalid if its value is
    not finite, if `data` has an integer dtype and equals `blank`, or if `mask` is True.

    Parameters
    ----------
    data : ndarray, shape (rows, width)
        Any real dtype, byte order and strides. Backends do not write to it: it may be a view of an
        array of the caller.
    mask : ndarray of bool, shape (rows, width), or None
        True = invalid.
    weight : ndarray, shape (rows, width), or None
        The weight of each sample, if the recipe's weights are ``"sample"``.
    bscale, bzero : float
        FITS BSCALE and BZERO.
    blank : int or None
        FITS BLANK: the integer that stands for no value.
    variance : ndarray of float, shape (rows, width), or None
        The variance of each decoded sample, in its unit squared; None if not requested.
        Undefined where a sample is invalid; valid samples, too, may have a variance that is
        NaN, infinite or negative.
    """

    data: NDArray[Any]
    mask: NDArray[np.bool_] | None = None
    weight: NDArray[Any] | None = None
    bscale: float = 1.0
    bzero: float = 0.0
    blank: int | None = None
    variance: NDArray[Any] | None = None


def working_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype in which samples of `dtype` are compared and sorted: float32 or float64.

    float32 holds float16 and all 8-bit and 16-bit integers exactly. float32 stays float32, and all
    wider types become float64. 16-bit integers with a fractional BSCALE become float32, as in
    astropy.
    """
    given = np.dtype(dtype)
    small = given.itemsize <= 2 or (given.kind == "f" and given.itemsize == 4)
    return np.dtype(np.float32 if small else np.float64)


@dataclass(slots=True, eq=False)
class Outputs:
    """The C-contiguous arrays that a backend fills; None for those that are not wanted.

    Any of them except the tallies `valid` and `rejected` may be a `Sink` instead of an array. A
    backend fills the arrays that `rows` returns and passes them to `place`.

    Parameters
    ----------
    data, uncertainty : ndarray of float, shape (rows, width)
        NaN where `mask` is True; `data` of a sum is 0 there.
    mask : ndarray of bool, shape (rows, width)
        True where no sample survived, or the weights of the survivors sum to 0.
    count, low, high : ndarray of int, shape (rows, width)
        Numbers of survivors, and of samples rejected below and above them.
    valid, rejected : ndarray of int64, shape (n,)
        For each frame, the number of valid input samples, and how many of these were rejected.
        A backend adds to the numbers already there.
    reasons : ndarray of uint8, shape (n, rows, width)
        Why each sample does not survive, a `gpustack.reasons.Reason`; 0 for survivors.
    """

    data: NDArray[Any] | None = None
    uncertainty: NDArray[Any] | None = None
    mask: NDArray[np.bool_] | None = None
    count: NDArray[Any] | None = None
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    valid: NDArray[np.int64] | None = None
    rejected: NDArray[np.int64] | None = None
    reasons: NDArray[np.uint8] | None = None

    @property
    def marks(self) -> NDArray[np.bool_] | None:
        """Which samples do not survive, shape (n, rows, width), from `reasons`."""
        return None if self.reasons is None else self.reasons != 0

    @property
    def row_bytes(self) -> int:
        """Bytes that a row of outputs takes until it is placed; 0 if `rows` returns views."""
        return sum(array.row_bytes for _, array in self._sinks())

    def rows(self, start: int, stop: int) -> Self:
        """Outputs of rows ``[start, stop)``: views, or new arrays for sinks; tallies are shared."""
        views = {}
        for field in fields(self):
            array = getattr(self, field.name)
            if isinstance(array, Sink):
                array = array.buffer(start, stop)
            elif array is not None and field.name not in ("valid", "rejected"):
                array = array[..., start:stop, :]
            views[field.name] = array
        return type(self)(**views)

    def place(self, start: int, part: Self) -> None:
        """Pass filled outputs to the sinks: `part`, which `rows` returned for rows from `start`."""
        for name, sink in self._sinks():
            rows = getattr(part, name)
            if rows is not None:
                sink.write(start, rows)

    def _sinks(self) -> Iterator[tuple[str, Sink]]:
        for field in fields(self):
            array = getattr(self, field.name)
            if isinstance(array, Sink):
                yield field.name, array


class Source(Protocol):
    """A stack that a backend reads by rows, each frame flattened to (rows, width)."""

    @property
    def n(self) -> int:
        """How many frames."""

    @property
    def rows(self) -> int:
        """How many rows each frame has."""

    @property
    def width(self) -> int:
        """How many samples a row has."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in which samples are compared and sorted, float32 or float64."""

    @property
    def row_bytes(self) -> Sequence[int]:
        """For each frame, bytes of buffer that reading one row takes; 0 if rows are views."""

    @property
    def temporary_bytes(self) -> int:
        """Bytes that reading one row of a frame takes in addition to the buffer."""

    @property
    def held_bytes(self) -> int:
        """Further bytes that reading a frame holds, regardless of the number of rows."""

    @property
    def stored(self) -> Sequence[np.dtype[Any]]:
        """For each frame, the dtype of the samples that `read` returns."""

    @property
    def masked(self) -> Sequence[bool]:
        """For each frame, whether `read` returns a mask."""

    @property
    def weighted(self) -> bool:
        """Whether `read` returns a weight for every sample."""

    @property
    def variance(self) -> bool:
        """Whether `read` returns the variance of every sample."""

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Return rows ``[start, stop)`` of frame `f`.

        Rows that are read from a file are put into the first bytes of `into`. Several threads may
        call this at once for different frames.
        """


class Backend(Protocol):
    """The interface of a backend, which executes a recipe on a stack."""

    name: str

    def stream(
        self,
        source: Source,
        recipe: Recipe,
        out: Outputs,
        memory: int,
        progress: Progress | None = None,
    ) -> None:
        """Run `recipe` on a whole stack, band by band, and fill `out`.

        Parameters
        ----------
        source : Source
        recipe : Recipe
            Resolved: scale, zero and weights are numbers, ``"sample"`` or None.
        out : Outputs
            Arrays of all rows. Only those that are not None are computed.
        memory : int
            Limit in bytes on the host memory for samples, buffers and rows on their way to a
            `Sink`. The arrays of `out` do not count.
        progress : callable or None

        Raises
        ------
        MemoryLimitError
            If `memory` is too small for one row of all frames and the buffers for it.
        """
