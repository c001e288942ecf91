"""The table of frames on the page, and the frames that are out of line."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.markup import escape, items, table
from gpustack.result import left_out
from gpustack.result.outlier_frames import RULE, outlying_names

_HEADS = {"low": "rejected low", "high": "rejected high"}
_PERCENT = ("valid", "rejected", "low", "high")

#: The rows that are in sight without scrolling, and the most frames of a list above the table.
_IN_SIGHT, _LISTED = 15, 40


def listing(
    per_frame: Mapping[str, Any],
    columns: Mapping[str, NDArray[np.float64]],
    flags: Mapping[str, NDArray[np.bool_]],
    unit: str,
) -> str:
    """Return the HTML of the section on frames: counts, links to those out of line, and the table.

    Parameters
    ----------
    per_frame : mapping
        The table of frames of the result.
    columns : mapping of str to ndarray
        The numbers of the frames, as from `frame_table`.
    flags : mapping of str to ndarray
        Which numbers are out of line, as from `out_of_line`.
    unit : str
        The unit of the frames; empty where there is none.
    """
    names = per_frame["name"]
    short = _short(names)
    strays = [
        [_HEADS.get(name, name) for name in outlying_names(flags, f)] for f in range(len(names))
    ]
    scroll = '<div class="scroll" tabindex="0" role="region" aria-label="Table of frames">'
    note = f"{RULE} Low, high and noise are of the samples that the pictures and charts show."
    shown = _table(names, short, columns, flags, strays, unit)
    reasons = left_out(per_frame)
    above = f"{_count(reasons)}{_left_out_list(names, reasons)}{_links(short, strays)}"
    return f'{above}{scroll}{shown}</div><p class="faint">{escape(note)}</p>'


def _count(reasons: Sequence[str]) -> str:
    """How many frames are combined and how many are left out. The table contains both."""
    n = reasons.count("")
    skipped = f", and {len(reasons) - n} left out" if n < len(reasons) else ""
    more = "; the table scrolls" if len(reasons) > _IN_SIGHT else ""
    return f'<p class="faint">{n} frame{"s" * (n > 1)}{skipped}{more}.</p>'


def _left_out_list(names: Sequence[str], reasons: Sequence[str]) -> str:
    """The frames that are left out, each with its reason."""
    skipped = [f"{name}: {why}" for name, why in zip(names, reasons, strict=True) if why]
    return f"<p>Left out:</p>{items(_few(skipped), 'ul')}" if skipped else ""


def _links(short: Sequence[str], strays: Sequence[Sequence[str]]) -> str:
    """The frames out of line, each a link to its row."""
    links = [
        f'<a href="#row{f}">{escape(short[f])}</a> ({escape(", ".join(words))})'
        for f, words in enumerate(strays)
        if words
    ]
    return f"<p>Out of line: {', '.join(_few(links))}.</p>" if links else ""


def _few(listed: list[str]) -> list[str]:
    """The first `_LISTED` entries of a list, and how many more there are."""
    more = len(listed) - _LISTED
    return [*listed[:_LISTED], f"and {more} more"] if more > 0 else listed


def _table(
    names: Sequence[str],
    short: Sequence[str],
    columns: Mapping[str, NDArray[np.float64]],
    flags: Mapping[str, NDArray[np.bool_]],
    strays: Sequence[Sequence[str]],
    unit: str,
) -> str:
    heads = ["frame", "out of line", *(_HEADS.get(name, name) for name in columns)]
    heads = [f"{head} [{unit}]" if unit and head in ("zero", "noise") else head for head in heads]
    rows, marks = [], []
    for f, words in enumerate(strays):
        numbers = [_number(name, float(column[f])) for name, column in columns.items()]
        rows.append([short[f], ", ".join(words), *numbers])
        off = [name in flags and bool(flags[name][f]) for name in columns]
        marks.append([False, bool(words), *off])
    return table(heads, rows, marks, names)


def _short(names: Sequence[str]) -> Sequence[str]:
    """Names of files, without their folder if all have the same one."""
    shared = {os.path.dirname(name) for name in names}  # noqa: PTH120 - as they were given
    return [os.path.basename(name) for name in names] if len(shared) == 1 else names  # noqa: PTH119


def _number(name: str, value: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{100 * value:.3g} %" if name in _PERCENT else f"{value:.5g}"
