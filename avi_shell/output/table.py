"""Tables: objects as rows of names and values, and the borders around them. Pure: rows in, text out."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

from avi_shell.configuration.document import SECRET, Document, reference_name, token_text
from avi_shell.output.secret import is_secret
from dataplane.foreign.text import visible
from grammar import schema

Row = tuple[str, str]

WRAP = 80
"""The widest value; what is longer continues on further rows."""


def object_rows(kind: schema.Kind, document: Document, *, brief: bool = False) -> list[Row]:
    """Indented names and values of an object, in the model's row order. brief: without what equals its default."""
    return message_rows(kind, kind.root, document, brief=brief)


def message_rows(kind: schema.Kind, message: schema.Message, document: Document, *, brief: bool = False) -> list[Row]:
    """The rows of one message of a kind, as `where` and `show` print them in its mode."""
    return list(_rows(kind, message, document, 0, brief))


def draw(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """The table as text, lines joined, nothing after the last. width: of the terminal; None: as wide as it needs."""
    widest = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    fits = max(widest, default=0) <= WRAP and (width is None or sum(widest) + 3 * len(widest) + 1 <= width)
    if fits and all(cell.isascii() and cell.isprintable() for row in (columns, *rows) for cell in row):
        return _plain(columns, rows, widest)
    return _wrapped(columns, rows, width)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    """What rich would draw where nothing is wrapped and a character is a column: a hundred times faster, and replaying
    a session draws a table for every commit."""
    border = f"+{'+'.join('-' * (width + 2) for width in widths)}+"
    line = f"| {' | '.join(f'{{:{width}}}' for width in widths)} |"
    return "\n".join((border, line.format(*columns), border, *(line.format(*row) for row in rows), border))


def _wrapped(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    from rich.box import ASCII2
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=ASCII2, header_style="")
    for column in columns:
        table.add_column(column, max_width=WRAP, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell), overflow="fold") for cell in row))
    console = Console(
        file=io.StringIO(),
        width=width or len(columns) * (WRAP + 3) + 1,
        height=100,
        markup=False,
        emoji=False,
        highlight=False,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")


def value_text(field: schema.Field, value: Any) -> str:
    """One scalar as shown: with its unit, references by name, secrets hidden."""
    if field.sensitive or (is_secret(field.name) and isinstance(value, str)):
        return SECRET
    if field.type == "ref":
        return reference_name(str(value))
    if field.unit and not isinstance(value, bool):
        return f"{value} {field.unit}"
    return str(value)


def _rows(kind: schema.Kind, message: schema.Message, document: Document, depth: int, brief: bool) -> Iterator[Row]:
    for field in message.fields.values():
        if field.scope == "hidden" or field.name not in document:
            continue
        value = document[field.name]
        if brief and field.default is not None and value == field.default:
            continue
        if isinstance(value, list):
            for index, item in enumerate(value, 1):
                yield from _value_rows(kind, field, f"{field.name}[{index}]", item, depth, brief)
        else:
            yield from _value_rows(kind, field, field.name, value, depth, brief)


def _value_rows(
    kind: schema.Kind, field: schema.Field, label: str, value: Any, depth: int, brief: bool
) -> Iterator[Row]:
    name = "  " * depth + label
    message = kind.message(field)
    if not isinstance(value, dict):
        yield name, value_text(field, value)
    elif message is None:
        yield name, ""
        yield from _plain_rows(value, depth + 1)
    elif message.one_token:
        yield name, token_text(message, value)
    else:
        yield name, ""
        yield from _rows(kind, message, value, depth + 1, brief)


def _plain_rows(document: Document, depth: int) -> Iterator[Row]:
    """Rows of a message that the model does not describe: carried, in the order it came."""
    for name, value in document.items():
        items = (
            [(f"{name}[{i}]", item) for i, item in enumerate(value, 1)] if isinstance(value, list) else [(name, value)]
        )
        for label, item in items:
            shown = SECRET if is_secret(name) and isinstance(item, str) else str(item)
            yield "  " * depth + label, "" if isinstance(item, dict) else shown
            if isinstance(item, dict):
                yield from _plain_rows(item, depth + 1)
