"""What an import did, in a few lines and as data. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from avi_shell.configuration.importing import Imported
from avi_shell.configuration.notices import WITHOUT_EFFECT
from avi_shell.output.result import Prose
from dataplane.wording import counted
from grammar import schema

_FEW = 10
"""Notices that are shown as they are; of more, the first and how many there are."""


def lines(done: Imported, *, verbose: bool) -> list[Prose]:
    """Notices, or how many of them there are, and one line that counts the objects. verbose: every notice."""
    made = [*done.notices] if verbose or len(done.notices) <= _FEW else _short(done)
    kinds = done.created + done.changed + done.same
    objects = ", ".join(f"{kinds[kind]:,} {kind}" for kind in schema.SEGMENTS.values() if kinds[kind])
    total = counted(sum(kinds.values()), "object") + (f" ({objects})" if objects else "")
    new, changed, same = (sum(found.values()) for found in (done.created, done.changed, done.same))
    made.append(f"{total}: {new:,} new, {changed:,} changed, {same:,} as they were stored.")
    return [Prose(line) for line in made]


def of_file(done: Imported) -> list[Prose]:
    """What is about the file alone: fields, kinds and forms that are not the model's; of many, the first."""
    told, more = done.of_file[:_FEW], len(done.of_file) - _FEW
    if more > 0:
        told.append(f"and {counted(more, 'more notice')}; import configuration file with --dry-run --verbose shows all")
    return [Prose(line) for line in told]


def data(done: Imported) -> dict[str, Any]:
    """The same for programs."""
    return {
        "created": dict(done.created),
        "changed": dict(done.changed),
        "same": dict(done.same),
        "kept": dict(done.kept),
        "without_effect": dict(done.without_effect),
        "notices": done.notices,
    }


def _short(done: Imported) -> list[str]:
    others = [notice for notice in done.notices if WITHOUT_EFFECT not in notice]
    told = others[:_FEW]
    if len(others) > _FEW:
        told.append(f"and {counted(len(others) - _FEW, 'more notice')}; --verbose shows all")
    if done.without_effect:
        told.append(f"{WITHOUT_EFFECT}: {_counted(done.without_effect)}")
    return told


def _counted(fields: Counter[str]) -> str:
    shown = [f"{name} of {count:,}" for name, count in fields.most_common(_FEW)]
    more = len(fields) - len(shown)
    return ", ".join([*shown, *([f"and {counted(more, 'more field')}; --verbose shows each object"] if more else [])])
