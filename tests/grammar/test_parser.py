"""A line against a mode: actions, abbreviations, and what is refused where."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar import schema
from grammar.actions import Action
from grammar.errors import AmbiguousWord, BadValue, IncompleteLine, LineError, UnknownWord
from grammar.lexer import Word, split
from grammar.parser import parse


def ip(text: str) -> dict[str, str]:
    return {"addr": text, "type": "V4"}


def told(kind: str, text: str, message: str = "") -> list[tuple[Any, ...]]:
    """A line's actions as (verb, field, value)."""
    model = schema.kind(kind)
    actions = parse(model, model.messages[message] if message else model.root, split(text))
    facts = ("value", "key", "index")
    return [
        (type(a).__name__, a.field.name, *(getattr(a, fact) for fact in facts if hasattr(a, fact))) for a in actions
    ]


CASES: list[tuple[str, str, list[tuple[Any, ...]]]] = [
    ("pool", "", []),
    ("pool", "default_server_port 81", [("Set", "default_server_port", 81)]),
    ("pool", "defau 81 desc x", [("Set", "default_server_port", 81), ("Set", "description", "x")]),
    ("pool", "enabled", [("Set", "enabled", True)]),
    ("pool", "enabled false", [("Set", "enabled", False)]),
    ("pool", "no enabled", [("Clear", "enabled")]),
    ("pool", "enabled description x", [("Set", "enabled", True), ("Set", "description", "x")]),
    (
        "pool",
        "health_monitor_refs a health b",
        [("Append", "health_monitor_refs", "a"), ("Append", "health_monitor_refs", "b")],
    ),
    ("pool", "no health_monitor_refs a", [("Discard", "health_monitor_refs", "a")]),
    ("pool", "no health_monitor_refs", [("Clear", "health_monitor_refs")]),
    ("pool", "no description no enabled", [("Clear", "description"), ("Clear", "enabled")]),
    ("pool", "servers", [("Element", "servers", {})]),
    ("pool", "servers ratio 2", [("Element", "servers", {}), ("Set", "ratio", 2)]),
    (
        "pool",
        "servers ip 10.1.1.1 ratio 2 port 80 no enabled",
        [
            ("Element", "servers", {"ip": ip("10.1.1.1"), "port": 80}),
            ("Set", "ratio", 2),
            ("Clear", "enabled"),
        ],
    ),
    ("pool", "servers 10.1.1.1", [("Element", "servers", {"ip": ip("10.1.1.1"), "port": None})]),
    ("pool", "servers index 2 ratio 3", [("ElementAt", "servers", 2), ("Set", "ratio", 3)]),
    ("pool", "no servers", [("Clear", "servers")]),
    ("pool", "no servers index 2", [("RemoveAt", "servers", 2)]),
    ("virtualservice", "l4_policies index 2", [("Element", "l4_policies", {"index": 2})]),
    ("virtualservice", "no l4_policies index 2", [("Remove", "l4_policies", {"index": 2})]),
    ("pool", "no servers ip 10.1.1.1 port 80", [("Remove", "servers", {"ip": ip("10.1.1.1"), "port": 80})]),
    (
        "pool",
        "no servers 10.1.1.1 enabled",
        [("Remove", "servers", {"ip": ip("10.1.1.1")}), ("Set", "enabled", True)],
    ),
    ("pool", "description --", [("Lines", "description")]),
    ("pool", 'description "--"', [("Set", "description", "--")]),
    ("pool", "description file:/tmp/x", [("FromFile", "description", "/tmp/x")]),
    ("pool", 'description "file:/tmp/x"', [("Set", "description", "file:/tmp/x")]),
    (
        "networkprofile",
        "profile tcp_fast_path_profile dsr_profile dsr_type dsr_type_l2",
        [
            ("Enter", "profile"),
            ("Enter", "tcp_fast_path_profile"),
            ("Enter", "dsr_profile"),
            ("Set", "dsr_type", "DSR_TYPE_L2"),
        ],
    ),
    ("vrfcontext", "gateway_mon 10.1.1.1", [("Element", "gateway_mon", {"gateway_ip": ip("10.1.1.1")})]),
    (
        "vrfcontext",
        "bgp_profile ibgp local_as 65000",
        [("Enter", "bgp_profile"), ("Set", "ibgp", True), ("Set", "local_as", 65000)],
    ),
    (
        "vrfcontext",
        "static_routes route_id 7 prefix 10.0.0.0/8",
        [
            ("Element", "static_routes", {"route_id": "7"}),
            ("Set", "prefix", {"ip_addr": ip("10.0.0.0"), "mask": 8}),
        ],
    ),
    (
        "vrfcontext",
        "static_routes prefix 10.0.0.0/8",
        [("Element", "static_routes", {"prefix": {"ip_addr": ip("10.0.0.0"), "mask": 8}})],
    ),
    ("virtualservice", "services 80", [("Element", "services", {"port": 80})]),
    ("virtualservice", "snat_ip 10.1.1.1", [("Append", "snat_ip", ip("10.1.1.1"))]),
    ("virtualservice", "no snat_ip 10.1.1.1", [("Discard", "snat_ip", ip("10.1.1.1"))]),
    ("virtualservice", "vip 10.1.1.1", [("Element", "vip", {"ip_address": ip("10.1.1.1")})]),
    ("debugvirtualservice", "no flags index 1", [("RemoveAt", "flags", 1)]),
]


