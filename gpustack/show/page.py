"""The report as one self-contained HTML page: no script, no other file."""

import base64
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from gpustack.drawing import Panel, height_to_width, png, stretched
from gpustack.kept_samples import Look
from gpustack.markup import escape, items
from gpustack.provenance import versions
from gpustack.result import StackResult, is_there, left_out
from gpustack.result.outlier_frames import out_of_line
from gpustack.show.charts import histogram, noise_curve
from gpustack.show.frames import frame_table
from gpustack.show.listing import listing
from gpustack.show.noise import NoiseCurve, frame_noise, measure_noise_curve
from gpustack.show.pictures import PanelGroup, pictures
from gpustack.show.residuals import residuals
from gpustack.value_texts import size_words, unit_words

_SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_LAW = f"{_SIGMA}/√n"

#: The stages of a run, and what the page calls them.
STAGES = {
    "open": "Open the files",
    "align": "Align",
    "measure": "Measure scale, zero, weights",
    "hash": "Hash the inputs",
    "stream": "Read and combine",
    "write": "Write the result",
}
#: Stages that took a smaller share of the whole time are left out.
LEAST_TIME = 1e-3

_REJECTED_KEY = (
    ("#2f7cc4", "rejected low"),
    ("#f08a2c", "rejected high; the brighter, the more, from 1 to 4 or more"),
)


def page(result: StackResult, look: Look, name: str) -> str:
    """Return the HTML of the whole page.

    Parameters
    ----------
    result : StackResult
    look : Look
        That of the result.
    name : str
        The title, such as the name of the result's file; empty for a default.
    """
    noise = frame_noise(look.strips, look.recipe)
    columns = frame_table(result.per_frame, look.overview, look.recipe, noise)
    flags = out_of_line(columns, is_there(result.per_frame))
    marked = np.any(list(flags.values()), axis=0)
    curve = measure_noise_curve(look.strips, look.recipe, noise)
    unit = "" if result.unit is None else str(result.unit)
    shown = pictures(look, left_out(result.per_frame).count(""))
    body = [
        _head(result, name),
        _tiles(result, look, curve, int(marked.sum())),
        _section("What was done", _recipe(result, look)),
        _section("What it looks like", _pictures(shown)),
        _section("Noise", _charts(look, result, curve, unit)),
        _section("Frames", listing(result.per_frame, columns, flags, unit)),
        _section("Where the time went", _times(look)),
        _footer(look, result),
    ]
    style = files("gpustack.show").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(name or 'Stack')}: gpustack report</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _head(result: StackResult, name: str) -> str:
    n = left_out(result.per_frame).count("")
    size, unit = size_words(result.data.shape), unit_words(result.unit)
    size_line = f"{n} frame{'s' * (n > 1)} of {size} pixels, {unit}"
    cards = [result.header.get(key) for key in ("OBJECT", "FILTER", "DATE-OBS")]
    line = " · ".join(
        [size_line, *(card for card in cards if isinstance(card, str) and card.strip())]
    )
    return f'<header><h1>{escape(name or "Stack")}</h1><p class="faint">{escape(line)}</p></header>'


def _tiles(result: StackResult, look: Look, curve: NoiseCurve | None, marked: int) -> str:
    reasons = left_out(result.per_frame)
    n = reasons.count("")
    out = len(reasons) - n
    tiles = {"frames": str(n)} | ({"frames left out": str(out)} if out else {})
    if result.rejected is not None:
        tiles["of samples rejected"] = f"{100.0 * result.rejected:.2g} %"
    if curve is not None:
        tiles["noise"] = f"{curve.ratio:.3g} {_TIMES} {_LAW}"
    tiles["frames out of line"] = str(marked)
    seconds = sum(look.watch.seconds.values())
    tiles["seconds in all"] = f"{seconds:.3g}"
    if "stream" in look.watch.seconds:
        rate = n * result.data.size / look.watch.seconds["stream"] / 1e6
        tiles["million samples a second"] = f"{rate:.3g}"
    cells = (
        f"<div><dt>{escape(what)}</dt><dd>{escape(number)}</dd></div>"
        for what, number in tiles.items()
    )
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def _recipe(result: StackResult, look: Look) -> str:
    steps = items(result.recipe.in_words())
    origins = f"<h3>Where numbers come from</h3>{items(look.origins, 'ul')}" if look.origins else ""
    return f'<div class="card">{steps}{origins}<code>{escape(str(result.recipe))}</code></div>'


def _pictures(all_shown: Sequence[PanelGroup]) -> str:
    groups = (
        f'<h3>{escape(shown.what)}</h3><div class="pictures">'
        f"{''.join(_figure(panel, shown.what) for panel in shown.panels)}</div>"
        for shown in all_shown
    )
    key = "".join(f'<li><i style="background:{c}"></i>{escape(w)}</li>' for c, w in _REJECTED_KEY)
    return f'{"".join(groups)}<ul class="key">{key}</ul>'


