"""Which engines are dead: etcd has what each one does not hear, and all conclude the same from it. Pure.

Those live who hear one another and nobody else. A host that died is not among them, since nobody hears it. A network
that falls apart leaves several such sets, and the largest is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dataplane.placement.model import Cause, Place, Presence

LEASE = 5.0
"""Seconds for which etcd keeps the registration of an engine that it does not hear of."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What an engine says of itself in etcd, as long as its lease lives."""

    revision: int  # of etcd, that wrote it last
    silent: frozenset[str] = frozenset()  # the engines that it does not hear


def judge(
    registered: Mapping[str, Registration],
    known: Iterable[str],
    before: Mapping[str, Presence],
    answering: float,
    lease: float = LEASE,
) -> dict[str, Presence]:
    """Whether each known engine is there.

    registered: by engine, as etcd has it; empty where it does not answer: nothing is concluded then. before: what was
    concluded last; who is not in it has not been there. answering: seconds for which etcd has answered without a break.
    Within one lease of an outage nobody is found missing, since all leases may have ended in it.
    """
    was = {name: before.get(name, Presence.DEAD) for name in known}
    alive = living(registered, frozenset(name for name, presence in was.items() if presence is not Presence.DEAD))
    suspected = frozenset().union(*(registered[name].silent for name in alive))
    return {name: _presence(name, was[name], registered, alive, suspected, answering >= lease) for name in was}


def living(registered: Mapping[str, Registration], before: frozenset[str]) -> frozenset[str]:
    """The largest set of registered engines who hear one another and nobody else. Of equal ones the one that more of
    those belong to who lived before; then the one that etcd knew of first.

    None, where it would be of engines alone who did not live before, and others who did are registered: who was taken
    for dead says for a moment longer that it hears nobody, when the others hear it again.
    """
    reached = {name: _reached(name, registered) for name in registered}
    closed = {reached[name] for name in reached if all(name in reached[other] for other in reached[name])}
    if before & registered.keys() and not any(one & before for one in closed):
        return frozenset()

    def order(one: frozenset[str]) -> tuple[int, int, int]:
        return len(one), len(one & before), -max(registered[name].revision for name in one)

    return max(closed, key=order, default=frozenset())


def successions(
    places: Mapping[str, Place], presences: Mapping[str, Presence], me: str, now: float
) -> dict[str, Place]:
    """The places, by the VIP's uuid, that an engine is to write as their new first one, because the first one is dead
    and it is the next. now: seconds since the epoch. They are as placement would have them, but not filled up."""
    found: dict[str, Place] = {}
    for uuid, place in places.items():
        left = [member for member in place.members if presences.get(member.engine) is not Presence.DEAD]
        if left and left[0].engine == me and left[0] != place.members[0]:
            left[0] = replace(left[0], cause=Cause.FAILOVER, since=now)
            found[uuid] = replace(place, members=tuple(left))
    return found


def yields(epoch: int, heard: Iterable[int]) -> bool:
    """Whether an engine gives up a VIP that it has by a place of that epoch. heard: the epochs by which others say to
    have it, in heartbeats or in etcd."""
    return any(other > epoch for other in heard)


def _presence(
    name: str,
    was: Presence,
    registered: Mapping[str, Registration],
    alive: frozenset[str],
    suspected: frozenset[str],
    settled: bool,
) -> Presence:
    if name in alive:
        return Presence.SUSPECT if name in suspected else Presence.UP
    if not settled or not alive:
        return was
    if all(name in registered[other].silent for other in alive):
        return Presence.DEAD
    return Presence.CUT


def _reached(name: str, registered: Mapping[str, Registration]) -> frozenset[str]:
    """An engine, whom it hears, whom those hear, and so on."""
    found, ahead = {name}, [name]
    while ahead:
        heard = registered.keys() - registered[ahead.pop()].silent
        ahead += heard - found
        found |= heard
    return frozenset(found)
