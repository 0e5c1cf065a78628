"""What an engine tells of itself: one JSON object."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from dataplane import plan
from dataplane.daemon.aspect import WHOLE, Aspect, asked
from dataplane.engine import operstate
from dataplane.engine.engine import Engine
from dataplane.engine.handshakewatch import Key
from dataplane.engine.members import Look
from dataplane.engine.operstate import Flows, Grace, Seen, State
from dataplane.forwarding import maglev, translate
from dataplane.forwarding.driver import Asked
from dataplane.forwarding.translate import NextHop
from dataplane.forwarding.values import Counters, HandshakeTally, Tally, Vip
from dataplane.runtime.turns import Turns
from dataplane.vip import defence

EVENTS = 50
"""Events in a report."""
AT_ONCE = 20
"""Servers looked at before the clock is."""
TELLS_EVERY = 1.0
"""Seconds between two words about how far a report is."""


async def report(
    engine: Engine,
    aspect: Aspect = WHOLE,
    *,
    tell: Callable[[str], None] = lambda _: None,
    pack: Callable[[dict[str, Any]], Any] = dict,
) -> dict[str, Any]:
    """The engine's state, of which services, pools and VIPs an aspect says. Others have the loop in between: of
    thousands of servers each is as it is when its turn comes. Who answers for the process adds what is in parentheses.

    tell: hears every second or so how far this is; pack: what becomes of a server's report as soon as it is made.

    {"name", "group", "version": plan version applied, "store": {"identity", "epoch"} that it is of, "started": when the
     engine started,
     ("pid"), ("unconfirmed": as `undoing.report` tells it),
     "driver": {"name", ("reason": why this one), "interfaces": {name: mode}, "details": of `Driver.details`,
                          "notes": [what it cannot do or see here]},
     "interfaces": [{"name", "mac", "mtu", "addresses", "lost": frames that its network driver did not take,
                     "fault": why no frame leaves by it, ""}],
     ("bgp": of `BgpAnnouncer.report`, null where the engine has no BGP),
     ("following": of `Following.report`, "membership": of `Membership.report`, null where the host shares no store),
     "vips": [{"address", "up", "announced": somebody is told of it, "answers_arp", "routed": routers are to be told,
               "announcers": {how it is announced: {"state": announced|withdrawn|failed, "reason": why it failed, or who
               else has it}}}],
     "services": [{"virtualservice", "tenant", "uuid", "vip", "protocol", "port", "port_end", "pool", "pool_uuid",
                   "state": up|down|disabled|initializing, "reason", "changed", "packets", "bytes",
                   "dropped": {reason: packets}, "handshakes": as of a server}],
     "pools": [{"name", "tenant", "uuid", "state": up|down|disabled|initializing, "reason", "changed", "slots",
                "tables": one, or more where servers are up for some of its VIPs alone,
                "servers": [{"address", "port", "weight", "enabled", "state": up|down|disabled|unknown, "reason",
                 "vips": [{"vip", "state": for this VIP alone, "reason"}], empty where the pool has one, "changed",
                 "remedy": command that mends it, "serves_for": seconds that a disabled one serves its flows
                 on (-1: for ever), else null, "flows": those of them that live, null where none are tracked,
                 "idle_flows": those of these without a packet for some seconds (ended or silent), "last_packet":
                 seconds since the last packet of any, null where there is none,
                 "host": true|false|null (whether it answers on its own address),
                 "failed_checks": its probes that failed, "failed_by_monitor": {name: those of that monitor},
                 "answers_in": {"median", "slowest": seconds in which its last good probes were answered, "probes": how
                 many these are}, null where there are none,
                 "in_table", "share", "mac", "interface", "packets", "bytes",
                 "handshakes": {"sampled": TCP flows that were looked at, "answered": those whose client went on after
                 its SYN, "unanswered": those whose client repeated it again and again instead, "share": the part
                 unanswered of these two, of the last five minutes, null where there were none}}]}],
     "damaged": [{"key": of a row of the plan that cannot be read, "reason": what is wrong with it}],
     "monitors": {"checks": how many run, "probes": ended so far, "late": {"median", "p99"}: seconds that the last
                  probes began after they were due},
     "kernel": [{"object": what the engine keeps in the kernel, and is missing, "reason": why it is not put back}],
     ("rates": as `Rates.report` has them),
     "answered": frames that the engine answered itself (ARP requests for VIPs, pings to them, packets too big for a
                 tunnel), "dropped": {reason: packets},
     "events": [of `events.model.Event.data`: the newest, newest last]}
    at, started, changed: seconds since the epoch. changed: when the state last became another one; where it never did,
    when the engine met what has it; null where there is no state yet. dropped of a service: packets that were dropped
    when their service was known; those of the engine are all. failed_checks: since the engine probes the server with
    its monitors as they are now. state of a pool or server: the best of those that it has
    for the pool's VIPs; reason tells the others. share: the fraction of the pool's slots that the server owns, the
    largest where VIPs have different servers up. flows: a flow is tracked from its first packet after its server was
    disabled until it was idle for as long as its service allows; those that were silent since are not counted.
    """
    version, chosen, turns = engine.version, aspect.of(engine.services), Turns()
    wanted = {uuid: _by_vip(engine, uuid) for uuid in dict.fromkeys(service.pool_uuid for service in chosen)}
    whose = Asked() if aspect.brief else asked(engine, chosen)
    counters = await turns.last(engine.driver.counters_in_pieces(whose))
    now = engine.clock.now()
    looking = _Looking(engine, counters, now, turns, aspect.brief, pack)
    seen, told_at = dict[str, _Seen](), time.monotonic()
    for uuid, of_vips in wanted.items():
        seen[uuid] = await _seen(looking, of_vips)
        if time.monotonic() - told_at >= TELLS_EVERY:
            told_at = time.monotonic()
            tell(f"{len(seen):,} of {len(wanted):,} pools looked at")
    found, members, vips = [], [], []
    for service in chosen:
        found.append(_service(engine, service, counters, seen[service.pool_uuid]))
        await turns.give()
    for one in sorted(seen.values(), key=lambda one: one.service.pool):
        members.append(_pool(engine, one.service, one))
        await turns.give()
    for vip in aspect.vips(engine.vips.served(), chosen):
        vips.append(_vip(engine, vip))
        await turns.give()
    return {
        "name": engine.name,
        "group": engine.group,
        "version": version,
        "store": {"identity": engine.mark.identity, "epoch": engine.mark.epoch},
        "started": engine.started,
        "driver": {
            "name": engine.driver.name,
            "interfaces": dict(engine.driver.modes()),
            "details": engine.driver.details(),
            "notes": engine.driver.notes(),
        },
        "interfaces": [
            {
                "name": i.name,
                "mac": i.mac.hex(":"),
                "mtu": i.mtu,
                "addresses": [socket.inet_ntoa(a) for a in i.addresses],
                "lost": engine.sending.of(i.index).lost,
                "fault": engine.sending.of(i.index).fault,
            }
            for i in engine.interfaces.served()
        ],
        "vips": vips,
        "services": aspect.services(found),
        "pools": aspect.pools(members),
        "damaged": [{"key": key, "reason": why} for key, why in sorted(engine.damage.by_key.items())],
        "monitors": _monitors(engine),
        "kernel": [{"object": str(one), "reason": reason} for one, reason in engine.kernel.faults.items()],
        "answered": counters.answered,
        "dropped": {reason: n for reason, n in counters.dropped.items() if n},
        "events": [event.data() for event in engine.events.newest(EVENTS)],
    }


def _by_vip(engine: Engine, pool: str) -> dict[str, plan.Service]:
    """A service of each VIP of a pool."""
    return {one.vip: one for one in sorted(engine.index.of_pool(pool), key=lambda one: one.key)}


def _vip(engine: Engine, vip: Vip) -> dict[str, Any]:
    announcements = {how: made._asdict() for how, made in engine.vips.announcements(vip.address).items()}
    return {
        "address": socket.inet_ntoa(vip.address),
        "up": vip.up,
        "announced": vip.owned or engine.vips.is_routed(vip.address),
        "answers_arp": vip.owned,
        "routed": engine.vips.is_routed(vip.address),
        "announcers": announcements,
    }


def _monitors(engine: Engine) -> dict[str, Any]:
    health = engine.members.health
    late = sorted(health.schedule.late) or [0.0]
    at = {name: round(late[len(late) * part // 100], 6) for name, part in (("median", 50), ("p99", 99))}
    return {"checks": health.checks, "probes": health.probes, "late": at}


def _service(engine: Engine, service: plan.Service, counters: Counters, seen: _Seen) -> dict[str, Any]:
    tally = counters.services.get(translate.key(service), Tally())
    vip = socket.inet_aton(service.vip)
    strangers, refusal = engine.conflicts.strangers(vip), engine.vips.refusal(vip)
    who = f"VIP {service.vip} is not announced: {refusal}" if refusal else defence.words(service.vip, strangers)
    unheard = engine.vips.unheard(vip)
    routers = f"routers are not told of VIP {service.vip}: {unheard}" if unheard else ""
    answers = engine.handshakes.words(service.pool_uuid)
    full = engine.flow_memory.since is not None and engine.pools.name(service) in engine.pools.moving()
    forgets = engine.flow_memory.words() if full else ""
    against = [*engine.kernel.words(), who, routers, engine.sending.senders(vip), answers, forgets]
    pool, servers = seen.of_vips[service.vip]
    state = operstate.service(service, pool, servers, "; ".join(filter(None, against)))
    return {
        "virtualservice": service.virtualservice,
        "tenant": service.tenant,
        "uuid": service.uuid,
        "vip": service.vip,
        "protocol": service.protocol,
        "port": service.port,
        "port_end": service.port_end,
        "pool": service.pool,
        "pool_uuid": service.pool_uuid,
        "state": state.word,
        "reason": state.reason,
        "changed": engine.changes.of_service(service.key),
        "packets": tally.packets,
        "bytes": tally.bytes,
        "dropped": dict(counters.service_drops.get(translate.key(service), {})),
        "handshakes": _handshakes(
            engine, translate.key(service), counters.service_handshakes.get(translate.key(service), HandshakeTally())
        ),
    }


Servers = Mapping[str, State]
"""By address."""


class _Seen(NamedTuple):
    """A pool as it is now."""

    service: plan.Service  # one of its services
    told: list[Any]  # what is reported of each server, packed
    pool: State  # its own
    of_vips: Mapping[str, tuple[State, Servers]]  # by VIP: the pool's state, and that of its servers


class _Looking(NamedTuple):
    """What a report needs to look at any pool."""

    engine: Engine
    counters: Counters
    now: float
    turns: Turns
    brief: bool  # of servers their states alone are told
    pack: Callable[[dict[str, Any]], Any]


async def _seen(looking: _Looking, of_vips: Mapping[str, plan.Service]) -> _Seen:
    """of_vips: a service of each VIP of the pool."""
    engine, counters, now, turns, brief, pack = looking
    service = next(iter(of_vips.values()))
    uuid, listed = service.pool_uuid, engine.index.members(service.pool_uuid)
    names = engine.pools.names(uuid)
    tables = [v.table for name in names if not brief and (v := engine.pools.values.get(name))]
    owned = [maglev.shares(table, len(listed.servers)) for table in tables]
    up = any(engine.pools.is_up(one) for one in of_vips.values())
    settled = any(engine.pools.is_settled(one) for one in of_vips.values())
    servers, told = {}, []
    by_vip: dict[str, dict[str, State]] = {vip: {} for vip in of_vips}
    at_once, interfaces = max(1, AT_ONCE // len(of_vips)), {i.index: i.name for i in engine.interfaces.served()}
    hops: Sequence[NextHop] = ()
    for index, (server, address) in enumerate(zip(*listed, strict=True)):
        if index % at_once == 0:
            await turns.give()
            hops = engine.members.next_hops(service, listed.addresses[index : index + AT_ONCE])
        look = engine.members.look(uuid, address)
        member = translate.member(service, server, address, look.up, hops[index % at_once], now)
        if settled and not up:
            member = member._replace(usable=False, serves=False)
        grace = _grace(engine, service, member, now)
        state = servers[server.address] = _server_state(service, member, grace, look)
        for vip, states in by_vip.items() if len(by_vip) > 1 else ():
            its = engine.members.look(uuid, address, socket.inet_aton(vip))
            states[server.address] = _server_state(service, member, grace, its)
        if brief:
            told.append(pack({"state": state.word}))
            continue
        tally, handshakes = Tally(), HandshakeTally()
        for name in names:
            if counted := counters.servers.get((name, address)):
                tally.packets += counted.packets
                tally.bytes += counted.bytes
            if sampled := counters.server_handshakes.get((name, address)):
                handshakes.add(sampled)
        share = max((shares[index] / service.slots for shares in owned), default=0.0)
        vips = {vip: states[server.address] for vip, states in by_vip.items() if states}
        its_report = {
            **_server(engine, service, member, look, state, grace, share, tally, vips),
            "interface": interfaces.get(member.next_hop.interface or 0),
            "handshakes": _handshakes(engine, (uuid, address), handshakes),
        }
        told.append(pack(its_report))
    if len(by_vip) == 1:
        by_vip = dict.fromkeys(by_vip, servers)
    pools = {vip: _pool_state(engine, one, by_vip[vip]) for vip, one in of_vips.items()}
    return _Seen(
        service,
        told,
        operstate.of_vips(pools),
        {vip: (pool, by_vip[vip]) for vip, pool in pools.items()},
    )


def _pool_state(engine: Engine, service: plan.Service, servers: Servers) -> State:
    """A pool's state for the VIP of a service."""
    settled, up = engine.pools.is_settled(service), engine.pools.is_up(service)
    return operstate.pool(service, servers, settled=settled, up=up)


