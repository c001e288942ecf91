"""Measure shift, rotation and scale of one frame to another, by matching their stars."""

from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gpustack.align.similarity import Similarity
from gpustack.align.star_image import FrameImage, view_of
from gpustack.errors import FrameError

#: A star stands this many sigmas of the noise above the sky, on at least this many pixels.
THRESHOLD, AREA = 5.0, 5
#: Standard deviation, in pixels, of the Gaussian by which pixels are weighted to place a star.
WINDOW = 2.0
#: Stars closer to an edge of the image than this, in pixels, are not used: they are cut off, and
#: their places pulled inwards.
EDGE = 4 * WINDOW
#: Number of brightest stars that triangles are made of. Where nothing matches, all triangles are
#: tried, which takes 10 s for 50 stars and 1 s for 35.
BRIGHTEST = 35
#: Smallest number of stars, and of matches, that an alignment needs.
LEAST_STARS = 4
#: Largest distance, in pixels, between two stars that are the same one.
TOLERANCE = 2.0
#: The tolerance is narrowed to this many medians of the distances of matched stars. These are 3
#: standard deviations of a place in x and in y, taken together.
OUTLYING = 3.6
#: The tolerance is not narrowed below this, in pixels.
NARROWEST = 0.1
#: Largest root mean square of the distances of matched stars, in pixels.
MOST_RMS = 0.5
#: Largest probability of as many matches by chance. A search tries up to tens of thousands of
#: triangles.
CHANCE = 1e-8
#: Number of stars that match in any case, because a match begins with a triangle.
TRIANGLE = 3
#: Largest number of rounds. A match settles within a few; one that goes back and forth does not
#: become better.
ROUNDS = 50

#: Places x + iy of stars.
Places = NDArray[np.complex128]


@dataclass(frozen=True)
class Stars:
    """Measures where frames lie on a reference, by matching stars.

    Parameters
    ----------
    name : str
        Name of the reference, for errors.
    image : MaskedArray of float, shape (y, x)
        The samples of the reference; overwritten.

    Raises
    ------
    FrameError
        Where the reference has too few stars.

    References
    ----------
    M. Beroiz, J. B. Cabral, B. Sanchez, "Astroalign: A Python module for astronomical image
    registration", Astron. Comput. 32, 100384 (2020). E. Bertin, S. Arnouts, A&AS 117, 393 (1996),
    for the detection and the windowed places of stars, as implemented by `sep`.
    """

    name: str
    image: InitVar[FrameImage]
    _size: int = field(init=False, repr=False)
    _stars: Places = field(init=False, repr=False)

    #: Values of a frame that is not aligned in the columns that say how certain the match is.
    missing_columns: ClassVar[dict[str, Any]] = {"stars": 0, "rms": np.nan}

    def __post_init__(self, image: FrameImage) -> None:
        object.__setattr__(self, "_size", image.size)
        object.__setattr__(self, "_stars", find_stars(self.name, image))

    @property
    def reference_columns(self) -> dict[str, Any]:
        """Values of the reference in these columns."""
        return {"stars": len(self._stars), "rms": 0.0}

    def measure(self, name: str, image: FrameImage) -> tuple[Similarity, dict[str, Any]]:
        """Measure where a frame lies, and how certain that is; `image` is overwritten.

        Raises
        ------
        FrameError
            Where the frame's stars do not match those of the reference.
        """
        stars = find_stars(name, image)
        fit, pairs = _settle(_search(stars, self._stars), stars, self._stars)
        off = _off(fit, stars, self._stars, pairs)
        rms = float(np.sqrt(np.mean(off**2))) if len(off) else np.nan
        chance = self._chance(image.size, len(stars), len(pairs))
        if len(pairs) < LEAST_STARS or chance > CHANCE or not rms <= MOST_RMS:
            distance = f", {rms:.2f} px off" if len(pairs) else ""
            by_chance = (
                f"; so many match by chance with a probability of {chance:.0e}, and at most "
                f"{CHANCE:g} is accepted"
                if len(pairs) >= LEAST_STARS and chance > CHANCE
                else ""
            )
            raise FrameError(
                name,
                f"align: expected stars that match those of {self.name}, got {len(pairs)} matches "
                f"among {len(stars)} and {len(self._stars)} stars{distance}{by_chance}",
            )
        return fit, {"stars": len(pairs), "rms": rms}

    def _chance(self, size: int, stars: int, found: int) -> float:
        """The probability that a triangle that matches by chance has this many matches or more."""
        from scipy.stats import poisson

        area = np.pi * TOLERANCE**2 / min(self._size, size)
        expected = stars * len(self._stars) * area
        return float(poisson.sf(found - TRIANGLE - 1, expected))


def find_stars(name: str, image: FrameImage) -> Places:
    """Find the places of the stars of an image, x + iy counted from 0, the brightest first.

    Raises
    ------
    FrameError
        Where there are too few stars, or `sep` cannot separate them.
    """
    import sep

    view = view_of(name, image)
    limit = sep.get_extract_pixstack()
    try:
        sep.set_extract_pixstack(max(limit, view.size // 2))
        found = sep.extract(view, THRESHOLD, minarea=AREA, filter_kernel=None)
    except Exception as err:  # sep raises nothing more specific
        raise FrameError(
            name, f"align: expected stars that can be separated, got an error of sep: {err}"
        ) from err
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
    """A map of stars onto others, found by their triangles; None where none match."""
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
    """Fit the map to all stars that match; return it and the pairs, shape (n, 2).

    astroalign draws random samples, so that it does not find the same map twice. The map that is
    fitted to all matching stars is the same each time.
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
    """Pairs of stars and others that are each other's nearest, within a tolerance."""
    from scipy.spatial import KDTree

    x, y = fit.to_reference(stars.real, stars.imag)
    there, known = np.column_stack((x, y)), np.column_stack((others.real, others.imag))
    distance, nearest = KDTree(known).query(there)
    _, back = KDTree(there).query(known)
    mutual = (distance <= tolerance) & (back[nearest] == np.arange(len(there)))
    return np.column_stack((np.flatnonzero(mutual), nearest[mutual]))


def _fit(stars: Places, others: Places) -> Similarity:
    """The least-squares map of stars onto others, paired one by one."""
    centre, other = stars.mean(), others.mean()
    turn = np.vdot(stars - centre, others - other) / np.vdot(stars - centre, stars - centre)
    return Similarity(complex(turn), complex(other - turn * centre))


def _off(
    fit: Similarity, stars: Places, others: Places, pairs: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The distances of matched stars, one for each pair."""
    return np.abs(fit.turn * stars[pairs[:, 0]] + fit.shift - others[pairs[:, 1]])
