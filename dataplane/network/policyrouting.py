"""Rules and routes that lead packets of a mark through one server (ip-rule(8), linux/fib_rules.h).

A lookup goes through the rules one after the other: a rule a server would cost every packet of the host 16 µs at 5,000
servers. Hence a tree: one rule sends all marks of probes to far behind the rules of everybody else, there each block of
64 marks has a rule that goes to the block's own, and those lead to the servers' tables, whose number is the mark. A
packet of anybody else passes by the first rule alone; one without any route at all is led past the tree.

The same for the users of scripts, which cannot set marks: a user's number is the mark.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from dataplane.network import fwmarks as marks
from dataplane.network import rtnetlink
from dataplane.network.rtnetlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_GETRULE,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    Message,
    Request,
    attribute,
)

PRIORITY = 1000
"""Of the rule that leads into the tree: before the main table's 32766. All other numbers lie in the engine's range
(`marks`)."""
PROTOCOL = 86
"""Marks the routes as ours (rtm_protocol): nobody here need hear of them."""

_BLOCK = 64

_RULE = struct.Struct("=8BI")  # fib_rule_hdr: family, dst, src, tos, table, -, -, action; flags
_TO_TABLE, _GOTO, _NOP = 1, 2, 3
_FRA_GOTO, _FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK, _FRA_UID_RANGE = 4, 6, 10, 15, 16, 20
_ROUTE = struct.Struct("=8BI")  # rtmsg: family, dst, src, tos, table, protocol, scope, type; flags
_RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_METRICS, _RTA_TABLE, _RTAX_HOPLIMIT = 4, 5, 7, 8, 15, 10
_RTN_UNICAST, _RTNH_F_ONLINK, _ANY_SCOPE = 1, 4, 255
_U32 = struct.Struct("=I")


class Lost(NamedTuple):
    """A rule or route of probes is gone. first: the beginning of its range; table: that it leads to, or stood in; 0 for
    a rule that leads to others."""

    first: int
    table: int


def route(mark: int, server: bytes, interface: int, source: bytes) -> Request:
    """A mark's route, whether there is one or not: through a server on an attached network."""
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, PROTOCOL, 0, _RTN_UNICAST, _RTNH_F_ONLINK) + b"".join(
        (
            _number(_RTA_TABLE, mark),
            attribute(_RTA_GATEWAY, server),
            _number(_RTA_OIF, interface),
            attribute(_RTA_PREFSRC, source),
            attribute(_RTA_METRICS, _number(_RTAX_HOPLIMIT, 1)),
        )
    )
    return Request(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, body)


def no_route(mark: int) -> Request:
    """Takes it away. (To flush the table would read every route there is.)"""
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, _ANY_SCOPE, 0, 0) + _number(_RTA_TABLE, mark)
    return Request(RTM_DELROUTE, NLM_F_ACK, body)


