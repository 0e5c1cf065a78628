"""Where one flow's packets go, and why: what the tables say, and what the driver says of a frame made up."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any

from dataplane import plan
from dataplane.engine.engine import Engine
from dataplane.errors import EngineError
from dataplane.forwarding import translate
from dataplane.forwarding.driver import Trace
from dataplane.forwarding.maglev import NO_SERVER
from dataplane.forwarding.rewrite import checksum
from dataplane.forwarding.tracking import Entry, Flow, slot_for
from dataplane.forwarding.values import STABLE, TCP, TRANSITION, Interface, Pool, Target
from dataplane.plan.history import Held

STRANGER = bytes.fromhex("02aab1f70b01")
"""The MAC address that made-up frames come from: one of no device."""
PHASES = {STABLE: "stable", TRANSITION: "transition"}
LOOKED_BACK = 8
"""Changes of a pool that are gone back to find who had a slot before."""
_ACK, _WINDOW, _DF, _TTL = 0x10, 1024, 0x4000, 64


def frame(flow: Flow, interface: Interface) -> bytes:
    """A packet of the flow that is no SYN, as it comes to an interface: TCP an ACK without data, UDP 8 bytes."""
    ports = struct.pack("!HH", flow.client_port, flow.port)
    if flow.protocol == TCP:
        body = ports + struct.pack("!IIBBHHH", 1, 1, 5 << 4, _ACK, _WINDOW, 0, 0)
        at = 16
    else:
        body = ports + struct.pack("!HH", 16, 0) + bytes(8)
        at = 6
    summed = checksum(flow.client + flow.vip + struct.pack("!BBH", 0, flow.protocol, len(body)) + body)
    body = body[:at] + struct.pack("!H", summed or 0xFFFF) + body[at + 2 :]
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0x4000, _TTL, flow.protocol, 0, flow.client, flow.vip
    )
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return interface.mac + STRANGER + b"\x08\x00" + head + body


async def explain(engine: Engine, uuid: str, client: str, port: int) -> dict[str, Any]:
    """Of each service of a virtual service (its uuid), where a client's flow goes.

    {"flows": [{"vip", "protocol", "port", "slots", "slot": of the pool's table, "phase": stable|transition|tracked,
      "owner": the slot's server, "former": the one that it had before, of a slot in transition, "earlier": the last
      other one that it had, {"server", "until": seconds since the epoch, "now": removed|disabled|down|unknown|up,
      "reason": why it is down}, null where the pool has not changed for as long as connections may be idle,
      "remembered": former|begun|null and "remembered_server": what is known of this very flow, "server",
      "server_port", "mac", "egress": where the packet goes, "verdict": forwarded|dropped|answered|host,
      "reason": of a drop, "by": who decided: the program|the reference}]}
    Servers are addresses, null where there is none. The packet is one that is no SYN: a SYN goes to the owner. Raises
    EngineError where the engine forwards nothing of it.
    """
    services = [service for service in engine.services.values() if service.uuid == uuid]
    if not services:
        raise EngineError("this engine forwards nothing of that virtual service")
    found = [await _of(engine, one, client, port) for one in sorted(services, key=lambda one: (one.vip, one.port))]
    return {"flows": found}


async def _of(engine: Engine, service: plan.Service, client: str, port: int) -> dict[str, Any]:
    key = translate.key(service)
    flow = Flow(socket.inet_aton(client), key.vip, key.protocol, port, key.port)
    value = engine.pools.values.get(engine.pools.name(service))
    told: dict[str, Any] = {"vip": service.vip, "protocol": service.protocol, "port": service.port}
    if value is None:
        return (
            told
            | {"slots": 0, "slot": None, "phase": None, "owner": None, "former": None, "earlier": None}
            | await _asked(engine, flow, service, None)
        )
    slot = slot_for(flow, translate.service(service, value.uuid), value)
    phase = value.phases[slot] if value.phases else STABLE
    told |= {
        "slots": value.slots,
        "slot": slot,
        "phase": PHASES.get(phase, "tracked"),
        "owner": _address(value, value.table[slot]),
        "former": _address(value, value.fallback[slot]) if phase == TRANSITION else None,
    }
    changes = engine.pools.changes().get(value.uuid, ())
    found = await asyncio.to_thread(earlier, changes, service, slot, told["owner"])
    told["earlier"] = None if found is None else _as_it_is_now(engine, service, *found)
    return told | await _asked(engine, flow, service, value)


def earlier(changes: Sequence[Held], service: plan.Service, slot: int, owner: str | None) -> tuple[str, float] | None:
    """The last server but its owner that had a slot, by the changes of its pool, and until when it had it."""
    for held, after in reversed(list(zip(changes, changes[1:], strict=False))[-LOOKED_BACK:]):
        former = plan.Former(held.since, held.servers)
        lives = sorted(translate.former_lives(former))
        had = translate.former_table(service, former, lives)[slot] if lives else NO_SERVER
        if had != NO_SERVER and (address := socket.inet_ntoa(lives[had][0])) != owner:
            return address, after.since
    return None


def _as_it_is_now(engine: Engine, service: plan.Service, server: str, until: float) -> dict[str, Any]:
    """What became of a server that had a slot."""
    planned = next((one for one in service.servers if one.address == server), None)
    now, reason = "removed", ""
    if planned is not None:
        now, reason = engine.members.state(service.pool_uuid, socket.inet_aton(server), socket.inet_aton(service.vip))
        if not planned.enabled:
            now, reason = "disabled", ""
    return {"server": server, "until": until, "now": now, "reason": reason if now == "down" else ""}


async def _asked(engine: Engine, flow: Flow, service: plan.Service, value: Pool | None) -> dict[str, Any]:
    """What the driver says. It may have to load its program for it, so a thread asks."""
    interface = next(iter(engine.interfaces.served()), None)  # which one does not matter to what is decided
    if interface is None:
        raise EngineError("this engine serves no interface")
    trace = await asyncio.to_thread(engine.driver.trace, frame(flow, interface), interface.index, flow)
    target = _target(trace, value)
    kind, entry = _remembered(trace)
    egress = next(
        (i.name for i in engine.interfaces.served() if target is not None and i.index == target.interface), None
    )
    port = next((s.port for s in service.servers if target and s.address == socket.inet_ntoa(target.address)), None)
    return {
        "remembered": kind,
        "remembered_server": socket.inet_ntoa(entry.member_id.address) if entry else None,
        "server": socket.inet_ntoa(target.address) if target else None,
        "server_port": port,
        "mac": trace.frames[0][:6].hex(":") if target else None,
        "egress": egress,
        "verdict": trace.action,
        "reason": trace.reason,
        "by": trace.by,
    }


def _target(trace: Trace, value: Pool | None) -> Target | None:
    """The server that what leaves goes to: by its MAC address, or the outer destination of its tunnel."""
    if trace.action != "forwarded" or value is None or not trace.frames:
        return None
    sent = trace.frames[0]
    if value.mode != plan.L2:
        return next((t for t in value.targets if t.address == sent[30:34]), None)
    return next((t for t in value.targets if t.mac == sent[:6]), None)


def _remembered(trace: Trace) -> tuple[str | None, Entry | None]:
    if trace.remembered.elder is not None:
        return "former", trace.remembered.elder
    if trace.remembered.young is not None:
        return "begun", trace.remembered.young
    return None, None


def _address(value: Pool, owner: int) -> str | None:
    return None if owner == NO_SERVER else socket.inet_ntoa(value.targets[owner].address)
