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
_EMPTY = {"", "-"}
"""Cells that say nothing."""


def draw(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None, folded: Collection[str] = ()
) -> str:
    """A table as text, lines joined, nothing after the last.

    width: of the terminal, in columns; None: as wide as the table needs. Where it is narrower, cells are folded between
    words; where that does not do, columns without any value are left out; and only then words are cut. folded: the
    columns that shrink; none: the widest ones do.
    """
    lines: Sequence[Sequence[str]] = [columns, *rows]
    if not all(cell.isascii() and cell.isprintable() for line in lines for cell in line):
        lines = [[visible(cell) for cell in line] for line in lines]
    widths = [min(WRAP, max(map(_width, cells))) for cells in zip(*lines, strict=True)]
    if width is not None and sum(widths) > _room(width, len(widths)):
        lines, widths = _fitted(lines, widths, [not folded or name in folded for name in columns], width)
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


def _room(width: int, columns: int) -> int:
    """What borders leave to the cells of a line."""
    return width - 3 * columns - 1


def _fitted(
    lines: Sequence[Sequence[str]], widths: list[int], shrinking: Sequence[bool], width: int
) -> tuple[Sequence[Sequence[str]], list[int]]:
    """A table that is too wide: its lines, and the widths of its columns."""
    cells = list(zip(*lines, strict=True))
    words = [
        min(one, max(_longest_word(column), _NARROWEST)) if shrinks else one
        for one, column, shrinks in zip(widths, cells, shrinking, strict=True)
    ]
    if sum(words) > _room(width, len(widths)):
        told = [at for at, column in enumerate(cells) if not _EMPTY.issuperset(column[1:])]
        if told:  # of a table without any value every column stays
            lines = [[line[at] for at in told] for line in lines]
            widths, words = [widths[at] for at in told], [words[at] for at in told]
            shrinking = [shrinking[at] for at in told]
    room = _room(width, len(widths))
    least = [_NARROWEST if shrinks else one for one, shrinks in zip(widths, shrinking, strict=True)]
    return lines, _narrowed(_narrowed(widths, words, room), least, room)


def _longest_word(cells: Sequence[str]) -> int:
    return max(map(_width, " ".join(cells).split()), default=0)


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths of columns, none below its least, so that all together have room; the widest ones shrink first."""
    widths = list(widths)
    while (excess := sum(widths) - room) > 0:
        wide = [at for at, width in enumerate(widths) if width > least[at]]
        if not wide:
            break
        widest = max(widths[at] for at in wide)
        among = [at for at in wide if widths[at] == widest]
        following = max((widths[at] for at in wide if widths[at] < widest), default=0)
        each, more = divmod(excess, len(among))
        for number, at in enumerate(among):
            widths[at] = max(least[at], following, widest - each - (number < more))
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
