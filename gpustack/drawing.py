"""Draw images and maps: their colours, one image as PNG, several panels in one picture.

matplotlib is imported where it is used, as only the extra ``plot`` installs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD
from gpustack.errors import MissingPackageError

#: All numbers of rejections from this one on share the brightest colour.
MOST_REJECTED = 4
PAPER, INK, FAINT_INK, FRAME = "#0d0f14", "#f0eee8", "#9aa0aa", "#3b424e"
#: The colour of pixels without a value: no grey, black or white, which mean values, and not as dark
#: as the paper.
EMPTY = "#45365f"
#: Colours from many samples rejected low to one, and from one sample rejected high to many.
_LOW, _HIGH = (
    ("#c9e6ff", "#6db6f2", "#2f7cc4", "#1b4878"),
    ("#6e2411", "#c04a17", "#f08a2c", "#ffdca8"),
)

#: Values beyond this are drawn like it, as the squares of larger ones may overflow.
_HUGE = 1e150

#: The longer side of a panel is at most this many times the shorter one. Images of a larger ratio
#: are stretched, as their rows of pixels would be too thin to be seen.
MAX_SIDE_RATIO = 3.0

#: Sizes in inches: the side of a panel, the space above it for its caption, the space beside it for
#: a scale with ticks, and the gap between panels.
_SIDE, _CAPTION_HEIGHT, _SCALE_WIDTH, _GAP = 4.3, 0.42, 0.82, 0.12


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """How the values of an image are coloured.

    Parameters
    ----------
    norm, colormap : of matplotlib
    ticks : sequence of (float, str)
        Values and labels of the scale beside the image; no scale is drawn if there are none.
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
        Written above the image, left and right.
    image : ndarray, shape (y, x)
        Values that are not finite are drawn in the colour `EMPTY`.
    colours : Colours
    """

    title: str
    note: str
    image: NDArray[Any]
    colours: Colours


def height_to_width(image: NDArray[Any]) -> float:
    """The ratio of height to width of an image as it is drawn."""
    ratio: float = image.shape[0] / image.shape[1]
    return min(max(ratio, 1 / MAX_SIDE_RATIO), MAX_SIDE_RATIO)


def stretched(image: NDArray[Any]) -> str:
    """In words, how an image is stretched when it is drawn; empty if it is not stretched."""
    height, width = image.shape
    factor = height_to_width(image) * width / height
    if abs(factor - 1) < 0.01:
        return ""
    return f"{factor:.3g} times as high" if factor > 1 else f"{1 / factor:.3g} times as wide"


def require_matplotlib(what: str) -> Any:
    """Return the figure class of matplotlib.

    Raises
    ------
    MissingPackageError
        Where matplotlib is not installed; the message says that `what` needs it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise MissingPackageError(
            f"{what} draws with matplotlib, which is not installed here: "
            "pip install matplotlib (the extra gpustack[plot])"
        ) from err
    return Figure


def brightness(image: NDArray[Any]) -> Colours:
    """Greys with the sky near black, bright stars white, and faint light lifted by an asinh curve.

    For an image of noise alone, such as a bias, the curve is straight. Images that are to be
    compared must share the result for one of them; with their own, noise would look alike in all.
    """
    from astropy.visualization import AsinhStretch, ImageNormalize  # loads matplotlib
    from matplotlib import colormaps

    samples = image[np.isfinite(image)].astype(np.float64).clip(-_HUGE, _HUGE)
    if not samples.size:
        samples = np.zeros(1)
    level = float(np.median(samples))
    noise = MAD_TO_STD * float(np.median(np.abs(samples - level))) or float(samples.std()) or 1.0
    noise = max(noise, float(np.spacing(abs(level))))  # less does not change the level
    low = max(level - 1.2 * noise, float(samples.min()) - 0.1 * noise)
    high = max(min(level + 40.0 * noise, float(samples.max())), low + 3.0 * noise)
    bend = min(2.0 * noise / (high - low), 1.0)
    norm = ImageNormalize(vmin=low, vmax=high, stretch=AsinhStretch(bend), clip=True)
    return Colours(norm, colormaps["gray"])


def counted(counts: NDArray[Any], most: int) -> Colours:
    """Colours for counts, from the lowest count in the image up to `most`."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    least = min(int(np.min(counts, initial=most)), most - 1)
    ticks = sorted({least, (least + most) // 2, most})
    return Colours(
        Normalize(least, most), colormaps["viridis"], [(float(tick), str(tick)) for tick in ticks]
    )


def rejected() -> Colours:
    """Colours for `signed_rejections`: blue for samples rejected low, orange for high."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    most = MOST_REJECTED
    edges = np.arange(-most, most + 2) - 0.5
    words = {-most: f"{most}+ low", 0: "0", most: f"{most}+ high"}
    ticks = [(float(k), words.get(k, str(abs(k)))) for k in range(-most, most + 1)]
    colours = ListedColormap([*_LOW, PAPER, *_HIGH])
    return Colours(BoundaryNorm(edges, len(edges) - 1), colours, ticks)


