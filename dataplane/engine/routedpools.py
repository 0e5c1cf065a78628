"""The pools that flows come to by routers alone.

While no router hears the engine nobody sends it a flow of them, and what it finds out about servers may be its own cut.
So these pools begin anew when one hears it again: flows that other engines had find the servers that they had there.
"""

from __future__ import annotations

import socket

from dataplane.engine.engine import Engine


def begin_anew(engine: Engine, seconds: float) -> None:
    """No router heard an engine for so many seconds."""
    vips = engine.vips
    routed = {vip.address for vip in vips.served() if not vip.owned and vips.is_routed(vip.address)}
    pools = {service.pool_uuid for vip in routed for service in engine.index.of_vip(vip)}
    pools = {uuid for uuid in pools if all(socket.inet_aton(s.vip) in routed for s in engine.index.of_pool(uuid))}
    engine.members.ask_anew(pools)
    engine.pools.begin_anew(pools, engine.clock.now() - seconds)
    engine.put_anew(pools)
