"""Shift, rotation and scale of one frame to another, by matching their stars."""

from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gpustack.align.similarity import Similarity
from gpustack.align.star_image import Whole, seen
from gpustack.errors import FrameError

#: A star is so many sigmas of the noise above the sky, on so many pixels.
THRESHOLD, AREA = 5.0, 5
#: Standard deviation, in pixels, of the window that the places of stars are weighed by.
WINDOW = 2.0
#: Pixels to the edges of the image, within which a star is cut off, and its place pulled inwards.
EDGE = 4 * WINDOW
#: Brightest stars that triangles are made of. Where nothing matches, all triangles are tried, which
#: takes 10 s for 50 stars and 1 s for 35.
BRIGHTEST = 35
#: Stars that a match takes.
LEAST_STARS = 4
#: Pixels between two stars that are the same one, at the most.
TOLERANCE = 2.0
#: What it is narrowed to, in medians of the distances; 3 standard deviations of a place in x and
#: in y, taken together.
OUTLYING = 3.6
#: Pixels below which the tolerance is not narrowed.
NARROWEST = 0.1
#: Root mean square of the distances of matched stars, in pixels, at the most.
MOST_RMS = 0.5
#: How likely as many matches by chance may be. A search tries up to ten thousands of triangles.
CHANCE = 1e-8
#: Stars that a triangle matches in any case.
TRIANGLE = 3
#: The match settles within a few rounds; where it goes back and forth, it is as good as it gets.
ROUNDS = 50

#: x + iy of stars.
Places = NDArray[np.complex128]


@dataclass(frozen=True)
class Stars:
    """Measures where frames lie on a reference.

    Parameters
    ----------
    name : str
        Of the reference.
    image : MaskedArray of float, shape (y, x)
        Its samples; overwritten.

    Raises
    ------
    FrameError
        Where it has too few stars.

    References
    ----------
    M. Beroiz, J. B. Cabral, B. Sanchez, "Astroalign: A Python module for astronomical image
    registration", Astron. Comput. 32, 100384 (2020). E. Bertin, S. Arnouts, A&AS 117, 393 (1996),
    for the detection and the windowed places of stars, as `sep` has them.
    """

    name: str
    image: InitVar[Whole]
    _size: int = field(init=False, repr=False)
    _stars: Places = field(init=False, repr=False)

    #: What a frame that is not aligned has in the columns that tell how sure it is.
    unknown: ClassVar[dict[str, Any]] = {"stars": 0, "rms": np.nan}

    def __post_init__(self, image: Whole) -> None:
        object.__setattr__(self, "_size", image.size)
        object.__setattr__(self, "_stars", find_stars(self.name, image))

    @property
    def itself(self) -> dict[str, Any]:
        """What the reference has."""
        return {"stars": len(self._stars), "rms": 0.0}

    def measure(self, name: str, image: Whole) -> tuple[Similarity, dict[str, Any]]:
        """Where a frame lies, and how sure that is; `image` is overwritten.

        Raises
        ------
        FrameError
            Where its stars do not match those of the reference.
        """
        stars = find_stars(name, image)
        fit, pairs = _settle(_search(stars, self._stars), stars, self._stars)
        off = _off(fit, stars, self._stars, pairs)
        rms = float(np.sqrt(np.mean(off**2))) if len(off) else np.nan
        chance = self._chance(image.size, len(stars), len(pairs))
        if len(pairs) < LEAST_STARS or chance > CHANCE or not rms <= MOST_RMS:
            raise FrameError(
                name,
                f"align: expected stars that match those of {self.name}, got "
                f"{len(pairs)} matches among {len(stars)} and {len(self._stars)} stars"
                + (f", {rms:.2f} px off" if len(pairs) else ""),
            )
        return fit, {"stars": len(pairs), "rms": rms}

    def _chance(self, size: int, stars: int, found: int) -> float:
        """How likely one triangle that matches by chance brings as many matches as were found."""
        from scipy.stats import poisson

        area = np.pi * TOLERANCE**2 / min(self._size, size)
        expected = stars * len(self._stars) * area
        return float(poisson.sf(found - TRIANGLE - 1, expected))


