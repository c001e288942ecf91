"""Pictures of images and maps: their colours, single ones as PNG, and several side by side.

matplotlib is imported where it is used: only the extra ``plot`` brings it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.errors import InputError

#: So many or more rejections share the brightest colour.
MOST_REJECTED = 4
PAPER, INK, FAINT_INK = "#0d0f14", "#f0eee8", "#9aa0aa"
#: Of pixels without a value: no grey, black or white, which are values, and as dark as the paper.
EMPTY = "#45365f"
#: From many samples that were rejected low, over none, to many that were rejected high.
_LOW, _HIGH = (
    ("#c9e6ff", "#6db6f2", "#2f7cc4", "#1b4878"),
    ("#6e2411", "#c04a17", "#f08a2c", "#ffdca8"),
)

#: In inches, of the side of a panel, and what is above one and beside one with ticks.
_SIDE, _ABOVE, _BESIDE, _GAP = 4.3, 0.42, 0.82, 0.12


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """What colours the values of an image have.

    Parameters
    ----------
    norm, colormap : of matplotlib
    ticks : sequence of (float, str)
        For the scale beside it; none is drawn where there are none.
    """

    norm: Any
    colormap: Any
    ticks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One image of a picture.

    Parameters
    ----------
    title, note : str
        Written above it, left and right.
    image : ndarray, shape (y, x)
        What is not finite is drawn in the colour `EMPTY`.
    colours : Colours
    """

    title: str
    note: str
    image: NDArray[Any]
    colours: Colours


def require_matplotlib(what: str) -> Any:
    """The figure class of matplotlib.

    Raises
    ------
    InputError
        Where matplotlib is not installed; it says that `what` needs it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise InputError(
            f"{what} draws with matplotlib, which is not installed here: "
            "pip install matplotlib (the extra gpustack[plot])"
        ) from err
    return Figure


def brightness(image: NDArray[Any]) -> Colours:
    """Sky near black, bright stars white, and faint light lifted by an asinh curve.

    Where the image has no more than its noise, as a bias has, the curve is straight. All images
    that are to be compared share one of these: else the noise would look the same in all.
    """
    from astropy.visualization import AsinhStretch, ImageNormalize  # loads matplotlib
    from matplotlib import colormaps

    samples = image[np.isfinite(image)].astype(np.float64)
    if not samples.size:
        samples = np.zeros(1)
    level = float(np.median(samples))
    noise = 1.4826 * float(np.median(np.abs(samples - level))) or float(samples.std()) or 1.0
    noise = max(noise, float(np.spacing(abs(level))))  # what is less does not change the level
    low = max(level - 1.2 * noise, float(samples.min()) - 0.1 * noise)
    high = max(min(level + 40.0 * noise, float(samples.max())), low + 3.0 * noise)
    bend = min(2.0 * noise / (high - low), 1.0)
    norm = ImageNormalize(vmin=low, vmax=high, stretch=AsinhStretch(bend), clip=True)
    return Colours(norm, colormaps["gray"])


def counted(counts: NDArray[Any], most: int) -> Colours:
    """Counts from the least that there is up to `most`."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    least = min(int(np.min(counts, initial=most)), most - 1)
    ticks = sorted({least, (least + most) // 2, most})
    return Colours(
        Normalize(least, most), colormaps["viridis"], [(float(tick), str(tick)) for tick in ticks]
    )


def rejected() -> Colours:
    """Of what `signed` gives: blue where samples were rejected low, orange where high."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    most = MOST_REJECTED
    edges = np.arange(-most, most + 2) - 0.5
    words = {-most: f"{most}+ low", 0: "0", most: f"{most}+ high"}
    ticks = [(float(k), words.get(k, str(abs(k)))) for k in range(-most, most + 1)]
    colours = ListedColormap([*_LOW, PAPER, *_HIGH])
    return Colours(BoundaryNorm(edges, len(edges) - 1), colours, ticks)


def signed(low: Any, high: Any) -> NDArray[np.int64]:
    """How many samples of a pixel were rejected: above 0 high, below 0 low; the larger of both."""
    few, many = (np.minimum(np.asarray(side, np.int64), MOST_REJECTED) for side in (low, high))
    return np.where(many >= few, many, -few)


def png(panel: Panel) -> bytes:
    """The image of a panel as a PNG, a pixel a pixel, its first row at the bottom."""
    from matplotlib.image import imsave

    stream = BytesIO()
    imsave(stream, _coloured(panel)[::-1], format="png")
    return stream.getvalue()


def _coloured(panel: Panel) -> NDArray[np.uint8]:
    """The image of a panel, shape (y, x, 4)."""
    from matplotlib.colors import to_rgba_array

    shown = np.ma.masked_invalid(panel.image)
    pixels: NDArray[np.uint8] = panel.colours.colormap(panel.colours.norm(shown), bytes=True)
    pixels[np.ma.getmaskarray(shown)] = (255 * to_rgba_array(EMPTY)[0]).round()
    return pixels


def draw(panels: Sequence[Sequence[Panel]]) -> bytes:
    """Draw panels in rows as one PNG.

    Parameters
    ----------
    panels : sequence of rows of Panel
        As many in each row.
    """
    columns = list(zip(*panels, strict=True))
    widths = [_SIDE + _BESIDE * any(panel.colours.ticks for panel in each) for each in columns]
    size = sum(widths) + _GAP * (len(widths) + 1), len(panels) * (_SIDE + _ABOVE) + _GAP
    figure = require_matplotlib("the picture")(figsize=size, facecolor=PAPER)
    for r, row in enumerate(panels):
        bottom = size[1] - (r + 1) * (_SIDE + _ABOVE)
        for c, panel in enumerate(row):
            left = _GAP * (c + 1) + sum(widths[:c])
            _fill(figure, panel, (left, bottom), size)
    stream = BytesIO()
    figure.savefig(stream, dpi=100, format="png")
    return stream.getvalue()


def _fill(
    figure: Any, panel: Panel, corner: tuple[float, float], size: tuple[float, float]
) -> None:
    """Draw one panel, its lower left corner given in inches."""
    from matplotlib.cm import ScalarMappable

    x, y = corner

    def axes(left: float, width: float) -> Any:
        return figure.add_axes((left / size[0], y / size[1], width / size[0], _SIDE / size[1]))

    axis = axes(x, _SIDE)
    axis.imshow(_coloured(panel), origin="lower", interpolation="nearest")
    axis.set_title(panel.title, loc="left", color=INK, fontsize=14, fontweight="bold", pad=6)
    axis.set_title(panel.note, loc="right", color=FAINT_INK, fontsize=11, pad=6)
    axis.set_facecolor(PAPER)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    if panel.colours.ticks:
        side = axes(x + _SIDE + 0.06, 0.12)
        values, words = zip(*panel.colours.ticks, strict=True)
        scale = ScalarMappable(panel.colours.norm, panel.colours.colormap)
        bar = figure.colorbar(scale, cax=side, ticks=values)
        bar.set_ticklabels(words)
        bar.outline.set_visible(False)
        side.tick_params(colors=INK, labelsize=10, length=0, which="both")
