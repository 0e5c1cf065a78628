"""Links and their addresses, as rtnetlink tells them (rtnetlink(7), linux/if_link.h, linux/if_addr.h)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dataplane.network import rtnetlink
from dataplane.network.rtnetlink import RTM_GETADDR, RTM_GETLINK

# linux/if.h, linux/if_arp.h
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772  # linux/if_arp.h

_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU = 1, 3, 4
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_MAC_LENGTH = 6
_U32 = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the kernel reports it."""

    index: int  # its number in this namespace
    name: str  # an interface's, like eth0
    mac: bytes  # 6 bytes; zeros if it has none
    mtu: int  # bytes
    on: bool  # administratively up
    up: bool  # administratively up, and has a carrier
    ethernet: bool  # its frames are Ethernet frames
    loopback: bool  # it leads back to this host


class Address(NamedTuple):
    """An IPv4 address of a link."""

    link: int  # its index
    address: bytes
    length: int  # bits of its network's prefix


def links() -> Iterator[Link]:
    """All links of this namespace. Raises OSError."""
    return filter(None, map(read_link, rtnetlink.dump(RTM_GETLINK, bytes(_LINK.size))))


def addresses() -> Iterator[Address]:
    """All IPv4 addresses of this namespace. Raises OSError."""
    asked = _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)
    return filter(None, map(read_address, rtnetlink.dump(RTM_GETADDR, asked)))


def read_link(body: bytes) -> Link | None:
    """The link of a message; None where it is about something else of it, as about a port of a bridge."""
    family, kind, index, flags, _ = _LINK.unpack_from(body)
    found = rtnetlink.attributes(body, _LINK.size)
    if family != socket.AF_UNSPEC or _IFLA_IFNAME not in found:
        return None
    mac, on = found.get(_IFLA_ADDRESS, b""), bool(flags & IFF_UP)
    return Link(
        index,
        found[_IFLA_IFNAME].rstrip(b"\0").decode(errors="replace"),
        mac if len(mac) == _MAC_LENGTH else bytes(_MAC_LENGTH),
        _U32.unpack(found[_IFLA_MTU])[0] if _IFLA_MTU in found else 1500,
        on,
        on and bool(flags & IFF_LOWER_UP),
        kind == _ARPHRD_ETHER,
        kind == _ARPHRD_LOOPBACK,
    )


def read_address(body: bytes) -> Address | None:
    """The address of a message; None where it is none of IPv4."""
    family, length, _, _, index = _ADDRESS.unpack_from(body)
    found = rtnetlink.attributes(body, _ADDRESS.size)
    address = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
    return Address(index, address, length) if family == socket.AF_INET and address else None