def find_stars(name: str, image: Whole) -> Places:
    """The places of stars, x + iy counted from 0, the brightest first.

    Raises
    ------
    FrameError
        Where there are too few.
    """
    import sep

    view = seen(name, image)
    limit = sep.get_extract_pixstack()
    try:
        sep.set_extract_pixstack(max(limit, view.size // 2))
        found = sep.extract(view, THRESHOLD, minarea=AREA, filter_kernel=None)
    except Exception as err:  # sep raises nothing more specific
        raise FrameError(name, f"align: expected stars that can be told apart: {err}") from err
    finally:
        sep.set_extract_pixstack(limit)
    found = found[np.argsort(-found["flux"], kind="stable")]
    x, y, _ = sep.winpos(view, found["x"], found["y"], np.full(len(found), WINDOW))
    height, width = view.shape
    whole = (np.minimum(x, width - 1 - x) >= EDGE) & (np.minimum(y, height - 1 - y) >= EDGE)
    places: Places = (x + 1j * y)[whole]
    if len(places) < LEAST_STARS:
        raise FrameError(
            name,
            f"align: expected at least {LEAST_STARS} stars {THRESHOLD:g} sigma above the sky, "
            f"got {len(places)}",
        )
    return places


def _search(stars: Places, others: Places) -> Similarity | None:
    """A map of stars onto others by their triangles; None where there is none."""
    import astroalign

    lists = [np.column_stack((ends.real, ends.imag)) for ends in (stars, others)]
    try:
        found, _ = astroalign.find_transform(*lists, max_control_points=BRIGHTEST)
    except astroalign.MaxIterError:
        return None
    turn = complex(found.params[0, 0], found.params[1, 0])
    return Similarity(turn, complex(*found.params[:2, 2]))


def _settle(
    start: Similarity | None, stars: Places, others: Places
) -> tuple[Similarity, NDArray[np.intp]]:
    """The map by all stars that match, and their pairs, shape (n, 2).

    astroalign draws lots: what it finds is not the same twice. What follows from all stars is.
    """
    fit, pairs = Similarity(), np.empty((0, 2), np.intp)
    if start is None:
        return fit, pairs
    fit, tolerance = start, TOLERANCE
    for _ in range(ROUNDS):
        matched = _pair(fit, stars, others, tolerance)
        if len(matched) < 2:
            return fit, matched
        if np.array_equal(matched, pairs):
            narrower = max(OUTLYING * float(np.median(_off(fit, stars, others, pairs))), NARROWEST)
            if narrower >= tolerance:
                break
            tolerance = narrower
        pairs = matched
        fit = _fit(stars[pairs[:, 0]], others[pairs[:, 1]])
    return fit, pairs


def _pair(fit: Similarity, stars: Places, others: Places, tolerance: float) -> NDArray[np.intp]:
    """Stars and others that are each other's nearest, within a tolerance."""
    from scipy.spatial import KDTree

    x, y = fit.to_reference(stars.real, stars.imag)
    there, known = np.column_stack((x, y)), np.column_stack((others.real, others.imag))
    distance, nearest = KDTree(known).query(there)
    _, back = KDTree(there).query(known)
    mutual = (distance <= tolerance) & (back[nearest] == np.arange(len(there)))
    return np.column_stack((np.flatnonzero(mutual), nearest[mutual]))


def _fit(stars: Places, others: Places) -> Similarity:
    """The least-squares map of stars onto others, one by one."""
    centre, other = stars.mean(), others.mean()
    turn = np.vdot(stars - centre, others - other) / np.vdot(stars - centre, stars - centre)
    return Similarity(complex(turn), complex(other - turn * centre))


def _off(
    fit: Similarity, stars: Places, others: Places, pairs: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The distances of matched stars."""
    return np.abs(fit.turn * stars[pairs[:, 0]] + fit.shift - others[pairs[:, 1]])
