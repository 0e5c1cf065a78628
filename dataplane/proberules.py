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
from collections.abc import Iterable, Iterator

from . import rtnetlink
from .rtnetlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_GETRULE,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    Request,
    attribute,
)

FIRST = 0x41560000
"""Marks, tables, users and preferences of probes lie in FIRST..LAST; whatever of that range is found at start is a
killed engine's."""
LAST = FIRST + 0xFFFF
PRIORITY = 1000
"""Of the rule that leads into the tree: before the main table's 32766."""
PROTOCOL = 86
"""Marks the routes as ours (rtm_protocol): nobody here need hear of them."""

_SKIP, _END = FIRST - 1, LAST + 1
_BLOCK = 64

_RULE = struct.Struct("=8BI")  # fib_rule_hdr: family, dst, src, tos, table, -, -, action; flags
_TO_TABLE, _GOTO, _NOP = 1, 2, 3
_FRA_GOTO, _FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK, _FRA_UID_RANGE = 4, 6, 10, 15, 16, 20
_ROUTE = struct.Struct("=8BI")  # rtmsg: family, dst, src, tos, table, protocol, scope, type; flags
_RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_METRICS, _RTA_TABLE, _RTAX_HOPLIMIT = 4, 5, 7, 8, 15, 10
_RTN_UNICAST, _RTNH_F_ONLINK, _ANY_SCOPE = 1, 4, 255
_U32 = struct.Struct("=I")


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
    """The tree. What it says is to be asked of the kernel, in order."""

    def __init__(self) -> None:
        self._heads: set[tuple[int, bool]] = set()

    @property
    def there(self) -> bool:
        """Whether any was added."""
        return bool(self._heads)

    def add(self, mark: int, *, user: bool = False) -> list[Request]:
        """Lead a mark, or what the user of that number sends, to its table."""
        block = (mark - FIRST) // _BLOCK
        rules = [_leaf(mark, user)]
        if (block, user) not in self._heads:
            rules.append(_head(block, user))
        if not any(of_users == user for _, of_users in self._heads):
            rules.append(_root(user))
        if not self._heads:
            rules += [_rule(_SKIP, _GOTO, _number(_FRA_GOTO, _END)), _rule(_END, _NOP)]
        self._heads.add((block, user))
        return [Request(RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE, rule) for rule in rules]

    def remove(self, mark: int, *, user: bool = False) -> Request:
        """Lead it there no more."""
        return Request(RTM_DELRULE, NLM_F_ACK, _leaf(mark, user))

    def forget(self) -> None:
        """All rules are gone."""
        self._heads.clear()


def found() -> Iterator[tuple[int, Request]]:
    """What there is of all this, a killed engine's too: the table of each rule, 0 where it names none, and what takes
    the rule away. Raises OSError."""
    for body in rtnetlink.dump(RTM_GETRULE, _RULE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
        about = {
            kind: _U32.unpack_from(value)[0]
            for kind, value in rtnetlink.attributes(body, _RULE.size).items()
            if len(value) >= _U32.size
        }
        named = (about.get(kind, 0) for kind in (_FRA_FWMARK, _FRA_UID_RANGE, _FRA_PRIORITY))
        if body[0] == socket.AF_INET and any(_SKIP <= number <= LAST for number in named):
            table = about.get(_FRA_TABLE, 0)
            yield table if FIRST <= table <= LAST else 0, Request(RTM_DELRULE, NLM_F_ACK, body)
        elif body[0] == socket.AF_INET and about.get(_FRA_PRIORITY) == _END and body[7] == _NOP:
            yield 0, Request(RTM_DELRULE, NLM_F_ACK, body)


def removal(rules: Iterable[tuple[int, Request]]) -> list[Request]:
    """What takes all that was found away, routes too."""
    kept = list(rules)
    tables = dict.fromkeys(table for table, _ in kept if table)
    return [*(request for _, request in kept), *map(no_route, tables)]


def _root(user: bool) -> bytes:
    everybody = _users(FIRST, LAST) if user else _marks(FIRST, 0xFFFF0000)
    return _rule(PRIORITY, _GOTO, _number(_FRA_GOTO, FIRST), *everybody)


def _head(block: int, user: bool) -> bytes:
    first = FIRST + block * _BLOCK
    selected = _users(first, first + _BLOCK - 1) if user else _marks(first, 0xFFFFFFFF & -_BLOCK)
    return _rule(FIRST, _GOTO, _number(_FRA_GOTO, _place(block)), *selected)


def _leaf(mark: int, user: bool) -> bytes:
    selected = _users(mark, mark) if user else _marks(mark, 0xFFFFFFFF)
    return _rule(_place((mark - FIRST) // _BLOCK), _TO_TABLE, _number(_FRA_TABLE, mark), *selected)


def _place(block: int) -> int:
    """The preference of a block's rules: behind that of all heads."""
    return FIRST + 1 + block


def _rule(preference: int, action: int, *about: bytes) -> bytes:
    hdr = _RULE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, action, 0)
    return hdr + b"".join(itertools.chain((_number(_FRA_PRIORITY, preference),), about))


def _marks(value: int, mask: int) -> tuple[bytes, bytes]:
    return _number(_FRA_FWMARK, value), _number(_FRA_FWMASK, mask)


def _users(first: int, last: int) -> tuple[bytes]:
    return (attribute(_FRA_UID_RANGE, struct.pack("=II", first, last)),)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, _U32.pack(value))
