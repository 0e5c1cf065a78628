"""The next hops of the host's own routes, of all tables (linux/rtnetlink.h): addresses that must not become VIPs."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator

from dataplane.network import policyrouting, routes, rtnetlink
from dataplane.network.rtnetlink import RTM_GETROUTE

log = logging.getLogger("avi-se")

_RTA_GATEWAY, _RTA_MULTIPATH = 5, 9
_NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, hops, interface


class Gateways:
    """The next hops, as they were read last; those of probes' routes are left out."""

    def __init__(self) -> None:
        self._found: frozenset[bytes] = frozenset()

    def __contains__(self, address: bytes) -> bool:
        return address in self._found

    async def read(self) -> bool:
        """Read them; others have the loop in between. Returns whether they have changed."""
        found: set[bytes] = set()
        try:
            for data in rtnetlink.dumped(RTM_GETROUTE, routes.BODY.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
                for body in rtnetlink.bodies(data):
                    if body[routes.PROTOCOL_AT] != policyrouting.PROTOCOL:
                        found.update(_of(rtnetlink.attributes(body, routes.BODY.size)))
                await asyncio.sleep(0)
        except OSError as exc:
            log.warning("the kernel does not tell its routes: %s", exc)
            return False
        before, self._found = self._found, frozenset(found)
        return before != self._found


def _of(attributes: dict[int, bytes]) -> Iterator[bytes]:
    if _RTA_GATEWAY in attributes:
        yield attributes[_RTA_GATEWAY]
    hops, at = attributes.get(_RTA_MULTIPATH, b""), 0
    while at + _NEXT_HOP.size <= len(hops):
        length = _NEXT_HOP.unpack_from(hops, at)[0]
        if length < _NEXT_HOP.size:
            return
        hop = rtnetlink.attributes(hops[at : at + length], _NEXT_HOP.size)
        if _RTA_GATEWAY in hop:
            yield hop[_RTA_GATEWAY]
        at += length + 3 & ~3
