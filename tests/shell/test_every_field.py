"""A walk of the whole model: every field that can be typed is set, shown, and removed again, in its own mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from avi_shell.fronts.batch import transcript
from avi_shell.session.session import Session
from grammar import schema
from grammar.fields import is_mode, one_token
from grammar.lexer import quote

from .test_properties import fresh

Place = tuple[str, tuple[str, ...], str]
"""A kind's segment, the fields that lead to a mode, and the message that is typed there."""

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
        return str(int(field.maximum))
    if field.type in ("float", "double"):
        return "1.5"
    if field.type == "ref":
        segment = next(s for s, name in schema.SEGMENTS.items() if name == field.ref)
        names = session.configuration.names(segment, "admin")
        return quote(names[0]) if names else None
    return quote("two words")


def shown(session: Session) -> str:
    """What `where` prints."""
    result = session.run("where")
    assert result.ok, result.error
    return "\n".join(transcript(result, ""))


@pytest.mark.parametrize("place", list(places()), ids=lambda place: ".".join((place[0], *place[1])))
def test_every_field_is_set_shown_and_removed(place: Place) -> None:
    segment, path, name = place
    session, kind = fresh(), schema.kind(segment)
    for text in (OPENING.get(segment, f"configure {segment} x"), *path):
        result = session.run(text)
        assert result.ok, (text, result.error)
    depth = len(session.mode)
    tried = 0
    for field in kind.messages[name].typable():
        if is_mode(kind, field) or field.name in ("name", "uuid"):
            continue
        typed = value(session, kind, field)
        if typed is None:
            continue
        tried += 1
        words = field.name if field.type == "bool" and not field.repeated else f"{field.name} {typed}"
        result = session.run(words)
        assert result.ok, (words, result.error)
        assert f" {field.name}" in shown(session), words
        clearing = f"no {field.name} {typed}" if field.repeated else f"no {field.name}"
        result = session.run(clearing)
        assert result.ok, (clearing, result.error)
        left = [row for row in shown(session).splitlines() if f" {field.name} " in row]
        if field.type != "bool" and field.default is None:
            assert not [row for row in left if typed.strip('"').upper() in row.upper()], clearing
        assert len(session.mode) == depth
    assert tried or all(is_mode(kind, f) or f.type == "ref" for f in kind.messages[name].typable())