def signed_rejections(low: Any, high: Any) -> NDArray[np.int64]:
    """How many samples of each pixel were rejected high (> 0) or low (< 0), the larger of the two.

    At most `MOST_REJECTED` either way; high where both are equal.
    """
    below, above = (np.minimum(np.asarray(side, np.int64), MOST_REJECTED) for side in (low, high))
    return np.where(above >= below, above, -below)


def png(panel: Panel) -> bytes:
    """The image of a panel as PNG, pixel for pixel, with its first row at the bottom."""
    from matplotlib.image import imsave

    stream = BytesIO()
    imsave(stream, _coloured(panel)[::-1], format="png")
    return stream.getvalue()


def _coloured(panel: Panel) -> NDArray[np.uint8]:
    """The colours (RGBA) of the image of a panel, shape (y, x, 4)."""
    from matplotlib.colors import to_rgba_array

    shown = np.ma.masked_invalid(panel.image)
    pixels: NDArray[np.uint8] = panel.colours.colormap(panel.colours.norm(shown), bytes=True)
    pixels[np.ma.getmaskarray(shown)] = (255 * to_rgba_array(EMPTY)[0]).round()
    return pixels


def draw(panels: Sequence[Sequence[Panel]], title: str = "") -> bytes:
    """Draw panels in rows as one PNG.

    Parameters
    ----------
    panels : sequence of rows of Panel
        All rows are equally long.
    title : str
        Written into the metadata of the file, not onto the picture; ASCII. Nothing if empty.
    """
    columns = list(zip(*panels, strict=True))
    widths = [_SIDE + _SCALE_WIDTH * any(panel.colours.ticks for panel in each) for each in columns]
    heights = [_SIDE * min(1.0, max(height_to_width(one.image) for one in row)) for row in panels]
    size = (
        sum(widths) + _GAP * (len(widths) + 1),
        sum(heights) + len(panels) * _CAPTION_HEIGHT + _GAP,
    )
    figure = require_matplotlib("the picture")(figsize=size, facecolor=PAPER)
    for r, row in enumerate(panels):
        bottom = size[1] - sum(heights[: r + 1]) - (r + 1) * _CAPTION_HEIGHT
        for c, panel in enumerate(row):
            left = _GAP * (c + 1) + sum(widths[:c])
            _fill(figure, panel, (left, bottom, heights[r]), size)
    stream = BytesIO()
    metadata = {"Title": title} if title else None
    figure.savefig(stream, dpi=100, format="png", metadata=metadata)
    return stream.getvalue()


def _fill(
    figure: Any, panel: Panel, place: tuple[float, float, float], size: tuple[float, float]
) -> None:
    """Draw one panel; `place` is its lower left corner and its height, all in inches."""
    x, y, height = place

    def axes(left: float, width: float) -> Any:
        return figure.add_axes((left / size[0], y / size[1], width / size[0], height / size[1]))

    axis, (rows, columns) = axes(x, _SIDE), panel.image.shape
    aspect = height_to_width(panel.image) * columns / rows
    axis.imshow(_coloured(panel), origin="lower", interpolation="nearest", aspect=aspect)
    _caption(figure, panel, (x / size[0], (x + _SIDE) / size[0], (y + height + 0.08) / size[1]))
    axis.set_facecolor(PAPER)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_color(FRAME)  # a map without rejections would look missing
    if panel.colours.ticks:
        _scale(figure, panel.colours, axes(x + _SIDE + 0.06, 0.12))


def _caption(figure: Any, panel: Panel, place: tuple[float, float, float]) -> None:
    """Write title and note above a panel, across its full width even if its image is narrower."""
    left, right, above = place
    figure.text(left, above, panel.title, color=INK, fontsize=14, fontweight="bold")
    figure.text(right, above, panel.note, color=FAINT_INK, fontsize=11, ha="right")


def _scale(figure: Any, colours: Colours, side: Any) -> None:
    """Draw the scale of the colours into axes beside a panel."""
    from matplotlib.cm import ScalarMappable

    values, words = zip(*colours.ticks, strict=True)
    scale = ScalarMappable(colours.norm, colours.colormap)
    bar = figure.colorbar(scale, cax=side, ticks=values)
    bar.set_ticklabels(words)
    bar.outline.set_visible(False)
    side.tick_params(colors=INK, labelsize=10, length=0, which="both")
