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
_PAIR = (_NARROWEST, _NARROWEST)
_WHOLE = 21
"""Columns of the longest word that is not cut: an IPv4 address with its port."""
_TALL = 5
"""Lines of a table for each of its rows, from which on rows as blocks are read more easily if they take fewer."""
_EMPTY = {"", "-"}
"""Cells that say nothing."""


def draw(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None, folded: Collection[str] = ()
) -> str:
    """A table as text, lines joined, nothing after the last.

    width: of the terminal, in columns; None: as wide as the table needs. Where it is narrower, cells are folded between
    words; where that does not do, columns without any value are left out; where that does not do either, or rows would
    be tall, each row is a block with a line for each column. folded: the columns that shrink, and are cut; none: all
    do.
    """
    lines: Sequence[Sequence[str]] = [columns, *rows]
    if not all(cell.isascii() and cell.isprintable() for line in lines for cell in line):
        lines = [[visible(cell) for cell in line] for line in lines]
    widths = [min(WRAP, max(map(_width, cells))) for cells in zip(*lines, strict=True)]
    if width is None or sum(widths) <= _room(width, len(widths)):
        return "\n".join(_drawn(lines, widths))
    if folded:
        least = [_NARROWEST if name in folded else one for name, one in zip(columns, widths, strict=True)]
        return "\n".join(_drawn(lines, _narrowed(widths, least, _room(width, len(widths)))))
    return "\n".join(_fitted(lines, widths, width))


def _drawn(lines: Sequence[Sequence[str]], widths: Sequence[int], *, headed: bool = True) -> Iterator[str]:
    """The lines of a table with columns of these widths. headed: the first line has headings."""
    border = f"+{'+'.join('-' * (width + 2) for width in widths)}+"
    line = f"| {' | '.join(f'{{:{width}}}' for width in widths)} |"
    yield border
    for number, cells in enumerate(lines):
        if all(
            cell.isascii() and len(cell) <= room and "\n" not in cell for cell, room in zip(cells, widths, strict=True)
        ):
            yield line.format(*cells)
        else:
            yield from _folded(cells, widths)
        if number == 0 and headed:
            yield border
    yield border


def _room(width: int, columns: int) -> int:
    """What borders leave to the cells of a line."""
    return width - 3 * columns - 1


def _fitted(lines: Sequence[Sequence[str]], widths: Sequence[int], width: int) -> Iterator[str]:
    """The lines of a table that is too wide."""
    cells = list(zip(*lines, strict=True))
    words = [min(one, max(_longest_word(column), _NARROWEST)) for one, column in zip(widths, cells, strict=True)]
    if len(words) == len(_PAIR):  # names stay in one piece beside their values
        words[0] = widths[0]
    elif _too_wide(words, width):
        told = [at for at, column in enumerate(cells) if not _EMPTY.issuperset(column[1:])]
        if told:  # of a table without any value every column stays
            lines = [[line[at] for at in told] for line in lines]
            widths, words = [widths[at] for at in told], [words[at] for at in told]
    if _too_wide(words, width) and len(words) > len(_PAIR) and len(lines) > 1:
        yield from _blocks(lines, width)
        return
    room = _room(width, len(widths))
    widths = _narrowed(widths, words, room)
    if len(words) == len(_PAIR):
        widths = _narrowed(widths, (words[0], _NARROWEST), room)
    drawn = list(_drawn(lines, _narrowed(widths, [_NARROWEST] * len(widths), room)))
    if len(words) > len(_PAIR) and len(drawn) > _TALL * len(lines):  # a long text in a narrow column
        drawn = min(drawn, list(_blocks(lines, width)), key=len)
    yield from drawn


def _too_wide(words: Sequence[int], width: int) -> bool:
    """Whether words that a person looks for would be cut: addresses, names, times."""
    return sum(min(word, _WHOLE) for word in words) > _room(width, len(words))


def _blocks(lines: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Each row as lines of headings and values."""
    headings, *rows = lines
    widths = [max(map(_width, headings)), min(WRAP, max(_width(cell) for cells in rows for cell in cells))]
    room = _room(width, len(_PAIR))
    widths = _narrowed(_narrowed(widths, [widths[0], _NARROWEST], room), _PAIR, room)
    for number, cells in enumerate(rows):
        drawn = list(_drawn(list(zip(headings, cells, strict=True)), widths, headed=False))
        yield from drawn if number == len(rows) - 1 else drawn[:-1]


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
    if _width(line) == len(line):  # a column for each character
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
