"""Compares two tables of a pool, slot by slot."""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import ne
from typing import NamedTuple

from dataplane import plan
from dataplane.forwarding import maglev, slotphases, translate
from dataplane.forwarding.maglev import NO_SERVER, Owners
from dataplane.forwarding.translate import NextHop, PoolMember

IsUp = Callable[[str], bool]
"""Whether a server, by its address, is up."""
_NOWHERE = NextHop()


@dataclass(frozen=True)
class Side:
    """A pool for one VIP, before a change or after it. Two are equal if every flow is treated alike by both."""

    members: tuple[PoolMember, ...]
    made_of: bytes  # the members from which its table is made
    table: Owners = field(compare=False)  # indices into the members

    @property
    def receiving(self) -> set[str]:
        """The servers that own slots."""
        counts = maglev.shares(self.table, len(self.members))
        return {member.server.address for member, owned in zip(self.members, counts, strict=True) if owned}


class Moves(NamedTuple):
    """What differs between two tables."""

    moved: int  # slots that have another owner
    ended: int  # of these, slots whose former owner may not go on with its flows
    begin: tuple[str, ...]  # servers that own slots only after the change
    stop: tuple[str, ...]  # servers that owned slots only before it
    ending: tuple[str, ...]  # of those that owned slots, the ones whose flows end at once
    draining: tuple[str, ...]  # servers that owned slots, get no new flows, and may finish theirs for a time


def side(service: plan.Service, is_up: IsUp | None, now: float) -> Side:
    """One side of a service's pool. is_up: None if nothing is forwarded yet; now: seconds since the epoch."""
    up = (lambda address: is_up(socket.inet_ntoa(address))) if is_up is not None else (lambda _: False)
    found = translate.members(service, up, lambda _: _NOWHERE, now)
    return Side(found, translate.shares(service, found), translate.table(service, found))


def moves(before: Side, after: Side) -> Moves:
    """The differences of two sides that have equally many slots."""
    everybody = sorted({member.address for side in (before, after) for member in side.members})
    number = {address: index for index, address in enumerate(everybody)}
    was, will = (
        slotphases.renumbered(side.table, array("H", [number[member.address] for member in side.members]))
        for side in (before, after)
    )
    lives = {member.life for member in after.members if member.serves}
    serves = bytearray(len(everybody))
    for member in before.members:
        serves[number[member.address]] = member.life in lives
    slots = len(was)
    moved = sum(map(ne, was, will))
    begun = sum(1 for old, new in zip(was, will, strict=True) if old == NO_SERVER != new) if NO_SERVER in was else 0
    kept = slotphases.begin(was, will, serves, bytearray(slots), array("H", [NO_SERVER]) * slots, slotphases.WINDOW)
    had, gets = before.receiving, after.receiving
    ending = [m.server.address for m in before.members if m.server.address in had and not serves[number[m.address]]]
    draining = [m.server.address for m in after.members if m.serves and not m.usable and m.server.address in had]
    stay = _ordered(gets - had), _ordered(had - gets), _ordered(ending), _ordered(draining)
    return Moves(moved, moved - begun - kept, *stay)


def _ordered(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(addresses, key=socket.inet_aton))
