"""Simulated images with known sky coordinates, for tests of alignment by WCS."""

import numpy as np
from astropy.nddata import CCDData
from astropy.wcs import WCS, Sip

#: Standard deviation of a star, in pixels of `SCALE` degrees.
SIGMA = 2.0
SCALE = 1e-4


def tangent(crval=(10.0, 20.0), degrees=0.0, scale=SCALE, crpix=(60.0, 50.0), kind="RA---TAN"):
    """A WCS rotated by `degrees`, with square pixels of `scale` degrees."""
    wcs = WCS(naxis=2)
    lon, projection = kind[:4].rstrip("-"), kind[-3:]
    lat = {"RA": "DEC-", "GLON": "GLAT"}[lon]
    wcs.wcs.ctype = [f"{lon:-<4}-{projection}", f"{lat}-{projection}"]
    wcs.wcs.crval, wcs.wcs.crpix = crval, crpix
    wcs.wcs.cdelt = [-scale, scale]
    turn = np.deg2rad(degrees)
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    wcs.wcs.set()
    return wcs


def distorted(size=100, amount=2.0, **places):
    """A WCS as of `tangent`, with SIP terms that move the corners by about `amount` pixels."""
    wcs = tangent(**places)
    wcs.wcs.ctype = [f"{kind}-SIP" for kind in wcs.wcs.ctype]
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[0, 3] = amount / size**2, -amount / size**3
    b[1, 1], b[3, 0] = -amount / size**2, amount / size**3
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


def stars(wcs, shape, at, flux, sigma=SIGMA * SCALE, sky=0.0):
    """An image of round stars at known places on the sky.

    Parameters
    ----------
    at : ndarray, shape (stars, 2)
        Longitude and latitude in degrees, in the frame of the WCS.
    flux : float
        Total counts of each star.
    sigma : float
        Standard deviation of the star profile, in degrees.
    sky : float
        Background counts of each pixel.
    """
    x, y = wcs.all_world2pix(at, 0).T
    scale = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))
    image = np.full(shape, float(sky))
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    wide = sigma / scale
    for cx, cy in zip(x, y, strict=True):
        square = (rows - cy) ** 2 + (columns - cx) ** 2
        image += flux / (2 * np.pi * wide**2) * np.exp(-square / (2 * wide**2))
    return image


def noisy(wcs, shape=(100, 120), seed=0, dtype=np.float32, level=100.0, masked=0.0):
    """A frame of normal noise about `level`; `masked` is the fraction of masked pixels."""
    rng = np.random.default_rng(seed)
    data = rng.normal(level, 10, shape).astype(dtype)
    mask = rng.random(shape) < masked if masked else None
    return CCDData(data, unit="adu", wcs=wcs, mask=mask)
