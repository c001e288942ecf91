"""Exposures in files, and runs that write a report, for tests of reports and replays."""

from dataclasses import replace

import numpy as np
from astropy.io import fits

from gpustack import stack
from gpustack.maps.extensions import EXTENSIONS
from gpustack.provenance import dumps
from gpustack.recipe import OUTPUTS
from gpustack.writing import write_text
from stacks import sky

N, SHAPE = 6, (9, 7)


def save(folder, n=N, shape=SHAPE):
    """Write exposures with masks, uncertainties and different EXPTIME; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for f, data in enumerate(sky(n, shape).astype("f4")):
        bits = np.zeros(shape, np.int16)
        bits[f % shape[0], 2] = 4
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 2.5 + f / 200})
        hdus = [fits.PrimaryHDU(data, header), fits.ImageHDU(bits, name="DQ")]
        hdus.append(fits.ImageHDU(np.full(shape, 8.0 + f, "f4"), name="UNCERT"))
        fits.HDUList(hdus).writeto(folder / f"m{f}.fits", overwrite=True)
    return [str(folder / f"m{f}.fits") for f in range(n)]


def kept(folder, frames, *arguments, maps=(), name="out.fits", **words):
    """Stack the frames, write the result and its report, and return the result."""
    result = stack(frames, *arguments, report=True, **{"backend": "cpu", **words})
    result.write(folder / name, maps=maps)
    write_text(folder / "run.json", dumps(result.report))
    return result


def with_maps(recipe):
    """The recipe with all outputs but sigma and weight, and the extensions to write."""
    able = [name for name in EXTENSIONS if name not in ("frames", "sigma", "weight")]
    wanted = replace(recipe, outputs=(*OUTPUTS, *able))
    return wanted, (*able, "frames")
