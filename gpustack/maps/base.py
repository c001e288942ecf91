"""What a derived map is, and what it gets of each band: the reasons, and the rows themselves."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples, Source
from gpustack.plan import Band

#: Makes an array of this shape and dtype, not filled, or what takes its rows; see `Sink`.
Empty = Callable[[tuple[int, ...], np.dtype[Any]], Any]


class Stack(Source, Protocol):
    """A source that also has arrays to fill, where its frames are: on the host or a device."""

    @property
    def height(self) -> int:
        """Rows of a plane: neighbours above and below are those of the same plane."""

    def empty(self, shape: Sequence[int], dtype: Any) -> Any:
        """An array where the frames are, not filled."""

    def here(self) -> AbstractContextManager[Any]:
        """Within it, arrays are computed with where the frames are."""

    def unweighted(self) -> Self:
        """The same without a weight for every sample, which then need not be read."""

    def read_variance(self, f: int, start: int, stop: int) -> NDArray[np.float64]:
        """The variance of rows ``[start, stop)`` of frame `f`, fresh, whatever `read` gives."""

    @property
    def flags(self) -> Sequence[np.dtype[Any] | None]:
        """The integer type of each frame's bits, None where it has none."""

    def read_flags(self, f: int, start: int, stop: int) -> NDArray[Any]:
        """The bits of rows ``[start, stop)`` of frame `f`; may be a view."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows ``[start, stop)`` of a source, as a source.

    Parameters
    ----------
    source : Stack
    start, stop : int
    masks : array of bool, shape (n, stop - start, width), or None
        What is invalid, in place of the masks that the frames have.
    """

    source: Stack
    start: int
    stop: int
    masks: Any = None

    @property
    def n(self) -> int:
        """How many frames."""
        return self.source.n

    @property
    def rows(self) -> int:
        """Of each frame."""
        return self.stop - self.start

    @property
    def width(self) -> int:
        """Samples of a row."""
        return self.source.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """In which samples are compared and sorted."""
        return self.source.dtype

    @property
    def row_bytes(self) -> Sequence[int]:
        """As of the source; the masks lie in memory."""
        return self.source.row_bytes

    @property
    def fresh_bytes(self) -> int:
        """As of the source."""
        return self.source.fresh_bytes

    @property
    def held_bytes(self) -> int:
        """As of the source."""
        return self.source.held_bytes

    @property
    def stored(self) -> Sequence[np.dtype[Any]]:
        """As of the source."""
        return self.source.stored

    @property
    def masked(self) -> Sequence[bool]:
        """Whether `read` gives a mask with the samples of each frame."""
        return self.source.masked if self.masks is None else [True] * self.n

    @property
    def weighted(self) -> bool:
        """Whether it gives a weight with every sample."""
        return self.source.weighted

    @property
    def variance(self) -> bool:
        """Whether it gives the variance of every sample."""
        return self.source.variance

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of these rows of frame `f`."""
        samples = self.source.read(f, self.start + start, self.start + stop, into)
        if self.masks is None:
            return samples
        return replace(samples, mask=self.masks[f, start:stop])

    def read_variance(self, f: int) -> NDArray[np.float64]:
        """The variance of all these rows of frame `f`; see `Stack`."""
        return self.source.read_variance(f, self.start, self.stop)

    def read_flags(self, f: int) -> NDArray[Any]:
        """The bits of all these rows of frame `f`; see `Stack`."""
        return self.source.read_flags(f, self.start, self.stop)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A band of which it is settled what becomes of every sample.

    Parameters
    ----------
    band : Band
    reasons : array of uint8, shape (n, band.rows, width)
        Why each sample is out, a `gpustack.reasons.Reason`; 0 for survivors. Overwritten after
        the map has seen it.
    rows : Rows
        The band of every frame, for maps that need more of it.
    out : Outputs
        What the backend made of it: data and mask at least, for maps that need them.
    """

    band: Band
    reasons: Any
    rows: Rows
    out: Outputs


class Derived(Protocol):
    """A map that is made band by band, of reasons.

    It works with operators and methods that numpy and cupy both have; one of variances or flags,
    which cupy frames never bring, need not.
    """

    @property
    def pixel_bytes(self) -> int:
        """What `add` takes for a pixel of a band, beside the map itself."""

    @property
    def value(self) -> Any:
        """The map of all rows, its axes but the last as one: an array, a cube of bits, a `Sink`."""

    def add(self, part: Part) -> None:
        """Fill in the rows of a band."""
