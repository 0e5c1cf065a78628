"""The diagnosis of a pool: examines its servers and tells, for each, what is wrong and what mends it.

    {"pool", "uuid", "servers": [{"address", "vip", "state", "reason", "verdict", "probes": {name: result},
        "way_back": text, "findings": [{"what", "host": server|engine, "on": address, "commands": [text],
                                        "because": text, "advice": text, "grave": bool}]}]}

One entry a server and VIP. `verdict` is the first grave finding, "" where there is none. `way_back` is
what is known of whether its answers reach the clients, "" where nothing is. It ends within LIMIT seconds,
whatever the number of servers: those that are down come first, and those whose turn does not come are told.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from dataplane import plan
from dataplane.diagnosis import findings
from dataplane.diagnosis.findings import CLOSED, EXPIRES, OPEN, REFUSED, REPLIES, SILENT, Facts, Finding
from dataplane.engine.engine import Engine
from dataplane.errors import EngineError
from dataplane.health.probes.check import Check

AT_A_TIME = 16
"""Servers that are examined at once."""
LIMIT = 30.0
"""Seconds for all."""

Tell = Callable[[str], None]

_ECHO = {REPLIES: "answers", EXPIRES: "sent on: not its address", REFUSED: "refused", SILENT: "silent"}
_PORT = {OPEN: "open", CLOSED: "closed", SILENT: "silent"}


async def diagnose(engine: Engine, pool: str, server: str, tell: Tell) -> dict[str, Any]:
    """Examine the servers of a pool (its uuid), or one of them by its address. Raises EngineError."""
    services = {s.vip: s for s in engine.services.values() if s.pool_uuid == pool}
    if not services:
        raise EngineError("it forwards no virtual service of this pool")
    members = [(service, member) for service in services.values() for member in service.servers]
    names = {
        mac.hex(":"): member.address
        for _, member in members
        if (mac := engine.next_hops.on_segment(socket.inet_aton(member.address)).mac)
    }
    if server:
        members = [(service, member) for service, member in members if member.address == server]
        if not members:
            there = ", ".join(sorted({m.address for s in services.values() for m in s.servers})[:12])
            raise EngineError(f"the pool has no server {server}; it has {there}")
    members.sort(key=lambda m: _state(engine, *m)[0] == "up")
    turns = asyncio.Semaphore(AT_A_TIME)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIMIT

    async def one(service: plan.Service, member: plan.Server) -> dict[str, Any]:
        address = socket.inet_aton(member.address)
        state, reason = _state(engine, service, member)
        told = {
            "address": member.address,
            "vip": service.vip,
            "state": state,
            "reason": reason,
            "way_back": engine.handshakes.seen(pool, address),
        }
        try:
            async with asyncio.timeout_at(deadline), turns:
                facts = await engine.members.examiner.examine(_checks(engine, service, member), names, tell)
        except TimeoutError:
            return {**told, "verdict": "not examined: out of time", "probes": {}, "findings": []}
        found = [*_own_host(engine, service, address), *findings.findings(facts)]
        if unheard := engine.handshakes.words(pool, address):
            found.append(Finding(unheard, because="clients repeat their SYN to it, and do not go on"))
        where = {findings.SERVER: member.address, findings.ENGINE: facts.engine}
        return {
            **told,
            "verdict": next((f.what for f in found if f.grave), ""),
            "probes": probes(facts),
            "findings": [{**f.document(), "on": where[f.host]} for f in found],
        }

    tell(f"{len(members)} server{'s' if len(members) != 1 else ''} to examine, at most {LIMIT:.0f} s")
    examined = await asyncio.gather(*(one(service, member) for service, member in members))
    examined.sort(key=lambda e: (socket.inet_aton(e["address"]), e["vip"]))
    return {"pool": next(iter(services.values())).pool, "uuid": pool, "servers": examined}


def _state(engine: Engine, service: plan.Service, member: plan.Server) -> tuple[str, str]:
    """A server's state for a service's VIP, and why."""
    return engine.members.state(service.pool_uuid, socket.inet_aton(member.address), socket.inet_aton(service.vip))


def _own_host(engine: Engine, service: plan.Service, server: bytes) -> list[Finding]:
    """What is wrong on the engine's own host: a server that its frames do not reach is not to blame."""
    interface = engine.next_hops.of((server,), service.mode)[0].interface
    sending = engine.sending.of(interface)
    what = sending.fault or engine.sending.words(interface)
    found = [Finding(what, findings.ENGINE, advice=sending.remedy)] if what else []
    senders = engine.sending.senders(socket.inet_aton(service.vip))
    return [*found, *([Finding(senders, findings.ENGINE, grave=False)] if senders else [])]


def _checks(engine: Engine, service: plan.Service, member: plan.Server) -> tuple[Check, ...]:
    """A server's monitors for a VIP; where it has none, a ping stands in."""
    address, vip = socket.inet_aton(member.address), socket.inet_aton(service.vip)
    return engine.members.checks(service.pool_uuid, address, vip) or (
        Check(vip, address, member.port, plan.Monitor("", plan.MONITOR_PING, receive_timeout=1), service.mode),
    )


def probes(facts: Facts) -> dict[str, str]:
    """What was asked and answered, in a few words each, in reading order."""
    if facts.no_route:
        return {"route": facts.no_route}
    told = {"route": f"{facts.interface or '?'} from {facts.engine}"}
    if facts.next_hop:
        told["route"] += f": {facts.next_hop}"
    if facts.on_link:
        told["ARP"] = ", ".join(sorted(facts.answers)) or "silent"
        told["neighbour"] = facts.neighbour + (" (fixed)" if facts.permanent else "") or "none"
    told["ARP for VIP"] = ", ".join(sorted(facts.owners)) or "nobody else"
    told["host"] = "answers ping" if facts.host else "silent to ping"
    told["VIP"] = "another host answers" if facts.relayed else _ECHO[facts.echo]
    if facts.last != facts.echo:
        told["VIP, TTL 1"] = _ECHO[facts.last]
    if facts.tcp:
        told["host"] += f", port {facts.port} {_PORT[facts.host_port]}"
        told["VIP"] += f", port {facts.port} {_PORT[facts.vip_port]}"
    if facts.mode != plan.L2:
        # A program that decapsulates for the VIP alone leaves a question to the server's own address to be refused.
        decapsulates = facts.served or facts.inner == REPLIES
        told["tunnel"] = "decapsulates" if decapsulates else facts.refusal or "silent"
    if facts.full:
        told["full size"] = f"{facts.fits or '?'} of {facts.full} bytes"
    if facts.failing:
        told["monitors"] = "; ".join(facts.failing)
    return told
