"""Leaf values: every type's accepted and refused words, and the positions of what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar import schema, values
from grammar.errors import AmbiguousWord, BadValue, LineError
from grammar.fields import is_mode, one_token, value_of
from grammar.lexer import Word

V4 = {"addr": "10.1.1.1", "type": "V4"}
V6 = {"addr": "fe80::1", "type": "V6"}


def field(kind: str, path: str) -> tuple[schema.Kind, schema.Field]:
    message, name = path.split(".")
    model = schema.kind(kind)
    return model, model.messages[message].fields[name]


def read(kind: str, path: str, text: str) -> Any:
    model, wanted = field(kind, path)
    return value_of(model, wanted, Word(text, 4))


IDLE = ("networkprofile", "TCPFastPathProfile.session_idle_timeout")
TYPE = ("networkprofile", "DsrProfile.dsr_type")
IP = ("pool", "Server.ip")
PREFIX = ("vrfcontext", "StaticRoute.prefix")
FACTOR = ("serviceenginegroup", "ServiceEngineGroup.extra_config_multiplier")


@pytest.mark.parametrize(
    ("where", "text", "value"),
    [
        (IDLE, "5", 5),
        (IDLE, "14400", 14400),
        (IDLE, "0", 0),
        (IDLE, "+60", 60),
        (("pool", "Pool.graceful_disable_timeout"), "-1", -1),
        (TYPE, "dsr_type_l2", "DSR_TYPE_L2"),
        (TYPE, "DSR_TYPE_L3", "DSR_TYPE_L3"),
        (TYPE, "Dsr_Type_L3", "DSR_TYPE_L3"),
        (("pool", "Pool.lb_algorithm"), "lb_algorithm_cons", "LB_ALGORITHM_CONSISTENT_HASH"),
        (
            ("pool", "Pool.lb_algorithm_hash"),
            "lb_algorithm_consistent_hash_source_ip_address",
            "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS",
        ),
        (IP, "10.1.1.1", V4),
        (IP, "fe80::1", V6),
        (IP, "FE80:0::1", V6),
        (PREFIX, "10.1.1.1/24", {"ip_addr": V4, "mask": 24}),
        (PREFIX, "fe80::1/128", {"ip_addr": V6, "mask": 128}),
        (PREFIX, "10.1.1.1/0", {"ip_addr": V4, "mask": 0}),
        (FACTOR, "1.5", 1.5),
        (FACTOR, "2", 2.0),
        (FACTOR, "-1e3", -1000.0),
        (("pool", "Pool.enabled"), "true", True),
        (("pool", "Pool.enabled"), "FALSE", False),
        (("pool", "Pool.description"), "any text", "any text"),
        (("pool", "Pool.description"), "", ""),
        (("pool", "Pool.vrf_ref"), "global", "global"),
    ],
)
def test_accepted(where: tuple[str, str], text: str, value: Any) -> None:
    assert read(*where, text) == value


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (IDLE, "4"),
        (IDLE, "14401"),
        (IDLE, "-1"),
        (IDLE, "x"),
        (IDLE, "5x"),
        (IDLE, "5.0"),
        (IDLE, ""),
        (IDLE, "１"),
        (IDLE, "9" * 5000),
        (TYPE, "l2"),
        (TYPE, ""),
        (IP, "10.1.1.256"),
        (IP, "10.1.1"),
        (IP, "010.1.1.1"),
        (IP, "10.1.1.1/24"),
        (IP, "server.example"),
        (IP, "fe80::g"),
        (IP, "::%eth0"),
        (PREFIX, "10.1.1.1"),
        (PREFIX, "10.1.1.1/"),
        (PREFIX, "10.1.1.1/33"),
        (PREFIX, "10.1.1.1/-1"),
        (PREFIX, "10.1.1.1/8/8"),
        (PREFIX, "fe80::/129"),
        (FACTOR, "inf"),
        (FACTOR, "1e999"),
        (FACTOR, "nan"),
        (("pool", "Pool.enabled"), "yes"),
    ],
)
def test_refused(where: tuple[str, str], text: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(*where, text)
    assert caught.value.column == 4
    assert caught.value.word == text
    assert caught.value.expected
    assert caught.value.path == where[1].split(".")[1]


def test_an_ambiguous_enumeration_value_lists_the_candidates() -> None:
    with pytest.raises(AmbiguousWord) as caught:
        read(*TYPE, "dsr")
    assert caught.value.expected == ("dsr_type_l2", "dsr_type_l3")


def test_a_mistyped_enumeration_value_tells_the_nearest() -> None:
    with pytest.raises(BadValue) as caught:
        read(*TYPE, "drs_type_l2")
    assert caught.value.nearest[0] == "dsr_type_l2"


@pytest.mark.parametrize(
    ("where", "form"),
    [
        (IDLE, "<5-14400> sec, 0 = infinite"),
        (IP, "<x.x.x.x>"),
        (PREFIX, "<x.x.x.x/n>"),
        (TYPE, "dsr_type_l2|dsr_type_l3"),
        (("pool", "Pool.vrf_ref"), "<name>"),
        (("pool", "Pool.description"), "<text>"),
        (("networkprofile", "TCPProxyProfile.ip_dscp"), "<up to 63>"),
        (("pool", "Pool.max_concurrent_connections_per_server"), "<integer>"),
        (FACTOR, "<number>"),
    ],
)
def test_forms(where: tuple[str, str], form: str) -> None:
    model, wanted = field(*where)
    assert values.form(wanted, one_token(model, wanted)) == form


SCALARS = [
    (model, wanted)
    for model in schema.kinds()
    for message in model.messages.values()
    for wanted in message.typable()
    if not is_mode(model, wanted)
]


@given(st.sampled_from(SCALARS), st.text(max_size=20) | st.integers().map(str) | st.ip_addresses().map(str))
def test_any_word_is_a_value_or_refused_with_the_form(where: tuple[schema.Kind, schema.Field], text: str) -> None:
    model, wanted = where
    value: Any = None
    fault: LineError | None = None
    try:
        value = value_of(model, wanted, Word(text, 0))
    except LineError as exc:
        fault = exc
    if fault is not None:
        assert fault.expected
        return
    if wanted.type in schema.INTEGERS:
        assert wanted.minimum is not None
        assert wanted.maximum is not None
        assert wanted.minimum <= value <= wanted.maximum or value in wanted.special
    if wanted.type == "enum":
        assert value in schema.enums()[wanted.enum or ""]
