"""Operators' requests to placement, from any host: read etcd, decide here, and write if nothing moved meanwhile. The
engine that places respects the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataplane import plan
from dataplane.cluster import operations as op
from dataplane.cluster.etcd import Etcd
from dataplane.errors import PlacementError
from dataplane.membership import places, record, situation, writing
from dataplane.membership.conclusions import Known
from dataplane.membership.knowledge import Knowledge
from dataplane.membership.places import Placer
from dataplane.placement import placing, requests, room
from dataplane.placement.model import Decision, Place, Situation, Vip, announcers

_TIMES = 5
"""How often a request is decided anew while somebody else moves the same VIPs."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where all VIPs are, as it was read."""

    situation: Situation
    placer: str  # the engine that places; "" for none
    of_services: Mapping[str, tuple[str, ...]]  # by the uuid of a virtual service, its VIPs
    decisions: Mapping[str, Decision]  # what placement makes of each VIP as things are


def read(etcd: Etcd, planned: plan.Plan) -> Seen:
    """What etcd has, beside the plan. Raises ClusterError."""
    vips = situation.vips(service for service in planned.services.values() if service is not None)
    known = _known(etcd, planned.common or plan.Common())
    known.vips = vips
    of_services: dict[str, set[str]] = {}
    for service in planned.services.values():
        if service is not None:
            of_services.setdefault(service.uuid, set()).add(vips.names[service.vip])
    named = {uuid: tuple(sorted(found)) for uuid, found in of_services.items()}
    now = known.situation(time.time())
    return Seen(now, known.placer.engine if known.placer else "", named, placing.place(now))


def short_of_spare(etcd: Etcd, common: plan.Common) -> list[str]:
    """What operators should know of groups whose engines have less room than `buffer_se` wants, in words. Raises
    ClusterError."""
    known = _known(etcd, common)
    groups = {name: one.record.group for name, one in known.engines.items()}
    found = {
        vip: Vip(vip, groups[place.engines[0]])
        for vip, place in known.places.items()
        if place.engines and place.engines[0] in groups
    }
    known.vips = situation.Vips(found)
    now = known.situation(time.time())
    told = (room.short_of_spare(now, name) for name in sorted(set(groups.values())))
    return [one for one in told if one]


def _known(etcd: Etcd, common: plan.Common) -> Knowledge:
    """What etcd has."""
    prefix = f"/avi/{etcd.address.cluster}/"
    folders = ((prefix + one, op.following(prefix + one)) for one in (record.FOLDER, places.FOLDER))
    answer = etcd.txn((), [*(op.get(*one) for one in folders), op.get(prefix + places.PLACER)])
    registered, placed, placers = answer.found
    engines = {
        one.key.removeprefix(prefix + record.FOLDER): Known(said, one.changed)
        for one in registered
        if (said := record.read(one.value))
    }
    every = {
        one.key.removeprefix(prefix + places.FOLDER): made
        for one in placed
        if (made := places.read(one.value, one.changed))
    }
    placer = (places.read_placer(placers[0].value, placers[0].changed) if placers else None) or Placer("")
    return Knowledge("", engines, placer=placer, places=every, presences=placer.presences, common=common)


def request(etcd: Etcd, planned: plan.Plan, decide: Callable[[Seen], Mapping[str, Place]]) -> Mapping[str, Place]:
    """Carry out a request. decide: gives the new places by VIP. Returns them. Raises ClusterError, PlacementError."""
    for _ in range(_TIMES):
        seen = read(etcd, planned)
        changes = decide(seen)
        epochs = {name: place.epoch for name, place in seen.situation.places.items()}
        if writing.write(etcd, f"/avi/{etcd.address.cluster}/{places.FOLDER}", dict(changes), epochs):
            return changes
    raise PlacementError("the engine that places moves the same VIPs at this moment", remedy="try again")


def scale_out(seen: Seen, vip: str, engine: str = "") -> dict[str, Place]:
    """Add an engine to a VIP: the named one, else the one that placement chooses. Raises PlacementError."""
    return {vip: requests.scale_out(seen.situation, vip, engine)}


def scale_in(seen: Seen, vip: str, engine: str = "") -> dict[str, Place]:
    """Remove an engine from a VIP: the named one, else the last one. Raises PlacementError."""
    return {vip: requests.scale_in(seen.situation, vip, engine)}


def migrate(seen: Seen, vip: str, source: str = "", target: str = "") -> dict[str, Place]:
    """Replace an engine by another: the named ones, else the first one by the one that placement chooses. Raises
    PlacementError."""
    engines = seen.situation.places.get(vip, Place()).engines
    return {vip: requests.migrate(seen.situation, vip, source or next(iter(engines), ""), target)}


def switch_over(seen: Seen, engine: str) -> dict[str, Place]:
    """Make the standby engine of a pair the active one for all VIPs of the named engine. Raises PlacementError."""
    return requests.switch_over(seen.situation, engine)


def told(seen: Seen, vip: str) -> dict[str, Any]:
    """Where a VIP is.

    {"engines": [{"name", "state": announced|announcing (it is to, and does not yet)|ready (it forwards, and announces
                  nothing)|leaving (it announces until others do)|draining (it has withdrawn, and forwards what comes),
                  "since": seconds since the epoch, "why": it has the VIP, "if_fails": where the VIP would be}],
     "lacking": why it has fewer engines than it should have, ""}
    """
    known = seen.situation.vips[vip]
    group, place = seen.situation.groups[known.group], seen.situation.places.get(vip, Place())
    who = announcers(known, group, place)
    rows = []
    for member in place.members:
        announces = vip in seen.situation.announced.get(member.engine, ())
        state = ("announced" if announces else "announcing") if member.engine in who else "ready"
        rows.append((member.engine, state, member.since, room.why(group, member)))
    for leaver in place.leavers:
        if leaver.engine not in place.engines:
            state = "leaving" if leaver.withdrawn is None else "draining"
            rows.append((leaver.engine, state, leaver.since, ""))
    engines = [
        {"name": name, "state": state, "since": since, "why": why, "if_fails": _if_fails(seen, vip, name)}
        for name, state, since, why in rows
    ]
    decision = seen.decisions.get(vip)
    return {"engines": engines, "lacking": decision.lacking if decision else ""}


def _if_fails(seen: Seen, vip: str, engine: str) -> str:
    """Where a VIP would be if an engine died now."""
    made = placing.if_fails(seen.situation, engine)[vip].place
    return ", ".join(made.engines) or "nowhere"
