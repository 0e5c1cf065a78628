"""Decides which engines are dead. Each engine writes to etcd whom it does not hear, so all decide alike. Pure.

The living are a set of engines that hear one another and no others. A host that died is not in it, since nobody hears
it. A network that falls apart leaves several such sets, and the largest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dataplane.placement.model import Cause, Place, Presence

LEASE = 5.0
"""Seconds for which etcd keeps an engine's registration when the engine does not renew it."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What an engine writes about itself in etcd; it lasts as long as the engine's lease."""

    revision: int  # the revision of etcd that wrote it last
    silent: frozenset[str] = frozenset()  # the engines that it does not hear


def judge(
    registered: Mapping[str, Registration],
    known: Iterable[str],
    before: Mapping[str, Presence],
    answering: float,
    lease: float = LEASE,
) -> dict[str, Presence]:
    """Decide whether each known engine is there.

    registered: the registrations in etcd, by engine; if etcd does not answer, it is empty and nothing changes. before:
    the last decision; an engine that it lacks was not there. answering: seconds for which etcd has answered without a
    break. For one lease after an outage of etcd no engine counts as missing, since all leases may have ended meanwhile.
    """
    was = {name: before.get(name, Presence.DEAD) for name in known}
    alive = living(registered, frozenset(name for name, presence in was.items() if presence is not Presence.DEAD))
    suspected = frozenset().union(*(registered[name].silent for name in alive))
    return {name: _presence(name, was[name], registered, alive, suspected, answering >= lease) for name in was}


def living(registered: Mapping[str, Registration], before: frozenset[str]) -> frozenset[str]:
    """The largest set of registered engines that hear one another and no others. Among sets of one size: the one with
    most engines that lived before; then the one that etcd knew first.

    Empty if an engine that lived before is registered, but no such set has one. An engine that was
    taken for dead still says for a moment that it hears nobody when the others hear it again.
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
    """The places, by the VIP's uuid, in which an engine succeeds a dead first engine; it must write them. now: seconds
    since the epoch. They are as placement would decide them, but not filled up."""
    found: dict[str, Place] = {}
    for uuid, place in places.items():
        left = [member for member in place.members if presences.get(member.engine) is not Presence.DEAD]
        if left and left[0].engine == me and left[0] != place.members[0]:
            left[0] = replace(left[0], cause=Cause.FAILOVER, since=now)
            found[uuid] = replace(place, members=tuple(left))
    return found


def yields(epoch: int, heard: Iterable[int]) -> bool:
    """Whether an engine gives up a VIP that it holds by a place of that epoch. heard: the epochs by which other engines
    claim it, in heartbeats or in etcd."""
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
    """An engine, the engines that it hears, those that they hear, and so on."""
    found, ahead = {name}, [name]
    while ahead:
        heard = registered.keys() - registered[ahead.pop()].silent
        ahead += heard - found
        found |= heard
    return frozenset(found)
