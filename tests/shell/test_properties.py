"""Properties of the session: no line ends in a traceback or changes anything when refused; `cancel` restores; one save
a level and the appliance's short style store the same."""

import copy
import sqlite3
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.store import Store
from avi_shell.session.session import Session
from grammar import relations, schema, tree
from grammar.fields import is_mode, one_token
from grammar.lexer import quote
from tests.examples import examples

from .conftest import VIRTUAL_SERVICE


def fresh() -> Session:
    """A session on a copy of the store with a virtual service."""
    store = Store.in_memory()
    prepared().backup(store.connection)
    return Session(Configuration(store), Path("/nonexistent/avi-shell"))


@cache
def prepared() -> sqlite3.Connection:
    """A store in which it was typed: to do that for each example takes longer than all that follows."""
    store = Store.in_memory()
    session = Session(Configuration(store), Path("/nonexistent/avi-shell"))
    for text in VIRTUAL_SERVICE.splitlines():
        result = session.run(text)
        assert result.ok, (text, result.error)
    return store.connection


# Token soup


def vocabulary() -> list[str]:
    names = {node.word for node in tree.verb_help().values()}
    names |= {inner.word for node in tree.verb_help().values() for inner in node.next if inner.slot is None}
    for kind in schema.kinds():
        names |= {field.name for message in kind.messages.values() for field in message.typable()}
    names -= {"export", "import", "<name>", ""}  # files are another test's
    return sorted(names)


VALUES = ["p1", "vs1", "v1", "dsr", "new", "1", "80", "99999", "10.1.1.10", "10.0.0.0/8", "dsr_type_l2", "index", "no"]
VALUES += [
    "--",
    "END",
    "|",
    "grep",
    "count",
    "json",
    '"',
    '"two words"',
    "#",
    "true",
    "file:/nonexistent",
    "file:~nosuch/x",
    "[a:b]: >",
]
VALUES += ["System-TCP", "admin", "lb_algorithm_random", "detail", "server", "tenant", "*", "\x00", "\ud800", "é", "𝟙"]
tokens = st.sampled_from(vocabulary()) | st.sampled_from(VALUES) | st.text(max_size=5)
sensible = st.sampled_from(
    ["save", "exit", "cancel", "servers", "profile", "configure pool p1", "configure virtualservice vs1", "where"]
    + ["configure networkprofile dsr", "tcp_fast_path_profile", "show", "show diff", "do show pool", "delete pool p1"]
    + ["debug virtualservice vs1", "services port 80", "no services port 80", "description --", "switchto tenant *"]
)
soups = st.lists(sensible | st.lists(tokens, max_size=7).map(" ".join), max_size=12)


def condition(session: Session) -> Any:
    """Everything that a refused line must leave as it was."""
    opened = session.open
    return copy.deepcopy(
        (
            session.prompt,
            session.tenant,
            session.settings,
            session.collecting,
            session.configuration.version(),
            None if opened is None else (opened.document, opened.path, opened.stored, opened.name),
        )
    )


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(soups)
def test_no_line_ends_in_a_traceback_and_a_refused_one_changes_nothing(lines: list[str]) -> None:
    session = fresh()
    for text in lines:
        before = condition(session)
        result = session.run(text)
        assert result.mode == session.mode
        assert (result.error is None) == result.ok
        if not result.ok:
            assert result.parts == []
            assert condition(session) == before
        session.offer(text)


@settings(max_examples=examples(70), deadline=None)
@given(
    st.lists(tokens, max_size=6).map(" ".join), st.sampled_from(["", "configure pool p1", "debug virtualservice vs1"])
)
def test_completion_never_fails(session: Session, text: str, opening: str) -> None:
    if opening:
        session.run(opening)
    offer = session.offer(text)
    assert len(offer.listing()) >= len(offer.candidates)


@pytest.fixture(scope="module")
def session() -> Session:
    return fresh()


# Random objects

texts = st.text(string.ascii_letters + string.digits + ' "\\#-', min_size=1, max_size=10).filter(str.strip)
counted = st.integers(1, 250)


@st.composite
def values(draw: st.DrawFn, kind: schema.Kind, field: schema.Field) -> str:
    """A typed value that the field takes."""
    token = one_token(kind, field)
    if token is not None:
        address = f"10.{draw(counted)}.{draw(counted)}.{draw(counted)}"
        return f"10.{draw(counted)}.0.0/16" if "mask" in token.fields else address
    if field.type == "enum":
        return draw(st.sampled_from(schema.enums()[field.enum or ""])).lower()
    if field.type in schema.INTEGERS:
        assert field.minimum is not None
        assert field.maximum is not None
        low = max(int(field.minimum), 0)
        return str(draw(st.integers(low, min(int(field.maximum), low + 50))))
    return quote(draw(texts))


