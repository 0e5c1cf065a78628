"""A walk of the whole model: every field that can be typed is set, shown, and removed again, in its own mode."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.output import table
from avi_shell.output.render import transcript
from avi_shell.session.session import Session
from grammar import relations, schema
from grammar.fields import is_mode, one_token
from grammar.lexer import quote

from .test_properties import fresh

Place = tuple[str, tuple[str, ...], str]
"""A kind's segment, the fields that lead to a mode, and the message that is typed there."""

PORTS = {"src_port", "src_port_range_end", "dst_port_start", "dst_port_end"}
"""Ports that the model takes for any number, and a save does not."""
OPENING = {"debugvirtualservice": "debug virtualservice vs1"}


def places() -> Iterator[Place]:
    """Every mode of every kind, by the first path that leads there."""
    for kind in schema.kinds():
        seen = {kind.name}
        waiting: list[tuple[schema.Message, tuple[str, ...]]] = [(kind.root, ())]
        while waiting:
            message, words = waiting.pop(0)
            yield kind.segment, words, message.name
            for field in message.typable():
                inner = kind.message(field)
                if is_mode(kind, field) and inner is not None and inner.name not in seen:
                    seen.add(inner.name)
                    waiting.append((inner, (*words, field.name)))


def value(session: Session, kind: schema.Kind, field: schema.Field) -> str | None:
    """A typed value that the field takes; None where nothing exists that it could refer to."""
    token = one_token(kind, field)
    if token is not None:
        return "10.9.0.0/16" if "mask" in token.fields else "10.9.8.7"
    if field.type == "enum":
        return schema.enums()[field.enum or ""][-1].lower()
    if field.type in schema.INTEGERS:
        assert field.maximum is not None
        if field.name in PORTS:
            return "65535"
        return str(int(field.maximum))
    if field.type in ("float", "double"):
        return "1.5"
    if field.type == "ref":
        segment = next(s for s, name in schema.SEGMENTS.items() if name == field.ref)
        names = session.configuration.names(segment, "admin")
        return quote(names[0]) if names else None
    return quote("A='two words'" if field.name == "command_variables" else "two words")


def shown(session: Session) -> str:
    """What `where` prints."""
    result = session.run("where")
    assert result.ok, result.error
    return "\n".join(transcript(result, ""))


def setting(field: schema.Field, typed: str) -> str:
    """The line that sets a field."""
    return field.name if field.type == "bool" and not field.repeated else f"{field.name} {typed}"


def typed_fields(session: Session, kind: schema.Kind, message: schema.Message) -> list[tuple[schema.Field, str]]:
    """The fields of a mode that hold values, and a value for each."""
    found = []
    for field in message.typable():
        if not is_mode(kind, field) and field.name not in ("name", "uuid"):
            typed = value(session, kind, field)
            if typed is not None:
                found.append((field, typed))
    return found


def run(session: Session, *lines: str) -> None:
    """Type lines, none of which may be refused."""
    for line in lines:
        result = session.run(line)
        assert result.ok, (line, result.error)


@pytest.mark.parametrize("place", list(places()), ids=lambda place: ".".join((place[0], *place[1])))
def test_every_field_is_set_shown_and_removed(place: Place) -> None:
    """And what is only carried is refused by name."""
    segment, path, name = place
    session, kind = fresh(), schema.kind(segment)
    run(session, OPENING.get(segment, f"configure {segment} x"), *path)
    depth, message = len(session.mode), kind.messages[name]
    tried = typed_fields(session, kind, message)
    run(session, *(setting(*pair) for pair in tried))
    told = shown(session)
    assert not [field.name for field, _ in tried if f" {field.name}" not in told]
    run(session, *(f"no {field.name} {typed}" if field.repeated else f"no {field.name}" for field, typed in tried))
    left = shown(session).upper().splitlines()
    for field, typed in tried:
        if field.type != "bool" and field.default is None:
            rows = [row for row in left if f" {field.name.upper()} " in row]
            assert not [row for row in rows if typed.strip('"').upper() in row], field.name
    for field in message.fields.values():
        if field.scope == "carried":
            refused = session.run(f"{field.name} x").error
            assert f"'{field.name}' is kept through import and export, but is not typed" in str(refused)
    assert len(session.mode) == depth
    assert tried or all(is_mode(kind, f) or f.type == "ref" for f in message.typable())


def fill(session: Session, kind: schema.Kind, message: schema.Message, apart: str = "") -> None:
    """Set what a mode needs, but for one field that is entered next."""
    for field in message.typable():
        if not field.required or field.name in ("name", apart) or field.default is not None:
            continue
        if field.name == "type" and apart in relations.ALTERNATIVES.get(message.name, {}):
            continue  # entering the alternative sets it
        inner = kind.message(field)
        if inner is not None and is_mode(kind, field):
            run(session, field.name)
            fill(session, kind, inner)
            run(session, "exit")
        elif (typed := value(session, kind, field)) is not None:
            run(session, setting(field, typed))


def along(document: Any, path: tuple[str, ...]) -> Any:
    """The message of a document that a path leads to, by the first element of each list."""
    for word in path:
        document = document[word][0] if isinstance(document[word], list) else document[word]
    return document


@pytest.mark.parametrize("segment", schema.SEGMENTS)
def test_every_field_is_stored_exported_and_imported(segment: str) -> None:
    """One object for each mode, in which every field of that mode is set; what is only carried is imported."""
    session, kind = fresh(), schema.kind(segment)
    made: list[tuple[str, Place]] = []
    for place in places():
        if place[0] != segment or place[1][:1] == ("vip",) and segment == "virtualservice":
            continue  # an import makes a VsVip of a virtual service's own VIPs, which has these fields
        called = "vs1" if segment == "debugvirtualservice" else f"x{len(made)}"
        run(session, OPENING.get(segment, f"configure {segment} {called}"))
        message = kind.root
        for word in place[1]:
            fill(session, kind, message, word)
            run(session, word)
            message = kind.messages[message.fields[word].message or ""]
        tried = typed_fields(session, kind, message)
        run(session, *(setting(*pair) for pair in tried))
        fill(session, kind, message)
        run(session, *["exit"] * (len(session.mode) - 1))
        result = session.run("save")
        assert result.ok, (place, result.error)
        stored = along(result.data, place[1])
        rows = "\n".join(text for _, text in table.message_rows(kind, message, stored)).upper()
        assert not [field.name for field, typed in tried if field.name not in stored]
        texts = [typed.strip('"').upper() for field, typed in tried if field.type != "bool"]
        assert not [text for text in texts if text not in rows]
        made.append((called, place))
    exported = transfer.export(session.configuration)
    for called, place in made:
        document = next(one for one in exported[kind.name] if one["name"] == called)
        for field in kind.messages[place[2]].fields.values():
            if field.scope == "carried":
                held: Any = {"a": {"b": [1, None]}} if field.type == "message" else "/api/other/?name=n"
                along(document, place[1])[field.name] = [held] if field.repeated else held
    again = Configuration.in_memory()
    transfer.import_(again, json.loads(transfer.dumps(exported)), keep_uuid=True)
    assert transfer.export(again) == exported


def test_the_walk_meets_every_field() -> None:
    met = {
        f"{name}.{field.name}": field.scope
        for segment, _, name in places()
        for field in schema.kind(segment).messages[name].fields.values()
    }
    scopes = Counter(met.values())
    assert scopes["carried"] == 131
    assert scopes["stored"] == 369 - 1, "all but the version of what is hidden"
