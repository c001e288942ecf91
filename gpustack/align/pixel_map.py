"""Where the pixels of a grid lie on a frame: transformed at nodes, interpolated between them.

Transforming each pixel by way of the sky takes ten times as long as everything else in resampling,
and the transformation is smooth. SWarp has interpolated it from its beginning, to a thousandth of a
pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Grid pixels between nodes.
STEP = 16
#: Largest error, in frame pixels, of interpolation from nodes twice as far apart. Cells that pass
#: are then off by a quarter of this. The pixels of other cells are transformed one by one.
TOLERANCE = 4e-4

#: A frame is torn within a grid pixel where one half of the pixel's diagonal is more than this many
#: times as long as the other half.
TORN_DIAGONAL = 4.0

#: A frame lies on the grid, moved by whole pixels, if it is off by no more than this many pixels.
SAME = 1e-6

#: From x, y of the pixels of one image to those of another, such as of the grid and the frame; NaN
#: where a pixel has no place there.
Transform = Callable[[Any, Any], tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class PixelMap:
    """Where the pixels of a window of a grid lie on a frame.

    Parameters
    ----------
    transform : callable
        From the grid to the frame; exact, but slow.
    left, top : int
        x, y of the grid pixel of the first node. They are multiples of twice `STEP`, so that the
        place of a pixel does not depend on the window.
    nodes : ndarray, shape (2, ny, nx)
        x and y of the nodes on the frame.
    rough : ndarray of bool, shape (ny - 1, nx - 1)
        The cells between nodes in which interpolation is not accurate enough.
    """

    transform: Transform
    left: int
    top: int
    nodes: NDArray[np.float64]
    rough: NDArray[np.bool_]

    @classmethod
    def of(
        cls, transform: Transform, rows: slice, columns: slice, rough: bool = False
    ) -> "PixelMap":
        """The map of a window of the grid and one pixel around it.

        With `rough`, all pixels are transformed and none are interpolated.
        """
        top, ys = _steps(rows)
        left, xs = _steps(columns)
        with np.errstate(all="ignore"):
            nodes = np.array(transform(*np.meshgrid(xs, ys)))
        return cls(transform, left, top, nodes, _rough(nodes) | rough)

    @property
    def nbytes(self) -> int:
        """Bytes of `nodes` and `rough`."""
        return self.nodes.nbytes + self.rough.nbytes

    def places_of_window(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Where the pixels of a window lie on the frame: y, x, shape (2, rows, columns).

        NaN where a pixel has no place on the frame.
        """
        return self._places(
            np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
        )

    def places_of_pixels(self, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where pixels x, y of the grid lie on the frame; NaN where they have no place on it.

        Parameters
        ----------
        x, y : ndarray of float, of one shape
            The pixels of a rectangle, row by row.
        """
        found = self._places(*_sides(x, y))
        return found[1].reshape(np.shape(x)), found[0].reshape(np.shape(y))

    def _places(self, xs: NDArray[Any], ys: NDArray[Any]) -> NDArray[np.float64]:
        """y, x on the frame of the pixels of a rectangle, shape (2, ys, xs)."""
        found = np.empty((2, len(ys), len(xs)))
        for plane, place in zip(self.nodes, found[::-1], strict=True):
            self._between(plane, xs, ys, place)
        if self.rough.any():
            row, _ = _split(ys, self.top, self.nodes.shape[1])
            column, _ = _split(xs, self.left, self.nodes.shape[2])
            up, right = np.nonzero(self.rough[np.ix_(row, column)])
            if len(up):
                found[1, up, right], found[0, up, right] = self.transform(
                    xs[right].astype(float), ys[up].astype(float)
                )
        return found

    def _between(
        self, plane: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any], out: NDArray[Any]
    ) -> None:
        """Interpolate values at nodes to the pixels of a rectangle.

        It goes along rows of nodes first, then between these rows, which takes a fifth of the time
        of interpolating pixel by pixel.
        """
        column, right = _split(xs, self.left, plane.shape[1])
        row, up = _split(ys, self.top, plane.shape[0])
        first = row[0]
        near = plane[first : row[-1] + 2]
        across = near.take(column, axis=1) * (1 - right) + near.take(column + 1, axis=1) * right
        ends = np.append(np.flatnonzero(np.diff(row)) + 1, len(row))
        start, above = 0, np.empty((int(np.diff(ends, prepend=0).max()), len(xs)))
        for end in ends:
            here, part = row[start] - first, above[: end - start]
            np.multiply(across[here], (1 - up[start:end, np.newaxis]), out=out[start:end])
            np.multiply(across[here + 1], up[start:end, np.newaxis], out=part)
            out[start:end] += part
            start = end

    @cached_property
    def scale(self) -> float:
        """Frame pixels across a pixel of the grid, at most."""
        return float(self.rates.sum(axis=0).max())

    @cached_property
    def rates(self) -> NDArray[np.float64]:
        """The largest change of y, x on the frame per grid pixel along y and along x, shape (2, 2).

        Only cells that are not rough count. If all are rough, it is the median instead, over nodes
        that have a place.
        """
        steps = [np.abs(np.diff(self.nodes, axis=axis)) for axis in (1, 2)]
        if self.rough.all():
            known = [step[:, np.isfinite(step).all(axis=0)] for step in steps]
            rates = [np.median(step, axis=1) if step.size else np.full(2, STEP) for step in known]
        else:
            cells = ~self.rough
            inner = steps[0][:, :, :-1], steps[1][:, :-1]
            rates = [step[:, cells].max(axis=1) for step in inner]
        return np.array(rates)[:, ::-1].T / STEP

    @property
    def offset(self) -> tuple[int, int] | None:
        """(y, x) of the frame's first pixel on the grid, if whole pixels move it there; or None."""
        if self.rough.any():
            return None
        xs, ys = (
            start + STEP * np.arange(n)
            for start, n in zip((self.left, self.top), self.nodes.shape[:0:-1], strict=True)
        )
        shifts = np.array([xs - self.nodes[0], ys[:, None] - self.nodes[1]])
        whole = np.rint(shifts[:, :1, :1])
        if not (np.abs(shifts - whole) <= SAME).all():
            return None
        right, up = (int(shift) for shift in whole.ravel())
        return up, right

    def is_rough(self, rows: slice, columns: slice) -> bool:
        """Whether a window has rough cells: it bends too much, is torn, or has no place there."""
        up, across = self._part(rows, columns)
        return bool(self.rough[up.start : up.stop - 1, across.start : across.stop - 1].any())

    def extent(self, rows: slice, columns: slice) -> list[tuple[float, float]]:
        """The lowest and highest y of a window on the frame, then x.

        NaN where nothing of the window has a place on the frame.
        """
        part = self.nodes[(slice(None), *self._part(rows, columns))][::-1]
        if self.is_rough(rows, columns):
            part = self.places_of_window(rows, columns)
        part = part[:, np.isfinite(part).all(axis=0)]
        if part.size == 0:
            return [(np.nan, np.nan)] * 2
        return [(float(axis.min()), float(axis.max())) for axis in part]

    def area(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """How many frame pixels each pixel of a window covers.

        For a pixel that reaches across a tear, the half on the side of its centre is doubled.
        """
        x_up, y_up = np.gradient(self.nodes, STEP, axis=1, edge_order=2)
        x_across, y_across = np.gradient(self.nodes, STEP, axis=2, edge_order=2)
        at_nodes = np.abs(x_across * y_up - x_up * y_across)
        xs, ys = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
        area = np.empty((len(ys), len(xs)))
        self._between(at_nodes, xs, ys, area)
        row, _ = _split(ys, self.top, self.nodes.shape[1])
        column, _ = _split(xs, self.left, self.nodes.shape[2])
        inexact = self._needs_exact_area[np.ix_(row, column)]
        if inexact.any():
            part = tuple(slice(int(at.min()), int(at.max()) + 1) for at in np.nonzero(inexact))
            exact = self._exact_area(
                *(
                    slice(span.start + inner.start, span.start + inner.stop)
                    for span, inner in zip((rows, columns), part, strict=True)
                )
            )
            np.copyto(area[part], exact, where=inexact[part])
        return area

    @cached_property
    def _needs_exact_area(self) -> NDArray[np.bool_]:
        """Cells whose areas cannot be interpolated, because slopes at nodes use adjacent cells."""
        inexact = self.rough.copy()
        inexact[1:] |= self.rough[:-1]
        inexact[:-1] |= self.rough[1:]
        inexact[:, 1:] |= self.rough[:, :-1]
        inexact[:, :-1] |= self.rough[:, 1:]
        return inexact

    def _exact_area(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Areas from the transformed corners of pixels: half of the cross product of diagonals."""
        x, y = self.transform(
            *np.meshgrid(
                np.arange(columns.start, columns.stop + 1) - 0.5,
                np.arange(rows.start, rows.stop + 1) - 0.5,
            )
        )
        corners = x + 1j * y
        x, y = self.transform(
            *np.meshgrid(
                np.arange(columns.start, columns.stop, dtype=float),
                np.arange(rows.start, rows.stop, dtype=float),
            )
        )
        middle = x + 1j * y
        rising = _diagonal(corners[:-1, :-1], middle, corners[1:, 1:])
        falling = _diagonal(corners[:-1, 1:], middle, corners[1:, :-1])
        return np.abs((rising.conj() * falling).imag) / 2

    def _part(self, rows: slice, columns: slice) -> tuple[slice, slice]:
        """The nodes around a window."""
        return (
            slice((rows.start - self.top) // STEP, (rows.stop - 1 - self.top) // STEP + 2),
            slice((columns.start - self.left) // STEP, (columns.stop - 1 - self.left) // STEP + 2),
        )


def middle_area(transform: Transform, rows: slice, columns: slice) -> float:
    """How many frame pixels the pixel in the middle of a window of the grid covers.

    NaN where this pixel has no place on the frame. Only the nodes around it are transformed: all
    nodes of the window would take a thousand times as long.
    """
    middles = [(span.start + span.stop - 1) // 2 for span in (rows, columns)]
    row, column = (slice(middle, middle + 1) for middle in middles)
    return float(PixelMap.of(transform, row, column).area(row, column)[0, 0])


def _split(
    places: NDArray[Any], first: int, nodes: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The node before each place along an axis, and the fraction of the way to the next node."""
    steps = (places - first) / STEP
    before = np.clip(np.floor(steps).astype(np.intp), 0, nodes - 2)
    return before, steps - before


def _diagonal(
    start: NDArray[np.complex128], middle: NDArray[np.complex128], stop: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    """From one corner of pixels to the other; twice the shorter half where the frame is torn.

    A half whose end has no place is ignored.
    """
    halves = np.stack([middle - start, stop - middle])
    length = np.abs(halves)
    torn = ~(length.max(axis=0) <= TORN_DIAGONAL * length.min(axis=0))
    length[np.isnan(length)] = np.inf
    shorter = np.where(length[0] <= length[1], halves[0], halves[1])
    return np.where(torn, 2 * shorter, stop - start)


def _sides(x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The x of the columns and the y of the rows of a rectangle that is given row by row."""
    flat_x, flat_y = np.ravel(x), np.ravel(y)
    width = int(np.argmax(flat_y != flat_y[0])) or flat_y.size
    columns, rows = flat_x.reshape(-1, width), flat_y.reshape(-1, width)
    assert (columns == columns[0]).all()
    assert (rows == rows[:, :1]).all()
    return columns[0], rows[:, 0]


def _steps(span: slice) -> tuple[int, NDArray[np.float64]]:
    """The first node and all nodes that enclose a span of pixels and one more on both sides."""
    first = (span.start - 1) // (2 * STEP) * (2 * STEP)
    last = -(-(span.stop + 1) // (2 * STEP)) * (2 * STEP)
    return first, np.arange(first, last + 1, STEP, dtype=float)


def _rough(nodes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cells in 2 x 2 blocks whose nodes are not well interpolated from the corners of the block."""
    coarse = nodes[:, ::2, ::2]
    guess = np.empty_like(nodes)
    guess[:, ::2, ::2] = coarse
    guess[:, ::2, 1::2] = (coarse[:, :, 1:] + coarse[:, :, :-1]) / 2
    guess[:, 1::2] = (guess[:, 2::2] + guess[:, :-1:2]) / 2
    bad = ~(np.abs(guess - nodes).max(axis=0) <= TOLERANCE)  # NaN is bad
    ny, nx = bad.shape
    blocks = np.zeros((ny // 2, nx // 2), bool)
    for down in range(3):
        for right in range(3):
            blocks |= bad[down : ny - 2 + down : 2, right : nx - 2 + right : 2]
    return blocks.repeat(2, axis=0).repeat(2, axis=1)
