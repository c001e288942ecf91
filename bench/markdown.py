"""Write tables in Markdown."""

import re
from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, padded so that it reads well as text; columns of numbers are aligned right."""
    body = [list(row) for row in rows]
    columns = list(zip(head, *body, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(re.fullmatch(r"[-+0-9.,]*", cell) for cell in column[1:]) for column in columns]
    rule = [
        "-" * (width - 1) + (":" if number else "-")
        for width, number in zip(widths, right, strict=True)
    ]
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        )
        + " |"
        for row in (head, rule, *body)
    )
