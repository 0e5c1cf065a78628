"""The object model as data: field by field what the appliance's is, and told about in words.

`object-model.json` holds the facts of release 30.2.1 as they were gathered, arranged otherwise than `grammar/model`.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration import defaults, document
from grammar import schema

REFERENCE = json.loads((Path(__file__).parent / "object-model.json").read_text())
OURS = {"help", "no_effect"}
"""What the model here says beside the facts."""


def written() -> dict[str, Any]:
    """Every message of the data files."""
    found: dict[str, Any] = {}
    for name in (*schema.SEGMENTS, "common"):
        data = json.loads((resources.files("grammar") / "model" / f"{name}.json").read_text())
        assert not found.keys() & data["messages"].keys()
        found.update(data["messages"])
    return found


WRITTEN = written()


def test_the_kinds() -> None:
    for segment, name in schema.SEGMENTS.items():
        facts = REFERENCE["kinds"][name]
        kind = schema.kind(segment)
        assert (kind.name, kind.segment) == (name, facts["cli_prompt_segment"])
        assert facts["cli_configure"].split()[0] == kind.verb
    assert set(schema.SEGMENTS.values()) == set(REFERENCE["kinds"])


def test_the_enumerations() -> None:
    assert {name: list(values) for name, values in schema.enums().items()} == REFERENCE["enums"]


def test_no_message_is_missing() -> None:
    assert WRITTEN.keys() == REFERENCE["messages"].keys()


@pytest.mark.parametrize("name", sorted(REFERENCE["messages"]))
def test_every_fact_of_every_field(name: str) -> None:
    ours, theirs = WRITTEN[name], REFERENCE["messages"][name]
    assert {k: v for k, v in ours.items() if k != "fields"} == {k: v for k, v in theirs.items() if k != "fields"}
    facts = {f: {k: v for k, v in body.items() if k not in OURS} for f, body in ours["fields"].items()}
    assert facts == theirs["fields"]


@pytest.mark.parametrize("segment", schema.SEGMENTS)
def test_every_kind_and_every_field_that_is_typed_is_explained(segment: str) -> None:
    kind = schema.kind(segment)
    assert kind.help
    assert "\n" not in kind.help
    for message in kind.messages.values():
        for field in message.typable():
            assert field.help, f"{message.name}.{field.name}"
            assert 10 <= len(field.help) <= 150, f"{message.name}.{field.name}: {field.help}"
            assert field.help.isprintable()
            assert not field.help.endswith("."), f"{message.name}.{field.name}"


def test_fields_stay_one_a_line() -> None:
    for name in (*schema.SEGMENTS, "common"):
        text = (resources.files("grammar") / "model" / f"{name}.json").read_text()
        lines = [line for line in text.splitlines() if '"order":' in line]
        assert len(lines) == text.count('"order":')


def test_default_objects_are_right_by_themselves_and_known() -> None:
    for segment, objects in defaults.objects().items():
        kind = schema.kind(segment)
        for new in objects:
            assert set(new) <= set(kind.root.fields), f"{segment} {new['name']}"
            complete = document.with_defaults(kind, new)
            assert all(complete[name] == value for name, value in new.items() if not isinstance(value, dict))