def _pool(engine: Engine, service: plan.Service, seen: _Seen) -> dict[str, Any]:
    return {
        "name": service.pool,
        "tenant": service.pool_tenant or service.tenant,
        "uuid": service.pool_uuid,
        "state": seen.pool.word,
        "reason": seen.pool.reason,
        "changed": engine.changes.of_pool(service.pool_uuid),
        "slots": service.slots,
        "tables": len(engine.pools.names(service.pool_uuid)),
        "servers": seen.told,
    }


def _server(
    engine: Engine,
    service: plan.Service,
    member: translate.PoolMember,
    look: Look,
    state: State,
    grace: Grace,
    share: float,
    tally: Tally,
    vips: Servers,
) -> dict[str, Any]:
    pool, mac = service.pool_uuid, member.next_hop.mac
    failed, by_monitor = engine.members.failed_checks(pool, member.address)
    return {
        "address": member.server.address,
        "port": member.server.port,
        "weight": member.server.weight,
        "enabled": member.server.enabled,
        "state": state.word,
        "reason": state.reason,
        "vips": [{"vip": vip, "state": its.word, "reason": its.reason} for vip, its in vips.items()],
        "changed": engine.changes.of_server(pool, member.address),
        "remedy": engine.members.remedy(look),
        "serves_for": grace.seconds if state.word == operstate.DISABLED else None,
        **_flows(grace.flows if state.word == operstate.DISABLED else None),
        "host": None if look.fault.reason else engine.members.health.host_answers(member.address),
        "failed_checks": failed,
        "failed_by_monitor": by_monitor,
        "answers_in": _answers_in(look),
        "in_table": share > 0,
        "share": round(share, 5),
        "mac": mac.hex(":") if mac else None,
        "packets": tally.packets,
        "bytes": tally.bytes,
    }


