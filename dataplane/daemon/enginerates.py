"""Rates: the counters of a moment ago are kept, and compared with those of now."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from dataplane.daemon.aspect import Aspect, asked
from dataplane.engine.engine import Engine
from dataplane.forwarding import handshakes, poolnames, translate
from dataplane.forwarding.driver import Asked
from dataplane.forwarding.values import Counters, HandshakeTally, Tally
from dataplane.runtime.turns import Turns

EVERY = 2.0
"""Seconds between two moments that are kept."""
SPARED = 50
"""How many times as long as reading the counters took nothing is read again: a fiftieth of a processor."""
LEAST = 1.0
"""Seconds that a rate is of, at least."""
MOST = 5_000
"""Services and servers of which counters are kept; of more there are no rates."""
AT_ONCE = 200
"""Servers whose rates are reckoned before others have the loop."""
FLOWS = (1 << 32) // handshakes.SAMPLED_BELOW
"""TCP flows that one sampled flow stands for."""


class EngineRates:
    """The rates of an engine. read: the driver's counters, in pieces; many: of how many services and servers they are;
    clock: seconds that nobody moves."""

    def __init__(
        self,
        read: Callable[[Asked | None], Iterator[Counters]],
        many: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._many, self._clock = read, many, clock
        self._kept: list[tuple[float, Counters]] = []  # at most two, the older first

    async def run(self) -> None:
        """Keep counters, for ever. Whatever begins with the engine goes first: with many servers that takes a while."""
        await asyncio.sleep(LEAST)
        while True:
            begun = time.process_time()
            await self.keep()
            await asyncio.sleep(max(EVERY, SPARED * (time.process_time() - begun)))

    async def keep(self) -> None:
        """Keep the counters of this moment."""
        if self._many() > MOST:
            self._kept = []
            return
        now = self._clock()
        self._kept = [*self._kept[-1:], (now, await Turns().last(self._read(None)))]

    async def report(self, engine: Engine, aspect: Aspect) -> dict[str, Any] | None:
        """Rates of the services and servers that an aspect is about; None where nothing was kept a second ago.

        {"seconds": that they are of, "dropped": {reason: packets a second},
         "services": {key in the plan: {"packets", "bytes", "flows": TCP flows begun, reckoned from the sampled ones,
          "dropped": {reason: packets}}}, "servers": {pool's uuid: {address: {"packets", "bytes", "flows"}}}}
        """
        now = self._clock()
        kept = next(((at, one) for at, one in reversed(self._kept) if now - at >= LEAST), None)
        if kept is None:
            return None
        chosen, turns = aspect.of(engine.services), Turns()
        counters = await turns.last(self._read(asked(engine, chosen, servers=not aspect.brief)))
        seconds, before = now - kept[0], kept[1]
        pools = {service.pool_uuid for service in chosen}
        servers: dict[str, dict[str, dict[str, float]]] = {}
        for number, ((name, address), tally) in enumerate(counters.servers.items()):
            if number % AT_ONCE == 0:
                await turns.give()
            if not aspect.brief and (uuid := poolnames.parts(name).uuid) in pools:
                which = name, address
                begun = _begun(counters.server_handshakes.get(which), before.server_handshakes.get(which))
                found = _rates(tally, before.servers.get(which), begun, seconds)
                told = servers.setdefault(uuid, {}).setdefault(socket.inet_ntoa(address), dict.fromkeys(found, 0.0))
                for what, rate in found.items():
                    told[what] = round(told[what] + rate, 2)
        services = {}
        for service in chosen:
            key = translate.key(service)
            begun = _begun(counters.service_handshakes.get(key), before.service_handshakes.get(key))
            services[service.key] = {
                **_rates(counters.services.get(key, Tally()), before.services.get(key), begun, seconds),
                "dropped": _risen(counters.service_drops.get(key, {}), before.service_drops.get(key, {}), seconds),
            }
        dropped = _risen(counters.dropped, before.dropped, seconds)
        return {"seconds": round(seconds, 2), "dropped": dropped, "services": services, "servers": servers}


def _begun(now: HandshakeTally | None, before: HandshakeTally | None) -> int:
    return ((now.begun if now else 0) - (before.begun if before else 0)) * FLOWS


def _rates(now: Tally, before: Tally | None, begun: int, seconds: float) -> dict[str, float]:
    """A counter that began anew meanwhile counts from zero."""
    first = before if before is not None and before.packets <= now.packets else Tally()
    return {
        "packets": round((now.packets - first.packets) / seconds, 2),
        "bytes": round((now.bytes - first.bytes) / seconds, 2),
        "flows": round(max(0, begun) / seconds, 2),
    }


def _risen(now: dict[str, int], before: dict[str, int], seconds: float) -> dict[str, float]:
    risen = {reason: count - before.get(reason, 0) for reason, count in now.items()}
    return {reason: round(count / seconds, 2) for reason, count in risen.items() if count > 0}
