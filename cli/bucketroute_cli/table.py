"""Tables of plain text, as kubectl prints them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_GAP = "   "


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need to be, an empty cell as a dash; no line ends in a space."""
    cells = [list(head), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join(lines)
