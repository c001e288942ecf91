"""HTML lists and tables, in which all text is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["escape", "items", "table"]

#: Characters at the end of a name that are never cut: usually a number and ``.fits.fz``.
_TAIL = 12


def items(lines: Iterable[str], tag: str = "ol") -> str:
    """A list of texts, numbered unless `tag` says otherwise."""
    return f"<{tag}>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</{tag}>"


def table(
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    marked: Sequence[Sequence[bool]] = (),
    titles: Sequence[str] = (),
) -> str:
    """A table of texts; the first cell of each row is its heading.

    Parameters
    ----------
    names : sequence of str
        The names of the columns.
    rows : iterable of sequence of str
    marked : sequence of sequence of bool
        Which cells are highlighted, for all rows; empty for none.
    titles : sequence of str
        The tooltips of all row headings; empty for none. With titles, headings are shortened in the
        middle where there is no room, and rows have the ids ``row0``, ``row1``, ...
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = []
    for r, row in enumerate(rows):
        marks = marked[r] if marked else [False] * len(row)
        first = _titled(row[0], titles[r]) if titles else _cell(0, row[0], marks[0])
        cells = (_cell(c, text, marks[c]) for c, text in enumerate(row) if c)
        place = f' id="row{r}"' if titles else ""
        body.append(f"<tr{place}>{first}{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _titled(text: str, title: str) -> str:
    """A row heading in two parts; the style sheet shortens the first."""
    parts = "".join(f"<span>{escape(part)}</span>" for part in (text[:-_TAIL], text[-_TAIL:]))
    return f'<th scope="row" title="{escape(title)}"><div class="name">{parts}</div></th>'


def _cell(column: int, text: str, mark: bool) -> str:
    shown = f"<mark>{escape(text)}</mark>" if mark else escape(text)
    return f"<td>{shown}</td>" if column else f'<th scope="row">{shown}</th>'