class Rules:
    """The tree of the range that begins at `first`. What it says is to be asked of the kernel, in order."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._there = False
        self._heads: set[tuple[int, bool]] = set()

    @property
    def there(self) -> bool:
        """Whether any was added."""
        return self._there

    def add(self, mark: int, *, user: bool = False) -> list[Request]:
        """Lead a mark, or what the user of that number sends, to its table."""
        first = self._first
        block = (mark - first) // _BLOCK
        rules = [_leaf(first, mark, user)]
        if (block, user) not in self._heads:
            rules.append(_head(first, block, user))
        if not any(of_users == user for _, of_users in self._heads):
            rules.append(_root(first, user))
        if not self._heads:
            end = first + marks.HALF
            rules += [_rule(first - 1, _GOTO, _number(_FRA_GOTO, end)), _rule(end, _NOP)]
        self._heads.add((block, user))
        self._there = True
        return [Request(RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE, rule) for rule in rules]

    def remove(self, mark: int, *, user: bool = False) -> Request:
        """Lead it there no more."""
        return Request(RTM_DELRULE, NLM_F_ACK, _leaf(self._first, mark, user))

    def again(self, leaves: Iterable[tuple[int, bool]]) -> list[Request]:
        """Everything once more, for what somebody else took away: what is there is refused (EEXIST). leaves: mark and
        `user` of each that was added, and not removed."""
        self._heads.clear()
        requests = [request for mark, user in leaves for request in self.add(mark, user=user)]
        return [request._replace(flags=request.flags | NLM_F_EXCL) for request in requests]

    def forget(self) -> None:
        """All rules are gone."""
        self._heads.clear()
        self._there = False


def found() -> dict[int, list[tuple[int, Request]]]:
    """What there is of all this, other engines' and those of tunnels too, by the beginning of its range: the table of
    each rule, 0 where it names none, and what takes the rule away. Raises OSError."""
    there: dict[int, list[tuple[int, Request]]] = {}
    for body in rtnetlink.dump(RTM_GETRULE, _RULE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
        of = _whose(body)
        if of is not None:
            there.setdefault(of.first, []).append((of.table, Request(RTM_DELRULE, NLM_F_ACK, body)))
    return there


def lost(message: Message) -> Lost | None:
    """What the kernel says to be gone (RTM_DELRULE, RTM_DELROUTE), if it is of probes."""
    if message.kind == RTM_DELRULE:
        return _whose(message.body)
    table = rtnetlink.attributes(message.body, _ROUTE.size).get(_RTA_TABLE, b"")
    number = _U32.unpack(table)[0] if len(table) == _U32.size else 0
    first = marks.beginning(number)
    return None if first is None or message.body[0] != socket.AF_INET else Lost(first, number)


def _whose(body: bytes) -> Lost | None:
    """Whose a rule is; None: somebody else's."""
    about = {
        kind: _U32.unpack_from(value)[0]
        for kind, value in rtnetlink.attributes(body, _RULE.size).items()
        if len(value) >= _U32.size
    }
    named = [about[kind] for kind in (_FRA_FWMARK, _FRA_UID_RANGE) if about.get(kind)]
    preference = about.get(_FRA_PRIORITY, 0)
    named.append(preference + 1 if about.get(_FRA_GOTO) == preference + 1 + marks.HALF else preference)
    first = next(filter(None, map(marks.beginning, named)), None)
    if body[0] != socket.AF_INET or first is None:
        return None
    table = about.get(_FRA_TABLE, 0)
    return Lost(first, table if marks.beginning(table) == first else 0)


def removal(rules: Iterable[tuple[int, Request]]) -> list[Request]:
    """What takes all that was found away, routes too."""
    kept = list(rules)
    tables = dict.fromkeys(table for table, _ in kept if table)
    return [*(request for _, request in kept), *map(no_route, tables)]


def _root(first: int, user: bool) -> bytes:
    everybody = _users(first, first + marks.HALF - 1) if user else _marks(first, 0xFFFFFFFF & -marks.HALF)
    return _rule(PRIORITY, _GOTO, _number(_FRA_GOTO, first), *everybody)


def _head(first: int, block: int, user: bool) -> bytes:
    begin = first + block * _BLOCK
    selected = _users(begin, begin + _BLOCK - 1) if user else _marks(begin, 0xFFFFFFFF & -_BLOCK)
    return _rule(first, _GOTO, _number(_FRA_GOTO, _place(first, block)), *selected)


def _leaf(first: int, mark: int, user: bool) -> bytes:
    selected = _users(mark, mark) if user else _marks(mark, 0xFFFFFFFF)
    return _rule(_place(first, (mark - first) // _BLOCK), _TO_TABLE, _number(_FRA_TABLE, mark), *selected)


def _place(first: int, block: int) -> int:
    """The preference of a block's rules: behind that of all heads."""
    return first + 1 + block


def _rule(preference: int, action: int, *about: bytes) -> bytes:
    hdr = _RULE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, action, 0)
    return hdr + b"".join(itertools.chain((_number(_FRA_PRIORITY, preference),), about))


def _marks(value: int, mask: int) -> tuple[bytes, bytes]:
    return _number(_FRA_FWMARK, value), _number(_FRA_FWMASK, mask)


def _users(first: int, last: int) -> tuple[bytes]:
    return (attribute(_FRA_UID_RANGE, struct.pack("=II", first, last)),)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, _U32.pack(value))