@pytest.mark.parametrize(("kind", "text", "actions"), CASES, ids=[f"{k}: {t}" for k, t, _ in CASES])
def test_actions(kind: str, text: str, actions: list[tuple[Any, ...]]) -> None:
    assert told(kind, text) == actions


@pytest.mark.parametrize(
    ("kind", "text", "error", "column"),
    [
        ("pool", "nonsense", UnknownWord, 0),
        ("pool", "enabled nonsense", UnknownWord, 8),
        ("pool", "lb_al x", AmbiguousWord, 0),
        ("pool", "default_server_port", IncompleteLine, 20),
        ("pool", "no", IncompleteLine, 3),
        ("pool", "servers index", IncompleteLine, 14),
        ("pool", "servers index 0", BadValue, 14),
        ("pool", "servers ip 10.1.1.x port 80", BadValue, 11),
        ("pool", "servers 10.1.1.300", BadValue, 8),
        ("pool", "no servers ratio 2", UnknownWord, 11),
        ("pool", "no servers ip", IncompleteLine, 14),
        ("pool", "uuid x", UnknownWord, 0),
        ("pool", "horizon_profile", UnknownWord, 0),
        ("pool", "lb_algorithm lb_algorithm_c", AmbiguousWord, 13),
        ("networkprofile", "dsr_profile", UnknownWord, 0),
        ("debugvirtualservice", "no flags flag x", UnknownWord, 9),
    ],
)
def test_refused(kind: str, text: str, error: type[LineError], column: int) -> None:
    with pytest.raises(error) as caught:
        told(kind, text)
    assert caught.value.column == column
    assert caught.value.what


def test_a_field_of_another_mode_is_told_where_it_lives() -> None:
    with pytest.raises(UnknownWord, match="it is a field of networkprofile profile tcp_fast_path_profile"):
        told("networkprofile", "dsr_profile")


def test_the_path_of_a_wrong_value_names_the_modes_entered() -> None:
    with pytest.raises(BadValue) as caught:
        told("networkprofile", "profile tcp_fast_path_profile session_idle_timeout 1")
    assert caught.value.path == "profile.tcp_fast_path_profile.session_idle_timeout"


MODES = [
    (kind, message)
    for kind in schema.kinds()
    for message in kind.messages.values()
    if any(True for _ in message.typable()) and not message.one_token
]


@st.composite
def soups(draw: st.DrawFn) -> tuple[schema.Kind, schema.Message, list[Word]]:
    """A mode and words that mostly mean something there."""
    kind, message = draw(st.sampled_from(MODES))
    names = [field.name for m in kind.messages.values() for field in m.typable()]
    plain = st.sampled_from([*names, "no", "index", "true", "--", "file:", "1", "80", "10.1.1.1", "10.0.0.0/8", "x"])
    texts = draw(st.lists(plain | st.text(max_size=6), max_size=8))
    words, column = [], 0
    for text in texts:
        words.append(Word(text, column))
        column += len(text) + 1
    return kind, message, words


@given(soups())
def test_any_words_are_actions_or_refused_with_facts(soup: tuple[schema.Kind, schema.Message, list[Word]]) -> None:
    kind, message, words = soup
    end = words[-1].column + len(words[-1].text) + 1 if words else 0
    actions: list[Action] = []
    fault: LineError | None = None
    try:
        actions = parse(kind, message, words)
    except LineError as exc:
        fault = exc
    assert len(actions) <= 2 * len(words)
    if fault is not None:
        assert fault.what
        assert 0 <= fault.column <= end


@pytest.mark.parametrize("text", ["services port 5353-5360", "services 5353-5360"])
def test_a_range_in_place_of_a_number_tells_the_field_of_its_end(text: str) -> None:
    with pytest.raises(BadValue) as caught:
        told("virtualservice", text)
    assert caught.value.what == "'5353-5360' is a range; type: port 5353 port_range_end 5360"
    assert told("virtualservice", "services port 5353 port_range_end 5360")[-1] == ("Set", "port_range_end", 5360)
    with pytest.raises(BadValue, match="is not an integer"):
        told("pool", "default_server_port 80-90")
