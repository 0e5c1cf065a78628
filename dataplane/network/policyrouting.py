"""Rules and routes that lead the packets with a mark through one server (ip-rule(8), linux/fib_rules.h).

A lookup tries the rules one after the other: with one rule for each of 5,000 servers, every packet of the host would
take 16 µs longer. So the rules form a tree. Its root stands before the main table's rule; for all marks of probes it
jumps far behind that. There each block of 64 marks has a rule, its head, that jumps to the block's leaves. A leaf leads
one mark to its server's table, whose number is the mark. All other packets are compared with the root only; a packet
that has no route at all is led past the tree.

Scripts cannot set fwmarks. They run as users whose number is the mark, and a second tree selects by user.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from dataplane.kernel.objects import ROUTE, RULE, KernelObject
from dataplane.network import fwmarks, rtnetlink
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
"""The preference of the root: before the main table's 32766. All others' lie in the engine's range (`fwmarks`)."""
PROTOCOL = 86
"""The routes' protocol (rtm_protocol). It tells them from the host's own routes, whose changes matter."""

_BLOCK = 64
"""Marks that share a head."""

_RULE = struct.Struct("=8BI")  # fib_rule_hdr: family, dst, src, tos, table, -, -, action; flags
_TO_TABLE, _GOTO, _NOP = 1, 2, 3
_FRA_GOTO, _FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK, _FRA_UID_RANGE = 4, 6, 10, 15, 16, 20
_ROUTE = struct.Struct("=8BI")  # rtmsg: family, dst, src, tos, table, protocol, scope, type; flags
_RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_METRICS, _RTA_TABLE, _RTA_ENCAP_TYPE, _RTA_ENCAP = 4, 5, 7, 8, 15, 21, 22
_RTAX_MTU, _RTAX_HOPLIMIT = 2, 10
_RTN_UNICAST, _RTNH_F_ONLINK, _LINK_SCOPE, _ANY_SCOPE = 1, 4, 253, 255
_LWTUNNEL_ENCAP_BPF, _LWT_BPF_XMIT, _LWT_BPF_PROG_FD, _LWT_BPF_PROG_NAME = 6, 3, 1, 2  # linux/lwtunnel.h
_NESTED = 1 << 15  # linux/netlink.h, NLA_F_NESTED
_U32 = struct.Struct("=I")


class LostProbeRoute(NamedTuple):
    """A rule or route of probes that was removed."""

    first: int  # the first mark of its range; 0 = any of any range may have been
    table: int  # that the rule led to or the route was in; 0 for a rule that jumps to others


ANY = LostProbeRoute(0, 0)
"""The kernel told of more than was heard."""


def route(mark: int, server: bytes, interface: int, source: bytes) -> Request:
    """The request that sets a mark's route, through a server on an attached network."""
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


def program_route(table: int, interface: int, program: int, name: str, mtu: int) -> Request:
    """The request that sets a table's route, which hands packets of at most `mtu` bytes to a BPF program (its
    descriptor and name): ip-route(8), "encap bpf xmit"."""
    carried = _number(_LWT_BPF_PROG_FD, program) + attribute(_LWT_BPF_PROG_NAME, name.encode() + b"\0")
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, PROTOCOL, _LINK_SCOPE, _RTN_UNICAST, 0) + b"".join(
        (
            _number(_RTA_TABLE, table),
            _number(_RTA_OIF, interface),
            attribute(_RTA_METRICS, _number(_RTAX_MTU, mtu)),
            attribute(_RTA_ENCAP_TYPE, struct.pack("=H", _LWTUNNEL_ENCAP_BPF)),
            attribute(_RTA_ENCAP, attribute(_NESTED | _LWT_BPF_XMIT, carried)),
        )
    )
    return Request(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, body)


def range_rule(kind: int, first: int) -> Request:
    """The request that makes (RTM_NEWRULE) or removes (RTM_DELRULE) the rule which leads all marks of half a range to
    the table of its first. It is refused where the rule is there (EEXIST)."""
    rule = _rule(PRIORITY, _TO_TABLE, _number(_FRA_TABLE, first), *_marks(first, 0xFFFFFFFF & -fwmarks.HALF))
    return Request(kind, NLM_F_ACK | (NLM_F_CREATE | NLM_F_EXCL if kind == RTM_NEWRULE else 0), rule)


def only_new(request: Request) -> Request:
    """The same request; the kernel refuses it where the object is there (EEXIST)."""
    return request._replace(flags=request.flags & ~NLM_F_REPLACE | NLM_F_EXCL)


def rule_object(body: bytes) -> KernelObject:
    """What a rule is called: its preference and what it selects by, as ip-rule(8) shows them."""
    about = rtnetlink.attributes(body, _RULE.size)
    number = {kind: _U32.unpack_from(value)[0] for kind, value in about.items() if len(value) >= _U32.size}
    name = str(number.get(_FRA_PRIORITY, 0))
    if number.get(_FRA_FWMARK):
        name += f" fwmark {number[_FRA_FWMARK]:#x}/{number.get(_FRA_FWMASK, 0):#x}"
    if _FRA_UID_RANGE in about:
        name += " uidrange {}-{}".format(*struct.unpack_from("=II", about[_FRA_UID_RANGE]))
    return KernelObject(RULE, name)


def route_object(table: int) -> KernelObject:
    """What the route in a table of ours is called."""
    return KernelObject(ROUTE, f"table {table}")


