"""The routes that the kernel chooses, looked up many at a time, and routes as ip(8) writes them (linux/rtnetlink.h)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dataplane.errors import command
from dataplane.network import rtnetlink
from dataplane.network.rtnetlink import RTM_GETROUTE, Request, RtnetlinkSocket, attribute

RTN_UNICAST = 1
RT_TABLE_MAIN = 254
RTPROT_KERNEL = 2
BODY = struct.Struct("=8BI")
"""rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type; flags."""
PROTOCOL_AT = 5

_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 6, 7, 15
_TYPE_AT = 7


@dataclass(frozen=True, slots=True)
class KernelRoute:
    """The kernel's route to an address."""

    index: int  # the egress interface
    gateway: bytes  # the next hop, or the address itself
    source: bytes  # the address that the kernel would send from


@dataclass(frozen=True, slots=True)
class ToldRoute:
    """An IPv4 route as the kernel tells that it is there, or gone."""

    prefix: bytes  # of its destinations, 4 bytes
    length: int  # bits of the prefix
    kind: int  # RTN_…
    table: int
    protocol: int  # RTPROT_…
    interface: int | None  # None: it has several next hops
    gateway: bytes  # empty if it has none
    source: bytes  # its preferred source address, empty if it has none
    metric: int  # 0 if it has none


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table, in the words of ip(8)."""

    prefix: str  # "10.0.0.0/8" or "default"
    via: str  # the next hop, "" if it has none
    interface: str  # the egress interface's name
    metric: int = 0  # 0 if it has none
    source: str = ""  # its preferred source address, "" if it has none
    connected: bool = False  # the kernel made it, for an address of the interface

    def __str__(self) -> str:
        via = f" via {self.via}" if self.via else ""
        return f"{self.prefix}{via} dev {self.interface}" + (f" metric {self.metric}" if self.metric else "")

    @property
    def remedy(self) -> str:
        """The command that restores it; a connected route comes back with its address."""
        if self.connected:
            length = self.prefix.partition("/")[2]
            return command("ip address add {}/{} dev {}", self.source, length, self.interface)
        words = [self.prefix, *(("via", self.via) if self.via else ()), "dev", self.interface]
        words += [*(("metric", self.metric) if self.metric else ()), *(("src", self.source) if self.source else ())]
        return command(f"ip route add{' {}' * len(words)}", *words)


def read_route(body: bytes) -> ToldRoute | None:
    """The route of a message (RTM_NEWROUTE, RTM_DELROUTE); None where it is none of IPv4."""
    family, length, _, _, table, protocol, _, kind, _ = BODY.unpack_from(body)
    if family != socket.AF_INET:
        return None
    found = rtnetlink.attributes(body, BODY.size)
    number = {name: struct.unpack_from("=I", value)[0] for name, value in found.items() if len(value) == 4}
    return ToldRoute(
        found.get(_RTA_DST, bytes(4)),
        length,
        kind,
        number.get(_RTA_TABLE) or table,
        protocol,
        number.get(_RTA_OIF),
        found.get(_RTA_GATEWAY, b""),
        found.get(_RTA_PREFSRC, b""),
        number.get(_RTA_PRIORITY, 0),
    )


def kernel_routes(kernel: RtnetlinkSocket, addresses: Sequence[bytes]) -> list[KernelRoute | None]:
    """The kernel's routes to some addresses, rules and metrics included (RTM_GETROUTE); None for an address without a
    route. Raises OSError."""
    return [
        None if answer.error else _kernel_route(answer.body, address)
        for address, answer in zip(addresses, kernel.ask([_question(address) for address in addresses]), strict=True)
    ]


def _question(address: bytes) -> Request:
    return Request(RTM_GETROUTE, 0, BODY.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, address))


def _kernel_route(body: bytes, address: bytes) -> KernelRoute | None:
    found = rtnetlink.attributes(body, BODY.size)
    index, source = found.get(_RTA_OIF), found.get(_RTA_PREFSRC)
    if index is None or source is None or body[_TYPE_AT] != RTN_UNICAST:
        return None
    return KernelRoute(struct.unpack("=i", index)[0], found.get(_RTA_GATEWAY, address), source)
