"""Simulate star fields and measure images of them, with no code shared with gpustack.

Places are complex numbers, x + iy, with 0 at the centre of the first pixel.
"""

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.special import erf

#: Standard deviation of a star, in pixels of the reference.
SIGMA = 1.9


def field(shape=(260, 280), apart=25, around=110, seed=1):
    """The places and fluxes of isolated stars, in an image and up to `around` pixels outside."""
    rng = np.random.default_rng(seed)
    places = np.empty(0, complex)
    for _ in range(4000):
        y, x = (rng.uniform(-around, length + around) for length in shape)
        if not (np.abs(places - (x + 1j * y)) < apart).any():
            places = np.append(places, x + 1j * y)
    return places, rng.uniform(3e4, 3e5, places.size)


def expose(places, fluxes, shape, *, sigma=SIGMA, sky=500.0, noise=2.0, seed=0):
    """An image of Gaussian stars, integrated exactly over each pixel, with sky and noise."""
    image = np.random.default_rng(seed).normal(sky, noise, shape)
    for place, flux in zip(places, fluxes, strict=True):
        y, x = (
            np.diff(erf((np.arange(length + 1) - 0.5 - at) / (sigma * 2**0.5))) / 2
            for length, at in zip(shape, (place.imag, place.real), strict=True)
        )
        rows, columns = _lit(y), _lit(x)
        image[rows, columns] += flux * np.outer(y[rows], x[columns])
    return image


def _lit(shares):
    """The slice of pixels on which light falls; adding exact zeros elsewhere would take long."""
    there = np.flatnonzero(shares)
    return slice(there[0], there[-1] + 1) if there.size else slice(0)


def taken(stars, shape, *, turn=1, shift=0, seed=0, **options):
    """A frame whose position z is ``turn * z + shift`` on the reference.

    In units of the reference's pixels, sky and stars are as bright and wide as on the reference.
    """
    places, fluxes = stars
    scale = abs(turn)
    options = {"sky": 500 * scale**2, "sigma": SIGMA / scale} | options
    return expose((places - shift) / turn, fluxes, shape, seed=seed, **options)


def centroids(image, places, width=SIGMA, rounds=20):
    """Centroids of stars, by moments in a Gaussian window that is recentred iteratively."""
    found = np.array(places, dtype=complex)
    y, x = np.indices(image.shape)
    for index, start in enumerate(places):
        at = start
        rows, columns = (slice(max(int(a) - 7, 0), int(a) + 9) for a in (at.imag, at.real))
        cut, z = image[rows, columns], x[rows, columns] + 1j * y[rows, columns]
        cut = cut - np.median(image[max(rows.start - 8, 0) : rows.stop + 8, columns])
        for _ in range(rounds):
            weights = cut * np.exp(-(np.abs(z - at) ** 2) / (2 * width**2))
            at = at + 2 * (np.sum(weights * (z - at)) / np.sum(weights))
        found[index] = at
    return found


def fluxes_at(image, places, radius=9):
    """Aperture fluxes, less the median sky of a ring around each aperture."""
    y, x = np.indices(image.shape)
    found, reach = [], radius + 5
    for at in places:
        around = tuple(
            slice(max(int(a) - reach, 0), int(a) + reach + 1) for a in (at.imag, at.real)
        )
        distance, cut = np.abs(x[around] + 1j * y[around] - at), image[around]
        sky = np.median(cut[(distance > radius + 1) & (distance < radius + 4)])
        # A pixel crossed by the edge counts in part, so that results do not depend on subpixels.
        share = np.clip(radius + 0.5 - distance, 0, 1)
        found.append(np.sum(share * (cut - sky)))
    return np.array(found)


def inside(places, shape, margin):
    """Which places are at least `margin` pixels inside the image."""
    x, y = places.real, places.imag
    return (x > margin) & (x < shape[1] - margin) & (y > margin) & (y < shape[0] - margin)


def peaks(image, apart=9, margin=12, above=8.0, smooth=1.5):
    """The places of local maxima above the noise, the brightest first."""
    smoothed = gaussian_filter(image - np.median(image), smooth)
    noise = 1.4826 * np.median(np.abs(smoothed - np.median(smoothed)))
    top = maximum_filter(smoothed, 2 * apart + 1)
    y, x = np.nonzero((smoothed == top) & (smoothed > above * noise))
    order = np.argsort(-smoothed[y, x])
    places = (x + 1j * y)[order]
    return places[inside(places, image.shape, margin)]


def least_error(image, noise):
    """The Cramer-Rao bound on a shift (y, x) measured on one image of a known scene.

    `image` is without noise; `noise` is the standard deviation of each pixel.
    """
    return np.array([noise / np.sqrt(np.sum(slope**2)) for slope in np.gradient(image)])


def displacements(image, other, places, reach=12):
    """The displacement of each star of `image` from its place on `other`, by a matched filter.

    The filter is the derivative of the mean star, which measures a shift best. The mean star is
    made circularly symmetric. The flux is measured on `other`, so that noise of `image` enters
    linearly.

    Returns
    -------
    apart, error : ndarray, shape (stars, 2)
        In pixels, y and x. Errors include the noise of both images, and are measured with the same
        filter at places between the stars.
    """
    image, other = (without_sky(each) for each in (image, other))
    at = [(round(place.imag), round(place.real)) for place in places]
    star = _mean_star(other, at, reach)
    slopes, difference = np.gradient(star), image - other

    def told(where):
        cuts = np.array([_around(difference, y, x, reach) for y, x in where])
        return np.array([-np.sum(cuts * g, (1, 2)) / np.sum(g**2) for g in slopes]).T

    flux = [np.sum(_around(other, y, x, reach) * star) / np.sum(star**2) for y, x in at]
    flux = np.array(flux)[:, np.newaxis]
    noise = 1.4826 * np.median(np.abs(told(_between(at, image.shape, reach))), axis=0)
    return told(at) / flux, noise / flux


def without_sky(image, box=20, most=100):
    """The image less its median and any structure wider than stars.

    Pixels are clipped to ``+-most`` before smoothing, so that bright stars do not count as sky.
    """
    image = image - np.median(image)
    return image - gaussian_filter(np.clip(image, -most, most), box)


def _around(image, y, x, reach):
    return image[y - reach : y + reach + 1, x - reach : x + reach + 1]


def _mean_star(image, at, reach):
    """The mean star, averaged over rings around its centre and normalised to a sum of 1."""
    mean = np.mean([_around(image, y, x, reach) for y, x in at], axis=0)
    far = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    rings = np.array([mean[np.abs(far - radius) < 0.5].mean() for radius in range(reach + 1)])
    star = gaussian_filter(np.interp(far, np.arange(reach + 1), rings - rings[-1], right=0), 1)
    return star / star.sum()


def _between(at, shape, reach, wanted=500):
    """Random places that are far from all stars."""
    rng = np.random.default_rng(0)
    y, x = (rng.integers(3 * reach, length - 3 * reach, 40 * wanted) for length in shape)
    near = np.min([np.hypot(y - one, x - other) for one, other in at], axis=0)
    free = np.flatnonzero(near > 3 * reach)[:wanted]
    return list(zip(y[free], x[free], strict=True))
