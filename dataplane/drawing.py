"""Tables as text, for people.

Borders are ASCII; cells are folded where a terminal is narrow. Pure: rows in, text out.
rich draws the same at 2 ms a line; a pool of 10,000 servers, or a session that is replayed, would wait for it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence

from dataplane.foreign.text import visible

WRAP = 80
"""The widest cell, in columns of a terminal; what is longer continues on further lines."""
_NARROWEST = 4
"""Columns that a cell keeps on any terminal."""


def draw(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None, folded: Collection[str] = ()
) -> str:
    """A table as text, lines joined, nothing after the last.

    width: of the terminal, in columns; None: as wide as the table needs. folded: the columns that shrink where the
    terminal is narrower; none: the widest ones do.
    """
    lines = [columns, *rows]
    if not all(cell.isascii() and cell.isprintable() for line in lines for cell in line):
        lines = [[visible(cell) for cell in line] for line in lines]
    widths = [min(WRAP, max(map(_width, cells))) for cells in zip(*lines, strict=True)]
    if width is not None:
        widths = _narrowed(widths, [not folded or name in folded for name in columns], width - 3 * len(widths) - 1)
    border = f"+{'+'.join('-' * (width + 2) for width in widths)}+"
    line = f"| {' | '.join(f'{{:{width}}}' for width in widths)} |"
    drawn = [border]
    for number, cells in enumerate(lines):
        if all(
            cell.isascii() and len(cell) <= room and "\n" not in cell for cell, room in zip(cells, widths, strict=True)
        ):
            drawn.append(line.format(*cells))
        else:
            drawn += _folded(cells, widths)
        if number == 0:
            drawn.append(border)
    return "\n".join((*drawn, border))


def _narrowed(widths: list[int], shrinking: Sequence[bool], room: int) -> list[int]:
    """Widths of columns, so that all together have room; the widest of those that shrink do first."""
    while (excess := sum(widths) - room) > 0:
        shrunk = [width for width, shrinks in zip(widths, shrinking, strict=True) if shrinks]
        widest = max(shrunk, default=0)
        if widest <= _NARROWEST:
            break
        among = [at for at, width in enumerate(widths) if shrinking[at] and width == widest]
        least = max((width for width in shrunk if width < widest), default=0)
        least = max(least, _NARROWEST)
        each, more = divmod(excess, len(among))
        for number, at in enumerate(among):
            widths[at] = max(least, widest - each - (number < more))
    return widths


def _folded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of a row whose cells are folded or have characters of other widths."""
    pieces = [_pieces(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for number in range(max(map(len, pieces))):
        shown = [some[number] if number < len(some) else "" for some in pieces]
        filled = (text + " " * (width - _width(text)) for text, width in zip(shown, widths, strict=True))
        yield f"| {' | '.join(filled)} |"


def _pieces(cell: str, width: int) -> list[str]:
    """A cell in lines of at most so many columns."""
    return [piece for line in cell.split("\n") for piece in _line_pieces(line, width)]


def _line_pieces(line: str, width: int) -> list[str]:
    if _width(line) <= width:
        return [line]
    if line.isascii():
        return textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    from rich.cells import chop_cells

    return chop_cells(line, width)


def _width(text: str) -> int:
    """Columns that a text takes on a terminal: its longest line's."""
    if "\n" in text:
        return max(map(_width, text.split("\n")))
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
