"""What an engine is asked before the plan changes: who is up, and who is prepared for what is new."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from dataplane import plan
from dataplane.engine.engine import Engine
from dataplane.health.probes.check import Check

PATIENCE = 0.5
"""Of the time that there is, the part that a server has for its answer."""
LIMIT = 0.8
"""The part for all of them: whoever asks is to hear of it in time."""


async def known(
    engine: Engine, pools: Sequence[str], servers: Sequence[Sequence[str]], within: float
) -> dict[str, Any]:
    """What the engine knows of some pools (uuids), and finds out about servers, each VIP, mode and address. within:
    seconds.

    {"name": the engine's,
     "pools": {uuid: {vip: [addresses of servers that are up], null where the pool does not forward yet}},
     "flows": {uuid: {address: flows of a disabled server that live}},
     "servers": [[vip, mode, address, prepared: true|false|null (not known), why]]}
    Pools that it does not forward are left out. Nothing is changed by it.
    """
    found = await asyncio.gather(*(_prepared(engine, within, *one) for one in servers))
    return {
        "name": engine.name,
        "pools": {uuid: up for uuid in pools if (up := _up(engine, uuid))},
        "flows": {uuid: flows for uuid in pools if (flows := _flows(engine, uuid))},
        "servers": [[*one, *answer] for one, answer in zip(servers, found, strict=True)],
    }


def _up(engine: Engine, uuid: str) -> dict[str, list[str] | None]:
    """The servers that are up for each VIP of a pool."""
    listed = engine.index.members(uuid).servers
    up: dict[str, list[str] | None] = {}
    for service in engine.index.of_pool(uuid):
        if service.vip not in up:
            states = zip(listed, engine.members.ups(service), strict=True)
            up[service.vip] = (
                [server.address for server, is_up in states if is_up] if engine.pools.is_settled(service) else None
            )
    return up


def _flows(engine: Engine, uuid: str) -> dict[str, int]:
    """The flows that live of servers that are disabled, and serve on."""
    members = zip(*engine.index.members(uuid), strict=True)
    found = {
        server.address: engine.pools.flows(uuid, (address, server.generation)).live
        for server, address in members
        if not server.enabled
    }
    return {address: live for address, live in found.items() if live}


async def _prepared(engine: Engine, within: float, vip: str, mode: str, server: str) -> tuple[bool | None, str]:
    """Whether a server answers for a VIP. A server of no pool leaves no route of its probe behind."""
    address = socket.inet_aton(server)
    asked = Check(socket.inet_aton(vip), address, 0, plan.Monitor("", plan.MONITOR_PING), mode)
    if mode != plan.L2:
        engine.network.look_once(address)
    try:
        async with asyncio.timeout(LIMIT * within):
            return await engine.members.examiner.answers(asked, PATIENCE * within)
    except TimeoutError:
        return None, f"it was not asked within {within:g} s"
    finally:
        if not engine.index.behind(address):
            engine.paths.shut(address)
        engine.network.forget(address)
