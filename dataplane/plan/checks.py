"""What a field of the plan may hold. A document is checked when it is read, whoever wrote it.

A plan that breaks a rule would end an engine, or its driver, later on. Here it is refused, and the error names the
field.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from dataplane.errors import PlanError
from dataplane.foreign.text import harmless
from dataplane.plan.model import (
    BY_ADDRESS,
    BY_ADDRESS_AND_PORT,
    FOR_EVER,
    MODES,
    MONITORS,
    SLOTS,
)

MOST_SERVERS = 32766
"""Servers of a pool: a table's slot holds the place of its owner in 15 bits."""
LONGEST_UUID = 60 - len("/255.255.255.255")
"""Bytes of a pool's uuid: the XDP program's maps hold 60 with the VIP that may follow (`forwarding.poolnames`)."""
LONGEST = 1 << 20
_U16, _U32, _U63 = 0xFFFF, 0xFFFFFFFF, (1 << 63) - 1
_SECONDS = 1 << 40
_WORD = range(_U32 + 1)


class Rule(NamedTuple):
    """What one field may hold."""

    types: frozenset[type]  # exactly these: True is no number
    words: str  # what is expected, for people
    valid: Callable[[Any], bool] = lambda value: True  # asked of a value of the right type

    def allows(self, value: Any) -> bool:
        """Whether a value may stand there."""
        return type(value) in self.types and self.valid(value)


def _integer(least: int, most: int) -> Rule:
    return Rule(frozenset({int}), f"a whole number from {least} to {most}", lambda value: least <= value <= most)


def _seconds(least: float) -> Rule:
    return Rule(frozenset({int, float}), "a number of seconds", lambda value: least <= value <= _SECONDS)


def _text(longest: int = LONGEST, *, least: int = 0) -> Rule:
    def valid(value: str) -> bool:
        try:
            return least <= len(value.encode()) <= longest
        except UnicodeEncodeError:
            return False

    return Rule(frozenset({str}), f"text of {least or 'at most'}{' to' * bool(least)} {longest} bytes", valid)


def _one_of(*words: str) -> Rule:
    return Rule(frozenset({str}), f"one of {', '.join(words)}", frozenset(words).__contains__)


