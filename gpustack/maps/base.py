"""The protocol of a derived map, and what it receives of each band: the reasons and the rows."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples, Source
from gpustack.plan import Band

#: Makes an uninitialised array of a shape and dtype, or a `Sink` that receives its rows.
MakeArray = Callable[[tuple[int, ...], np.dtype[Any]], Any]


class Stack(Source, Protocol):
    """A source that can also make arrays where its frames are, on the host or on a device."""

    @property
    def height(self) -> int:
        """The rows of a plane; rows of different planes are not neighbours."""

    def empty(self, shape: Sequence[int], dtype: Any) -> Any:
        """Return an uninitialised array where the frames are."""

    def on_device(self) -> AbstractContextManager[Any]:
        """Return a context in which arrays are computed where the frames are."""

    def unweighted(self) -> Self:
        """Return the same source without a weight for every sample, which is then not read."""

    def read_variance(self, f: int, start: int, stop: int) -> NDArray[np.float64]:
        """Return the variance of rows ``[start, stop)`` of frame `f`, in a fresh array."""

    @property
    def flags(self) -> Sequence[np.dtype[Any] | None]:
        """The dtype of each frame's bits; None for a frame without an integer mask."""

    def read_flags(self, f: int, start: int, stop: int) -> NDArray[Any]:
        """Return the bits of rows ``[start, stop)`` of frame `f`; may be a view."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows ``[start, stop)`` of a source, as a source themselves.

    Parameters
    ----------
    source : Stack
    start, stop : int
    masks : array of bool, shape (n, stop - start, width), or None
        Masks to use in place of those that the frames have.
    """

    source: Stack
    start: int
    stop: int
    masks: Any = None

    @property
    def n(self) -> int:
        """The number of frames."""
        return self.source.n

    @property
    def rows(self) -> int:
        """The number of rows of each frame."""
        return self.stop - self.start

    @property
    def width(self) -> int:
        """The samples of a row."""
        return self.source.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in which samples are compared and sorted."""
        return self.source.dtype

    @property
    def row_bytes(self) -> Sequence[int]:
        """As of the source; `masks` are in memory already."""
        return self.source.row_bytes

    @property
    def temporary_bytes(self) -> int:
        """As of the source."""
        return self.source.temporary_bytes

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
        """Whether `read` returns a mask, for each frame."""
        return self.source.masked if self.masks is None else [True] * self.n

    @property
    def weighted(self) -> bool:
        """Whether `read` returns a weight with every sample."""
        return self.source.weighted

    @property
    def variance(self) -> bool:
        """Whether `read` returns the variance of every sample."""
        return self.source.variance

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Return rows ``[start, stop)`` of frame `f`, counted from the first of these rows."""
        samples = self.source.read(f, self.start + start, self.start + stop, into)
        if self.masks is None:
            return samples
        return replace(samples, mask=self.masks[f, start:stop])

    def variance_of(self, f: int) -> NDArray[np.float64]:
        """Return the variance of all these rows of frame `f`; see `Stack`."""
        return self.source.read_variance(f, self.start, self.stop)

    def flags_of(self, f: int) -> NDArray[Any]:
        """Return the bits of all these rows of frame `f`; see `Stack`."""
        return self.source.read_flags(f, self.start, self.stop)


@dataclass(frozen=True, slots=True, eq=False)
class ClippedBand:
    """A band after clipping: which samples survive and why the others are out.

    Parameters
    ----------
    band : Band
    reasons : array of uint8, shape (n, band.rows, width)
        Why each sample is out, a `gpustack.reasons.Reason`; 0 for survivors. The array is reused
        for the next band.
    rows : Rows
        These rows of every frame, for maps that need samples, variances or flags.
    out : Outputs
        What the backend computed for the band, for maps that need it: data and mask at least.
    """

    band: Band
    reasons: Any
    rows: Rows
    out: Outputs


class Derived(Protocol):
    """A map that is made from reasons, band by band.

    It uses operators and methods that numpy and cupy share, unless it needs variances or flags,
    which cupy frames never have.
    """

    @property
    def pixel_bytes(self) -> int:
        """Bytes that `add` takes per pixel of a band, in addition to the map itself."""

    @property
    def value(self) -> Any:
        """The map: an array of all rows, a `RejectionCube` or a `Sink`.

        All axes but the last are flattened to one.
        """

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
