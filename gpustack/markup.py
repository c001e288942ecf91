"""HTML of a few kinds, in which every text from outside is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["escape", "items", "table"]


def items(lines: Iterable[str], tag: str = "ol") -> str:
    """A list of texts."""
    return f"<{tag}>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</{tag}>"


def table(
    names: Sequence[str], rows: Iterable[Sequence[str]], marked: Sequence[Sequence[bool]] = ()
) -> str:
    """A table of texts, the first of each row its heading.

    Parameters
    ----------
    names : sequence of str
        Of the columns.
    rows : iterable of sequence of str
    marked : sequence of sequence of bool
        Which cells stand out, of all rows or of none.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = []
    for r, row in enumerate(rows):
        marks = marked[r] if marked else [False] * len(row)
        cells = (_cell(c, text, marks[c]) for c, text in enumerate(row))
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _cell(column: int, text: str, mark: bool) -> str:
    shown = f"<mark>{escape(text)}</mark>" if mark else escape(text)
    return f"<td>{shown}</td>" if column else f'<th scope="row">{shown}</th>'