OBJECTS = {
    "networkprofile": {"profile"},
    "tenant": {"config_settings"},
    "vrfcontext": {"internal_gateway_monitor", "bfd_profile", "bgp_profile", "gateway_mon", "static_routes"},
    "debugvirtualservice": {"capture_params", "capture_filters", "latency_audit_filters", "debug_ip", "flags"},
    "cloud": {"linuxserver_configuration"},
}
"""Kinds of random objects, and the messages of theirs that are entered; deeper, all are."""

LEFT_OUT = {"name", "type", "vtype", "uuid", "tenant_ref", "cloud_ref", "community", "subnet", "subnet6", "peer_ip6"}


@st.composite
def bodies(draw: st.DrawFn, kind: schema.Kind, message: schema.Message, depth: int) -> list[Any]:
    """What is typed in a mode: texts of fields, and (line, body) for modes entered in between."""
    fields = [f for f in message.typable() if f.name not in LEFT_OUT and f.type != "ref"]
    if depth == 0:
        fields = [f for f in fields if not is_mode(kind, f) or f.name in OBJECTS[kind.segment]]
    required = [f for f in fields if f.required and depth > 0 and message.name not in relations.ALTERNATIVES]
    some = draw(st.lists(st.sampled_from(fields), max_size=5, unique_by=lambda f: f.name)) if fields else []
    chosen = required + [f for f in some if f not in required]
    body: list[Any] = []
    for field in chosen:
        if is_mode(kind, field):
            inner = kind.message(field)
            assert inner is not None
            body.append((field.name, draw(bodies(kind, inner, depth + 1))))
        elif field.type == "bool":
            body.append(draw(st.sampled_from([field.name, f"no {field.name}"])))
        else:
            body.append(f"{field.name} {draw(values(kind, field))}")
    return body


@st.composite
def objects(draw: st.DrawFn) -> tuple[str, list[Any]]:
    segment = draw(st.sampled_from(sorted(OBJECTS)))
    kind = schema.kind(segment)
    return segment, draw(bodies(kind, kind.root, 0))


def one_a_level(body: list[Any], leaving: str) -> Iterator[str]:
    """Typed by somebody who leaves every mode that he entered, whatever the prompt says."""
    for item in body:
        if isinstance(item, str):
            yield item
        else:
            yield item[0]
            yield from one_a_level(item[1], leaving)
            yield leaving


def in_short_style(session: Session, body: list[Any], path: list[str]) -> Iterator[str]:
    """Typed by somebody who reads the prompt: saves only while the mode is open, enters again what was closed."""
    for item in body:
        yield from (name for name in path[len(session.mode) - 1 :])
        if isinstance(item, str):
            yield item
            continue
        yield item[0]
        yield from in_short_style(session, item[1], [*path, item[0]])
        if len(session.mode) > len(path) + 1:
            yield "save"


def opening(segment: str) -> str:
    return "debug virtualservice vs1" if segment == "debugvirtualservice" else f"configure {segment} x"


def outcome(session: Session, segment: str) -> Any:
    stored = session.configuration.find(segment, "vs1" if segment == "debugvirtualservice" else "x", "admin")
    return {name: value for name, value in (stored or {}).items() if name not in ("uuid", "_last_modified")}


@settings(
    max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(objects())
def test_both_styles_of_saving_store_the_same(made: tuple[str, list[Any]]) -> None:
    segment, body = made
    short = fresh()
    short.run(opening(segment))
    taken = all(short.run(text).ok for text in in_short_style(short, body, []))
    assume(taken and short.run("save").ok and short.open is None)
    long = fresh()
    long.run(opening(segment))
    for text in [*one_a_level(body, "save"), "save", "save"]:
        result = long.run(text)
        assert result.ok or text == "save", (text, result.error)
    assert long.mode == []
    assert outcome(long, segment) == outcome(short, segment)


def leave(session: Session, text: str) -> None:
    """Run a line; an element that may not be kept as it is, is dropped."""
    if not session.run(text).ok and text == "exit":
        session.run("cancel")


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(objects(), st.data())
def test_cancel_restores(made: tuple[str, list[Any]], data: st.DataObject) -> None:
    """Whatever is typed in a sub-mode and those below it, `cancel` leaves the object as it was before."""
    segment, body = made
    session = fresh()
    session.run(opening(segment))
    for text in in_short_style(session, body, []):
        session.run(text)
    while len(session.mode) > 1:
        leave(session, "exit")
    assert session.open is not None
    modes = [f for f in session.open.kind.root.typable() if is_mode(session.open.kind, f)]
    assume(modes)
    before = copy.deepcopy(session.open.document)
    entered = data.draw(st.sampled_from(modes))
    inner = session.open.kind.message(entered)
    assert inner is not None
    session.run(entered.name)
    assert session.mode == [segment, entered.name]
    for text in one_a_level(
        data.draw(bodies(session.open.kind, inner, 1)), data.draw(st.sampled_from(["exit", "cancel"]))
    ):
        leave(session, text)
    assert session.mode == [segment, entered.name]
    session.run("cancel")
    assert session.open.document == before
    session.run("cancel")
    assert session.mode == []
