"""The recipes of `bench.gpu` as one would write them with plain CuPy, on a cube (n, pixels)."""

from collections.abc import Callable
from typing import Any

from gpustack.backends.cuda import device

MAD_TO_STD = 1.4826


def _cupy(name: str) -> Callable[[Any], Any]:
    return lambda cube: getattr(device.cupy(), name)(cube, axis=0)


def clip_loop(cube: Any) -> Any:
    """The mean of the samples within 3 deviations (by the MAD) of the median, to convergence."""
    cupy = device.cupy()
    values = cube
    while True:
        off = abs(values - cupy.nanmedian(values, axis=0))
        out = off > 3 * MAD_TO_STD * cupy.nanmedian(off, axis=0)
        if not bool(out.any().get()):
            return cupy.nanmean(values, axis=0)
        values = cupy.where(out, cupy.float32("nan"), values)


def without_extremes(cube: Any) -> Any:
    """The mean without the lowest and the highest sample."""
    total = cube.sum(axis=0) - cube.min(axis=0) - cube.max(axis=0)
    return total / (len(cube) - 2)


#: Recipe of `bench.gpu` -> {name: how plain CuPy does it}.
PEERS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "median": {"cupy.median": _cupy("median"), "cupy.nanmedian": _cupy("nanmedian")},
    "sigma-mean": {"cupy in a loop": clip_loop},
    "extrema-mean": {"cupy sum - min - max": without_extremes},
    "mean": {"cupy.mean": _cupy("mean")},
}
