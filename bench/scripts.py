"""What one would write with ccdproc, or with astropy and bottleneck, to combine files into a file.

``python -m bench.scripts LIBRARY ORDER``, where the order is a JSON object: ``paths``, ``out``,
``words`` and ``limit``, in bytes or null. Nothing is imported that the work does not need.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def by_ccdproc(paths: list[str], out: str, words: dict[str, Any], limit: int | None) -> None:
    """By the function that takes files, with its own limit on memory where there is none."""
    import ccdproc

    more = {} if limit is None else {"mem_limit": limit}
    ccdproc.combine(paths, out, overwrite_output=True, **words, **more)


def by_bottleneck(paths: list[str], out: str, words: str, limit: int | None) -> None:
    """All frames into one cube of float32, which no limit can be set to."""
    from astropy.io import fits

    first = fits.getdata(paths[0])
    cube = np.empty((len(paths), *first.shape), np.float32)
    for path, frame in zip(paths, cube, strict=True):
        frame[...] = fits.getdata(path)
    fits.writeto(out, IMAGES[words](cube), overwrite=True)


def _median(cube: NDArray[Any]) -> NDArray[Any]:
    import bottleneck

    image: NDArray[Any] = bottleneck.median(cube, axis=0)
    return image


def _mean(cube: NDArray[Any]) -> NDArray[Any]:
    image: NDArray[Any] = cube.mean(axis=0)
    return image


def _sigma(cube: NDArray[Any]) -> NDArray[Any]:
    from bench.in_python import loop_clipped_mean, outside_sigma

    return loop_clipped_mean(cube, outside_sigma("median", "std"))


def _extrema(cube: NDArray[Any]) -> NDArray[Any]:
    from bench.in_python import trimmed_mean

    return trimmed_mean(cube)


IMAGES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "median": _median,
    "mean": _mean,
    "sigma": _sigma,
    "extrema": _extrema,
}
LIBRARIES = {"ccdproc": by_ccdproc, "bottleneck": by_bottleneck}


def main() -> None:
    """Run the order of the command line."""
    LIBRARIES[sys.argv[1]](**json.loads(sys.argv[2]))


if __name__ == "__main__":
    main()
