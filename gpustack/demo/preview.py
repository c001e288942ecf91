"""The picture of the demo: one frame, the plain mean, the clipped stack, the rejections.

matplotlib is imported where it is used: only the extra ``demo`` brings it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.stats import mad_std
from numpy.typing import NDArray

from gpustack.errors import InputError, WriteError

CUTOUT = 320  # pixels on a side: each is then drawn as two, and single hits can be seen
MOST_COUNTS = 4  # so many or more rejections share the brightest colour
PAPER, INK, FAINT_INK = "#0d0f14", "#f0eee8", "#9aa0aa"


@dataclass(frozen=True, slots=True)
class Panel:
    """One image of the picture.

    Parameters
    ----------
    title, note : str
        Written above it, left and right.
    image : ndarray, shape (y, x)
        NaN is drawn as empty.
    """

    title: str
    note: str
    image: NDArray[Any]


def require_matplotlib() -> Any:
    """The figure class of matplotlib.

    Raises
    ------
    InputError
        Where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise InputError(
            "the demo draws with matplotlib, which is not installed here: "
            "pip install 'gpustack[demo]'"
        ) from err
    return Figure


def draw(path: Path, images: Sequence[Panel], rejected: Panel) -> None:
    """Draw the middle of three images and of a map of counts, side by side, as PNG.

    Parameters
    ----------
    path : Path
        Overwritten.
    images : sequence of three Panel
        One frame and two stacks, in one unit. All share one stretch, measured on the
        frame: else the noise would look the same in all of them.
    rejected : Panel
        Samples rejected at each pixel.

    Raises
    ------
    InputError
        Where matplotlib is not installed.
    WriteError
        Where the file cannot be written.
    """
    figure = require_matplotlib()(figsize=(18.0, 4.85), facecolor=PAPER)
    axes = figure.subplots(1, 4)
    figure.subplots_adjust(left=0.008, right=0.966, bottom=0.02, top=0.91, wspace=0.025)
    stretch = _stretch(images[0].image)
    for axis, panel in zip(axes, images, strict=False):
        axis.imshow(_middle(panel.image), cmap="gray", norm=stretch, origin="lower")
        _label(axis, panel)
    _draw_counts(figure, axes[3], _middle(rejected.image))
    _label(axes[3], rejected)
    try:
        figure.savefig(path, dpi=150)
    except OSError as err:
        raise WriteError(f"{path}: the preview could not be written: {err}") from err


def _middle(image: NDArray[Any]) -> NDArray[Any]:
    starts = [max(0, (length - CUTOUT) // 2) for length in image.shape]
    return image[starts[0] : starts[0] + CUTOUT, starts[1] : starts[1] + CUTOUT]


def _stretch(frame: NDArray[Any]) -> Any:
    """Sky near black, bright stars white, and faint light lifted by an asinh curve."""
    from astropy.visualization import AsinhStretch, ImageNormalize  # loads matplotlib

    samples = frame[np.isfinite(frame)]
    sky, noise = float(np.median(samples)), float(mad_std(samples))
    return ImageNormalize(
        vmin=sky - 1.2 * noise, vmax=sky + 40.0 * noise, stretch=AsinhStretch(0.05)
    )


def _label(axis: Any, panel: Panel) -> None:
    axis.set_title(panel.title, loc="left", color=INK, fontsize=14, fontweight="bold", pad=8)
    axis.set_title(panel.note, loc="right", color=FAINT_INK, fontsize=12, pad=8)
    axis.set_facecolor(PAPER)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _draw_counts(figure: Any, axis: Any, counts: NDArray[Any]) -> None:
    from matplotlib import colormaps

    colours = colormaps["inferno"].resampled(MOST_COUNTS + 1)
    shown = axis.imshow(
        np.minimum(counts, MOST_COUNTS),
        cmap=colours,
        vmin=-0.5,
        vmax=MOST_COUNTS + 0.5,
        origin="lower",
    )
    box = axis.get_position()
    side = figure.add_axes((box.x1 + 0.006, box.y0, 0.007, box.height))
    ticks = range(MOST_COUNTS + 1)
    bar = figure.colorbar(shown, cax=side, ticks=ticks)
    bar.set_ticklabels([*map(str, ticks[:-1]), f"{MOST_COUNTS}+"])
    bar.outline.set_visible(False)
    side.tick_params(colors=INK, labelsize=12, length=0)