def no_route(mark: int) -> Request:
    """The request that removes a mark's route. (Flushing the table would read all routes of the host.)"""
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, _ANY_SCOPE, 0, 0) + _number(_RTA_TABLE, mark)
    return Request(RTM_DELROUTE, NLM_F_ACK, body)


class Rules:
    """The tree of the range that begins at `first`. Its methods return requests, to be sent to the kernel in order."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._there = False
        self._heads: set[tuple[int, bool]] = set()

    @property
    def there(self) -> bool:
        """Whether any rule was added."""
        return self._there

    def add(self, mark: int, *, user: bool = False) -> list[Request]:
        """Lead a mark to its table; user: lead what the user of that number sends."""
        first = self._first
        block = (mark - first) // _BLOCK
        rules = [_leaf(first, mark, user)]
        if (block, user) not in self._heads:
            rules.append(_head(first, block, user))
        if not any(of_users == user for _, of_users in self._heads):
            rules.append(_root(first, user))
        if not self._heads:
            end = first + fwmarks.HALF
            rules += [_rule(first - 1, _GOTO, _number(_FRA_GOTO, end)), _rule(end, _NOP)]
        self._heads.add((block, user))
        self._there = True
        return [Request(RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE, rule) for rule in rules]

    def remove(self, mark: int, *, user: bool = False) -> Request:
        """Remove what `add` added for a mark."""
        return Request(RTM_DELRULE, NLM_F_ACK, _leaf(self._first, mark, user))

    def all(self, leaves: Iterable[tuple[int, bool]]) -> list[Request]:
        """Add all rules, those with which leaves are reached too. The kernel refuses those that exist (EEXIST).

        leaves: mark and `user` of all that were added and not removed.
        """
        afresh = Rules(self._first)
        return [only_new(request) for mark, user in leaves for request in afresh.add(mark, user=user)]

    def forget(self) -> None:
        """Note that all rules are gone."""
        self._heads.clear()
        self._there = False


def existing() -> dict[int, list[tuple[int, Request]]]:
    """The rules of all engines in this namespace, those for tunnels included, by the first mark of their range.

    Each is the table that the rule leads to (0 if it jumps) and the request that removes it. Raises OSError.
    """
    there: dict[int, list[tuple[int, Request]]] = {}
    for body in rtnetlink.dump(RTM_GETRULE, _RULE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
        of = _whose(body)
        if of is not None:
            there.setdefault(of.first, []).append((of.table, Request(RTM_DELRULE, NLM_F_ACK, body)))
    return there


def lost_probe_route(message: Message) -> LostProbeRoute | None:
    """What a message (RTM_DELRULE, RTM_DELROUTE) reports as removed; None if it is not of probes."""
    if message.kind == RTM_DELRULE:
        return _whose(message.body)
    table = rtnetlink.attributes(message.body, _ROUTE.size).get(_RTA_TABLE, b"")
    number = _U32.unpack(table)[0] if len(table) == _U32.size else 0
    first = fwmarks.range_start(number)
    return None if first is None or message.body[0] != socket.AF_INET else LostProbeRoute(first, number)


def _whose(body: bytes) -> LostProbeRoute | None:
    """The range that a rule belongs to, and the table it leads to; None if it is no rule of probes."""
    about = {
        kind: _U32.unpack_from(value)[0]
        for kind, value in rtnetlink.attributes(body, _RULE.size).items()
        if len(value) >= _U32.size
    }
    named = [about[kind] for kind in (_FRA_FWMARK, _FRA_UID_RANGE) if about.get(kind)]
    preference = about.get(_FRA_PRIORITY, 0)
    named.append(preference + 1 if about.get(_FRA_GOTO) == preference + 1 + fwmarks.HALF else preference)
    first = next(filter(None, map(fwmarks.range_start, named)), None)
    if body[0] != socket.AF_INET or first is None:
        return None
    table = about.get(_FRA_TABLE, 0)
    return LostProbeRoute(first, table if fwmarks.range_start(table) == first else 0)


def removal(rules: Iterable[tuple[int, Request]], first: int) -> dict[KernelObject, Request]:
    """The requests that remove the rules that `existing` returned, and the routes that they lead to, by what they
    remove. first: the range's first mark."""
    kept = list(rules)
    requests = {rule_object(request.body): request for _, request in kept}
    tables = dict.fromkeys([*(table for table, _ in kept if table), first + fwmarks.HALF])  # a tunnel's route is first
    return requests | {route_object(table): no_route(table) for table in tables}


def _root(first: int, user: bool) -> bytes:
    everybody = _users(first, first + fwmarks.HALF - 1) if user else _marks(first, 0xFFFFFFFF & -fwmarks.HALF)
    return _rule(PRIORITY, _GOTO, _number(_FRA_GOTO, first), *everybody)


def _head(first: int, block: int, user: bool) -> bytes:
    begin = first + block * _BLOCK
    selected = _users(begin, begin + _BLOCK - 1) if user else _marks(begin, 0xFFFFFFFF & -_BLOCK)
    return _rule(first, _GOTO, _number(_FRA_GOTO, _place(first, block)), *selected)


def _leaf(first: int, mark: int, user: bool) -> bytes:
    selected = _users(mark, mark) if user else _marks(mark, 0xFFFFFFFF)
    return _rule(_place(first, (mark - first) // _BLOCK), _TO_TABLE, _number(_FRA_TABLE, mark), *selected)


def _place(first: int, block: int) -> int:
    """The preference of a block's leaves: behind that of all heads."""
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
