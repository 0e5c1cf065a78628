"""The pools that flows come to by routers alone.

While no router hears the engine nobody sends it a flow of them, and what it finds out about servers may be its own cut.
So these pools begin anew when one hears it again: flows that other engines had find the servers that they had there.
"""

from __future__ import annotations

import socket

from dataplane.plan.index import ServiceIndex
from dataplane.vip.owner import VipOwner


def found(index: ServiceIndex, vips: VipOwner) -> set[str]:
    """Their uuids: those of which nobody asks for a VIP by ARP."""
    routed = {vip.address for vip in vips.served() if not vip.owned and vips.is_routed(vip.address)}
    pools = {service.pool_uuid for vip in routed for service in index.of_vip(vip)}
    return {uuid for uuid in pools if all(socket.inet_aton(s.vip) in routed for s in index.of_pool(uuid))}