def is_address(text: str) -> bool:
    """Whether a text is a dotted IPv4 address."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def are_addresses(texts: Sequence[str]) -> bool:
    """As `is_address`, of many."""
    try:
        deque(map(socket.inet_pton, repeat(socket.AF_INET), texts), 0)
    except (OSError, ValueError):
        return False
    return True


def _is_prime(number: int) -> bool:
    return number > 2 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def is_network(text: str) -> bool:
    """Whether a text is an IPv4 network: an address in it, and the length of its prefix."""
    address, _, length = text.partition("/")
    return is_address(address) and length.isdecimal() and len(length) < 3 and int(length) <= 32


def is_community(text: str) -> bool:
    """Whether a text is a community: two numbers of 16 bits (RFC 1997)."""
    parts = text.split(":")
    return len(parts) == 2 and all(p.isascii() and p.isdecimal() and len(p) < 6 and int(p) <= _U16 for p in parts)


def is_secret(text: str) -> bool:
    """Whether a text can be the secret of a BGP session: a key of TCP has 80 bytes (linux/tcp.h), and BIRD reads it
    between quotes."""
    return text.isascii() and text.isprintable() and '"' not in text and len(text) <= 80


_FLAG = Rule(frozenset({bool}), "true or false")
_ADDRESS = Rule(frozenset({str}), "a dotted IPv4 address", is_address)
_PORT, _ANY_PORT = _integer(1, _U16), _integer(0, _U16)
_COUNT = _integer(1, _U32)
_STATUS = _integer(100, 999)
_TABLE = Rule(
    frozenset({int}), f"a prime up to {SLOTS}", lambda value: value == SLOTS or (value < SLOTS and _is_prime(value))
)

SERVER: Mapping[str, Rule] = {
    "address": _ADDRESS,
    "port": _ANY_PORT,
    "weight": _integer(1, _U16),
    "enabled": _FLAG,
    "generation": _integer(0, _U32),
    "serve_until": _seconds(FOR_EVER),
}
MONITOR: Mapping[str, Rule] = {
    "name": _text(),
    "type": _one_of(*MONITORS),
    "send_interval": _COUNT,
    "receive_timeout": _COUNT,
    "successful_checks": _COUNT,
    "failed_checks": _COUNT,
    "port": _ANY_PORT,
    "quickstart": _FLAG,
    "request": _text(),
    "response": _text(),
    "maintenance": _text(),
    "half_open": _FLAG,
    "exact": _FLAG,
    "body": _text(),
    "response_size": _integer(0, _U32),
    "script": _text(),
    "parameters": _text(),
    "variables": _text(),
}
SERVICE: Mapping[str, Rule] = {
    "virtualservice": _text(),
    "uuid": _text(),
    "tenant": _text(),
    "vip": _ADDRESS,
    "protocol": _one_of("tcp", "udp"),
    "port": _PORT,
    "port_end": _PORT,
    "mode": _one_of(*MODES),
    "hash_key": _one_of(BY_ADDRESS, BY_ADDRESS_AND_PORT),
    "idle_timeout": _integer(0, _U32),
    "pool": _text(),
    "pool_uuid": _text(LONGEST_UUID, least=1),
    "slots": _TABLE,
    "seed": _integer(0, _U32),
    "group": _text(),
    "enabled": _FLAG,
    "pool_enabled": _FLAG,
    "advertise_down": _FLAG,
    "per_packet": _FLAG,
    "monitors_needed": _integer(0, _U32),
    "servers_needed": _integer(0, _U32),
    "pool_tenant": _text(),
    "tag": _integer(1, 2),
}
_AS, _TIMER = _integer(1, _U32), _integer(1, _U16)
SECRET = Rule(frozenset({str}), "text of at most 80 bytes in one line, without quotes", is_secret)
_COMMUNITY = Rule(frozenset({str}), "two numbers up to 65535, as 65000:100", is_community)
ROUTE: Mapping[str, Rule] = {
    "local_preference": Rule(
        frozenset({int, type(None)}), "a whole number, or null", lambda n: n is None or n in _WORD
    ),
    "prepend": _integer(0, 10),
}
PEER: Mapping[str, Rule] = {
    "address": _ADDRESS,
    "local_as": _AS,
    "remote_as": _AS,
    "subnet": Rule(frozenset({str}), "an IPv4 network, as 10.0.0.0/24", lambda text: not text or is_network(text)),
    "label": _text(),
    "secret": SECRET,
    "bfd": _FLAG,
    "advertise": _FLAG,
    "shutdown": _FLAG,
    "connect_timer": _TIMER,
    "keepalive": _TIMER,
    "hold_time": _integer(3, _U16),
    "multihop": _integer(0, 255),
}
BGP: Mapping[str, Rule] = {
    "local_as": _AS,
    "bfd_multiplier": _integer(1, 255),
    "bfd_transmit": _integer(10, _U32),
    "bfd_receive": _integer(10, _U32),
}
REDUNDANCY: Mapping[str, Rule] = {
    "mode": _one_of("HA_MODE_SHARED", "HA_MODE_SHARED_PAIR", "HA_MODE_LEGACY_ACTIVE_STANDBY"),
    "algorithm": _one_of("PLACEMENT_ALGO_PACKED", "PLACEMENT_ALGO_DISTRIBUTED"),
    "min_scaleout": _integer(1, _U16),
    "max_scaleout": _integer(1, _U16),
    "max_vips": _integer(1, _U16),
    "spare": _integer(0, _U16),
    "distributed": _FLAG,
    "redistributed": _FLAG,
    "drain": _seconds(0),
    "ready": _seconds(0),
    "heartbeat": _seconds(0),
    "heartbeats": _integer(1, _U16),
    "with_peers": _FLAG,
    "checked": _FLAG,
}
_VERSION = _integer(-1, _U63)
_STATES = ("SE_STATE_DISABLED_FOR_PLACEMENT", "SE_STATE_DISABLED", "SE_STATE_DISABLED_FORCE")
_GROUPS = {
    "drivers": _integer(0, 100), "pmds": _integer(0, 100), "workers": _integer(0, _U32), "queues": _integer(0, _U32),
    "engines": _text(), "announcing": _seconds(0), "disabled": _one_of(*_STATES)
}  # fmt: skip


def check(rules: Mapping[str, Rule], body: Mapping[str, Any], place: str) -> None:
    """The fields of a document that are there. place: the document's, for people. Raises PlanError."""
    for name, value in body.items():
        rule = rules.get(name)
        if rule is not None and not rule.allows(value):
            shown = "a secret that cannot be" if rule is SECRET else _shown(value)
            raise PlanError(f"{place}{name} is {shown}, expected {rule.words}")