def _figure(panel: Panel, what: str) -> str:
    data = base64.b64encode(png(panel)).decode("ascii")
    height, width = panel.image.shape
    note = panel.note
    if panel.title == "Count":
        least, *_, most = (word for _, word in panel.colours.ticks)
        note += f", dark {least} to bright {most}"
    alt = f"{panel.title}: {what}; {note}"
    long = f' style="aspect-ratio:{1 / height_to_width(panel.image):.4g}"'
    style = long if stretched(panel.image) else ""
    return (
        f'<figure><img alt="{escape(alt)}" width="{width}" height="{height}"{style} '
        f'src="data:image/png;base64,{data}"><figcaption>{escape(panel.title)}'
        f"<small>{escape(note)}</small></figcaption></figure>"
    )


def _charts(look: Look, result: StackResult, curve: NoiseCurve | None, unit: str) -> str:
    return f'<div class="charts">{_residuals(look, result)}{_noise_card(curve, unit)}</div>'


def _residuals(look: Look, result: StackResult) -> str:
    made = residuals(look.strips, look.recipe)
    if made is None:
        alone = left_out(result.per_frame).count("") == 1
        why = "one frame has none, as the mean is its own" if alone else "these samples have none"
        return f'<p class="faint">Residuals: {why}.</p>'
    kept, gone = (100 * share for share in made.beyond(3.0))
    return (
        '<div class="card"><h3>Residuals against the normal curve</h3>'
        f"{histogram(made)}"
        '<ul class="key"><li><i style="background:var(--kept)"></i>kept</li>'
        '<li><i style="background:var(--gone)"></i>rejected</li><li>dashed: normal</li></ul>'
        f"<p>Beyond 3 {_SIGMA}, {kept:.2g} % of all samples were kept and {gone:.2g} % rejected; "
        "normal noise would have 0.27 % there in all. A residual is the distance from the mean of "
        "the survivors of a pixel, at least two, in units of the noise of the frame "
        "at that level (1.4826 times the median distance).</p></div>"
    )


def _noise_card(curve: NoiseCurve | None, unit: str) -> str:
    title = f"<h3>Noise reached against {_LAW}</h3>"
    if curve is None:
        why = "the recipe follows no such law, or there are too few frames or too little noise."
        return f'<div class="card">{title}<p class="faint">Nothing to show: {why}</p></div>'
    unit = f" {unit}" if unit else ""
    return (
        f'<div class="card">{title}{noise_curve(curve)}'
        '<ul class="key"><li><i style="background:var(--kept)"></i>reached</li>'
        f"<li>dashed: {_LAW}</li></ul>"
        f"<p>All {curve.counts[-1]} frames: {curve.noise[-1]:.4g}{escape(unit)}, "
        f"{curve.ratio:.3g} times the {curve.expected[-1]:.4g}{escape(unit)} of {_LAW}. A median "
        "reaches 1.25 times that; a clip that rejects good samples, slightly more than 1. A "
        "larger ratio comes from noise that frames share, or from stars in a crowded field. Noise "
        "is that from pixel to pixel in a row (DER_SNR), of the first 1, 2, 4, ... frames; n is "
        "how many of them are valid at a pixel, and both numbers are of the median pixel.</p></div>"
    )


def _times(look: Look) -> str:
    seconds = {
        what: look.watch.seconds[stage]
        for stage, what in STAGES.items()
        if look.watch.seconds.get(stage, 0.0) >= LEAST_TIME * sum(look.watch.seconds.values())
    }
    most = max(seconds.values(), default=1.0)
    bars = "".join(
        f'<dt>{escape(what)}</dt><dd class="bar"><i style="width:{100 * value / most:.1f}%"></i>'
        f'</dd><dd class="s">{_seconds(value)}</dd>'
        for what, value in seconds.items()
    )
    read = _seconds(sum(look.watch.reads or ()))
    where = escape(f"{look.watch.backend} on {look.watch.device}")
    return (
        f'<dl class="times">{bars}</dl><p class="faint">With the backend {where}. Reading took '
        f"{read}, summed over all threads; most of it overlaps with computing.</p>"
    )


def _seconds(value: float) -> str:
    return f"{value:.4f} s" if value < 0.1 else f"{value:.2f} s"


def _footer(look: Look, result: StackResult) -> str:
    strips = look.strips.cut
    notes = [
        "Pictures and charts show samples that were kept while all were read: pictures show single "
        f"pixels, not averages; charts use {len(strips.rows)} rows of {len(strips.columns)} pixels "
        "of each frame. The stack itself uses all samples."
    ]
    if len(result.data.shape) > 2:
        notes.append("Of frames with more than two axes they show the first plane.")
    if result.recipe.grow is not None:
        notes.append("Rejections grow only in pictures for which neighbouring samples were kept.")
    with_ = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"<footer><p>{escape(' '.join(notes))}</p><p>{escape(with_)}</p></footer>"
