"""Combine files into a file as one would with ccdproc, or with astropy and bottleneck.

Run as ``python -m bench.scripts LIBRARY ORDER``. The order is a JSON object with ``paths``,
``out``, ``words`` (see `bench.methods`) and ``limit``, in bytes or null. Only what the work needs
is imported.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray


def by_ccdproc(paths: list[str], out: str, words: dict[str, Any], limit: int | None) -> None:
    """Use `ccdproc.combine`, with its own default limit on memory if none is given."""
    import ccdproc

    more = {} if limit is None else {"mem_limit": limit}
    ccdproc.combine(paths, out, overwrite_output=True, **words, **more)


def by_bottleneck(paths: list[str], out: str, words: str, limit: int | None) -> None:
    """Read all frames into one cube of float32, whatever the limit, and combine that."""
    from astropy.io import fits

    from bench.in_python import read_cube

    fits.writeto(out, IMAGES[words](read_cube(paths)), overwrite=True)


def _median(cube: NDArray[Any]) -> NDArray[Any]:
    from bench.rows import loop_median

    return loop_median(cube)


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
    """Run the order given on the command line."""
    LIBRARIES[sys.argv[1]](**json.loads(sys.argv[2]))


if __name__ == "__main__":
    main()
