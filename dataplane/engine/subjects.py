"""What events of the engine are about: services, pools and servers of the plan, as operators know them."""

from __future__ import annotations

import socket
from bisect import bisect_left

from dataplane import plan
from dataplane.events.model import Subject
from dataplane.plan.index import ServiceIndex


def service(planned: plan.Service) -> tuple[Subject, str]:
    """A service as the subject of an event, and its name in words."""
    port = f"{planned.port}" if planned.port == planned.port_end else f"{planned.port}-{planned.port_end}"
    about = Subject("virtualservice", planned.virtualservice, planned.tenant, planned.uuid)
    return about, f"virtual service {planned.virtualservice} ({planned.vip}, {planned.protocol} {port})"


def member(index: ServiceIndex, pool: str, server: bytes = b"") -> tuple[Subject, str]:
    """A server of a pool as the subject of an event, and its name in words; without an address the pool itself. pool:
    its uuid."""
    one = next(iter(index.of_pool(pool)), None)
    name, tenant = (one.pool, one.pool_tenant or one.tenant) if one is not None else (pool, "")
    if not server:
        return Subject("pool", name, tenant, pool), f"pool {name}"
    address, (servers, addresses) = socket.inet_ntoa(server), index.members(pool)
    at = bisect_left(addresses, server)
    port = f":{servers[at].port}" if addresses[at : at + 1] == (server,) else ""  # it may be leaving
    return Subject("server", address + port, tenant, pool, name), f"server {address}{port} of pool {name}"
