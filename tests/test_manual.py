"""The manual is complete, and its sentences are short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dataplane.daemon.status
from avi_shell import manual
from avi_shell.fronts import batch
from dataplane.events.model import Event, Severity, Subject
from dataplane.forwarding.dropreasons import DROP_REASONS, MISTAKEN, OVERRUN, TX_LOST
from tests import manualpages

README = Path(__file__).parent.parent / "README.md"
PAGES = {path.name: path.read_text("utf-8") for path in (README, *sorted(manual.HERE.glob("*.md")))}
LONGEST = 35
"""Words of a sentence. Inline code is one word; so is a list of nothing but inline code."""


def keys_of_the_status() -> set[str]:
    """Every key that the module writes into the status."""
    tree = ast.parse(Path(dataplane.daemon.status.__file__ or "").read_text("utf-8"))
    dicts = (node for node in ast.walk(tree) if isinstance(node, ast.Dict))
    return {
        key.value for one in dicts for key in one.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def sentences(page: str) -> Iterator[str]:
    """The sentences of a page's paragraphs, list items and cells."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`", "CODE", text)
    text = re.sub(r"CODE(,\s+CODE)+", "CODE", text)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) )|\n(?=[|#])", text):
        for cell in block.strip().strip("|").split("|"):
            for sentence in re.split(r"(?<=[.?!])\s+", cell):
                yield " ".join(sentence.split())


@pytest.mark.parametrize("reason", [*DROP_REASONS, MISTAKEN, OVERRUN, TX_LOST])
def test_every_drop_reason_has_a_row_with_its_meaning_and_what_to_do(reason: str) -> None:
    (row,) = re.findall(rf"^\| `{reason}` \|(.+?)\|(.+?)\|$", PAGES["operating.md"], re.MULTILINE)
    assert all(cell.strip() for cell in row)


def test_every_field_of_the_status_is_there() -> None:
    keys = keys_of_the_status()
    assert len(keys) > 60
    section = PAGES["operating.md"].split("## Status as JSON")[1].split("\n## ")[0]
    assert sorted(key for key in keys if f"`{key}`" not in section) == []


def test_every_exit_status_of_the_shell_is_there() -> None:
    statuses = (batch.DONE, batch.REFUSED, 2, 3, 4, 130)
    assert re.findall(r"^\| (\d+) \|", PAGES["automation.md"], re.MULTILINE) == [str(status) for status in statuses]


def test_the_limits_are_those_of_the_model() -> None:
    assert PAGES["limits.md"] == manualpages.written(PAGES["limits.md"]), "run: make manual"


def test_the_kinds_of_events_are_the_engines() -> None:
    assert PAGES["events.md"] == manualpages.events(PAGES["events.md"]), "run: make manual"


def test_every_field_of_an_event_is_there() -> None:
    event = Event(1, 1.0, 2.0, 2, "vip_announced", Severity.NOTICE, Subject("server", "a", "b", "c", "d"), "up", "se-1")
    section = PAGES["events.md"].split("## Fields")[1].split("\n## ")[0]
    assert [key for key in (*event.data(), *event.data()["object"]) if f"`{key}`" not in section] == []


@pytest.mark.parametrize("name", PAGES)
def test_no_sentence_is_long(name: str) -> None:
    assert [one for one in sentences(PAGES[name]) if len(one.split()) > LONGEST] == []


def test_a_long_sentence_would_be_found() -> None:
    text = "Short one. " + "word " * 36 + "\n\n| " + "cell " * 36 + "| b |\n\n```text\n" + "code " * 36 + "\n```\n"
    assert [len(one.split()) for one in sentences(text) if len(one.split()) > LONGEST] == [36, 36]