def _answers_in(look: Look) -> dict[str, Any] | None:
    took = sorted(chain.from_iterable(state.took for state in look.checks.values()))
    if not took:
        return None
    return {"median": round(took[len(took) // 2], 6), "slowest": round(took[-1], 6), "probes": len(took)}


def _handshakes(engine: Engine, key: Key, tally: HandshakeTally) -> dict[str, Any]:
    share = engine.handshakes.share(key)
    return {
        "sampled": tally.begun,
        "answered": tally.answered,
        "unanswered": max(0, tally.unanswered - tally.late),
        "share": None if share is None else round(share, 4),
    }


def _server_state(service: plan.Service, member: translate.PoolMember, grace: Grace, look: Look) -> State:
    """A server's state: for a VIP, or as such."""
    seen = Seen(
        monitored=bool(look.checks),
        up=look.up,
        known=look.known,
        why=look.why,
        failing=not look.down_for and any(state.up is False for state in look.checks.values()),
        fault=look.fault.reason,
        unresolved=member.next_hop.mac is None,
    )
    return operstate.server(member.server, service.pool_enabled, seen, grace)


def _flows(flows: Flows | None) -> dict[str, Any]:
    if flows is None:
        return {"flows": None, "idle_flows": None, "last_packet": None}
    return {"flows": flows.live, "idle_flows": flows.idle, "last_packet": round(flows.last, 1) if flows.live else None}


def _grace(engine: Engine, service: plan.Service, member: translate.PoolMember, now: float) -> Grace:
    until = member.server.serve_until
    left = until if until == plan.FOR_EVER else max(0.0, until - now)
    flows = (
        engine.pools.flows(service.pool_uuid, member.life)
        if left and member.serves and not service.per_packet
        else None
    )
    return Grace(round(left, 1) if member.serves else 0.0, bool(until), flows)
