"""Which services, pools and VIPs a client of an engine wants to hear of. A report of all is megabytes where there are
thousands of servers."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataplane import plan
from dataplane.engine.engine import Engine
from dataplane.forwarding import translate
from dataplane.forwarding.driver import Asked
from dataplane.forwarding.values import Vip

NONE, STATES = "none", "states"
"""Of none; of all, but of each its state alone."""


_PLACE = ("uuid", "vip", "protocol", "port", "port_end", "pool", "pool_uuid")
"""What tells a service from the others of its virtual service."""


class Aspect:
    """about: NONE (of VIPs alone), STATES, the uuid of a virtual service or pool, or "": of all, with all that there is
    to tell."""

    def __init__(self, about: str) -> None:
        self._about = about

    @property
    def _of_all(self) -> bool:
        return self._about in ("", STATES)

    @property
    def brief(self) -> bool:
        """Whether servers are told by their states alone."""
        return self._about == STATES

    def of(self, services: Mapping[str, plan.Service]) -> list[plan.Service]:
        """The services that are told, by their keys. Their pools are told, too."""
        if self._about == NONE:
            return []
        chosen = [
            (key, service)
            for key, service in services.items()
            if self._of_all or self._about in (service.uuid, service.pool_uuid)
        ]
        return [service for _, service in sorted(chosen)]

    def vips(self, served: Iterable[Vip], chosen: Sequence[plan.Service]) -> list[Vip]:
        """The VIPs that are told: of one virtual service or pool its own, else all. chosen: the services."""
        if self._of_all or self._about == NONE:
            return list(served)
        addresses = {socket.inet_aton(service.vip) for service in chosen}
        return [vip for vip in served if vip.address in addresses]

    def services(self, told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The part of the services' reports that is told."""
        return [_brief(one, *_PLACE) for one in told] if self._about == STATES else list(told)

    def pools(self, told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The part of the pools' reports that is told. Of their servers as much is there as `brief` says."""
        if self._about != STATES:
            return list(told)
        return [_brief(one, "uuid", "servers") for one in told]


def asked(engine: Engine, chosen: Sequence[plan.Service], *, servers: bool = True) -> Asked | None:
    """Whose counters tell of services. servers: and of their pools' servers."""
    if servers and len(chosen) == len(engine.services):
        return None
    pools = dict.fromkeys(service.pool_uuid for service in chosen if servers)
    return Asked(list(map(translate.key, chosen)), [name for uuid in pools for name in engine.pools.names(uuid)])


def _brief(report: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: report[name] for name in (*names, "state")}


WHOLE = Aspect("")
"""All of it."""
