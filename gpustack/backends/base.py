"""What every backend takes and gives: samples in, outputs filled, one band at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpustack.backends.sink import Sink
from gpustack.recipe import Recipe

#: Called with (rows done, rows in all) after each band.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Rows of one frame as they lie in memory or in the file, and how to decode them.

    The value of a sample is ``data * bscale + bzero``; it is invalid where it is not
    finite, where `data` is of integers and equals `blank`, or where `mask` is True.

    Parameters
    ----------
    data : ndarray, shape (rows, width)
        Any real dtype, byte order and strides; never written to.
    mask : ndarray of bool, shape (rows, width), or None
        True = invalid.
    weight : ndarray, shape (rows, width), or None
        One weight a sample, where the recipe's weights are ``"sample"``.
    bscale, bzero : float
        FITS BSCALE and BZERO.
    blank : int or None
        FITS BLANK: the integer that stands for no value.
    variance : ndarray of float, shape (rows, width), or None
        Of the decoded samples, in their unit squared, where it was asked for. Anything where a
        sample is invalid; elsewhere too it may be NaN, infinite or negative.
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

    float32 holds every 8 and 16 bit integer and float16 exactly; all wider types are
    float64. 16-bit samples under a fractional BSCALE are float32, as astropy reads them.
    """
    given = np.dtype(dtype)
    small = given.itemsize <= 2 or (given.kind == "f" and given.itemsize == 4)
    return np.dtype(np.float32 if small else np.float64)


@dataclass(slots=True, eq=False)
class Outputs:
    """The arrays that a backend fills, C-contiguous. None = not wanted.

    Any of them but the tallies may be a `Sink` instead of an array: a backend fills what `rows`
    gives and hands it back to `place`.

    Parameters
    ----------
    data, uncertainty : ndarray of float, shape (rows, width)
        NaN where `mask` is set (`data` of a sum: 0).
    mask : ndarray of bool, shape (rows, width)
        True where no sample survived, or the weights of the survivors sum to 0.
    count, low, high : ndarray of int, shape (rows, width)
        Survivors; samples rejected below and above them.
    valid, rejected : ndarray of int64, shape (n,)
        Per frame, added to: samples that came in valid, and how many of them were
        rejected.
    reasons : ndarray of uint8, shape (n, rows, width)
        Why each sample is out, a `gpustack.reasons.Reason`; 0 for survivors.
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
        """Which samples are out, shape (n, rows, width), of `reasons`."""
        return None if self.reasons is None else self.reasons != 0

    @property
    def row_bytes(self) -> int:
        """Bytes that a row takes until it is placed; 0 where `rows` gives views."""
        return sum(array.row_bytes for _, array in self._sinks())

    def rows(self, start: int, stop: int) -> Self:
        """Views of rows ``[start, stop)``, or arrays to make them in; the tallies are shared."""
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
        """Take what `rows` gave from `start` on, now that it is filled."""
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
        """Of each frame."""

    @property
    def width(self) -> int:
        """Samples of a row."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """In which samples are compared and sorted, float32 or float64."""

    @property
    def row_bytes(self) -> Sequence[int]:
        """Bytes of buffer that reading one row of each frame takes; 0 where rows are views."""

    @property
    def fresh_bytes(self) -> int:
        """Bytes that reading one row of any frame takes beside the buffer."""

    @property
    def held_bytes(self) -> int:
        """Bytes that reading any frame holds beside, however few the rows."""

    @property
    def stored(self) -> Sequence[np.dtype[Any]]:
        """Of the samples of each frame as `read` gives them."""

    @property
    def masked(self) -> Sequence[bool]:
        """Whether `read` gives a mask with those of each frame."""

    @property
    def weighted(self) -> bool:
        """Whether it gives a weight with every sample."""

    @property
    def variance(self) -> bool:
        """Whether it gives the variance of every sample."""

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of frame `f`, in the first bytes of `into` where they are read.

        May be called for several frames at once.
        """


class Backend(Protocol):
    """Who executes a recipe on a stack."""

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
            Arrays of all rows. Only those that are not None are made.
        memory : int
            Bytes of host memory that samples and buffers may take, and rows on their way to a
            `Sink`; beside the arrays of `out`.
        progress : callable or None

        Raises
        ------
        MemoryLimitError
            Where not even one row of all frames fits in `memory`, with the buffers for it.
        """