def columns(values: Mapping[str, Sequence[Any]]) -> None:
    """As `check`, for the same fields of many servers at once: a value that many of them have is looked at once. Raises
    PlanError."""
    for name, column in values.items():
        rule = SERVER[name]
        if set(map(type, column)) <= rule.types and (
            are_addresses(column) if rule is _ADDRESS else all(map(rule.valid, set(column)))
        ):
            continue
        at = next(at for at, value in enumerate(column) if not rule.allows(value))
        raise PlanError(f"servers[{at}].{name} is {_shown(column[at])}, expected {rule.words}")


def version(value: Any) -> int:
    """A commit's number. Raises PlanError."""
    if not _VERSION.allows(value):
        raise PlanError(f"version is {_shown(value)}, expected {_VERSION.words}")
    return int(value)


def listed(value: Any, place: str, kind: type = list) -> Any:
    """A list (of objects, an object: what is asked for). Raises PlanError."""
    if type(value) is not kind:
        words = "a list" if kind is list else "an object"
        raise PlanError(f"{place} is {_shown(value)}, expected {words}")
    return value


def objects(value: Any, place: str) -> Iterable[dict[str, Any]]:
    """A list of objects. Raises PlanError."""
    return [listed(one, f"{place}[{at}]", dict) for at, one in enumerate(listed(value, place))]


def each(rule: Rule, value: Any, place: str) -> tuple[Any, ...]:
    """A list whose elements keep a rule. Raises PlanError."""
    for at, one in enumerate(listed(value, place)):
        if not rule.allows(one):
            raise PlanError(f"{place}[{at}] is {_shown(one)}, expected {rule.words}")
    return tuple(value)


def statuses(value: Any, place: str) -> tuple[int, ...]:
    """HTTP statuses. Raises PlanError."""
    return each(_STATUS, value, place)


def texts(value: Any, place: str) -> tuple[str, ...]:
    """Words. Raises PlanError."""
    return each(_text(), value, place)


def communities(value: Any, place: str) -> tuple[str, ...]:
    """Communities of a route. Raises PlanError."""
    return each(_COMMUNITY, value, place)


def former(body: Mapping[str, Any], place: str) -> None:
    """The servers of an earlier time: address, weight, generation each. Raises PlanError."""
    rules = [SERVER[name] for name in ("address", "weight", "generation")]
    if not _seconds(0).allows(body.get("until")):
        raise PlanError(f"{place}.until is {_shown(body.get('until'))}, expected a number of seconds")
    for at, one in enumerate(listed(body.get("servers"), f"{place}.servers")):
        if len(listed(one, f"{place}.servers[{at}]")) != len(rules):
            raise PlanError(f"{place}.servers[{at}] has {len(one)} values, expected {len(rules)}")
        for rule, value in zip(rules, one, strict=True):
            if not rule.allows(value):
                raise PlanError(f"{place}.servers[{at}] has {_shown(value)}, expected {rule.words}")


def common(body: Any) -> None:
    """What the engines share: names of groups and engines to values. Raises PlanError."""
    listed(body, "what the engines share", dict)
    for name in ("bgp", "redundancy"):
        listed(body.get(name, {}), name, dict)
    for name, rule in _GROUPS.items():
        for key, value in listed(body.get(name, {}), name, dict).items():
            if not rule.allows(value):
                raise PlanError(f"{name}.{harmless(key, 60)} is {_shown(value)}, expected {rule.words}")


def whole(body: Mapping[str, Any], servers: Sequence[str]) -> None:
    """What fields of a service must be together. servers: their addresses. Raises PlanError."""
    if body["port"] > body["port_end"]:
        raise PlanError(f"port_end is {body['port_end']}, expected at least port, {body['port']}")
    if len(servers) > MOST_SERVERS:
        raise PlanError(f"servers has {len(servers)} elements, expected at most {MOST_SERVERS}")
    if len(set(servers)) != len(servers):
        raise PlanError("servers has an address twice")


def _shown(value: Any) -> str:
    return harmless(repr(value)[:80], 60)
