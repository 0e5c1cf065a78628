"""The kernel's IPv4 neighbours, read and resolved many at a time (rtnetlink(7), RTM_NEWNEIGH).

Messages are laid out as in linux/neighbour.h. A hundred thousand neighbours are read in a tenth of a second here;
pyroute2 takes some seconds.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from dataplane.network import rtnetlink
from dataplane.network.rtnetlink import (
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    RTM_GETNEIGH,
    RTM_NEWNEIGH,
)

NDA_DST, NDA_LLADDR = 1, 2
NUD_INCOMPLETE, NUD_FAILED, NUD_PERMANENT = 0x01, 0x20, 0x80
STATE_NAMES = {NUD_INCOMPLETE: "INCOMPLETE", NUD_FAILED: "FAILED"}
"""As `ip neigh` prints the states of those without a MAC address."""
_UNKNOWN = NUD_INCOMPLETE | NUD_FAILED
NTF_USE = 0x01
AT_ONCE = 256
"""Neighbours that one send asks for."""

_NEIGHBOUR = struct.Struct("=B3xiHBB")  # ndmsg: family, interface, state, flags, type
_KNOWN = struct.Struct("=B3xiHBBHH4sHH6s")
"""A message as the kernel makes it for a neighbour whose MAC address is known: the IP address first, then the MAC."""
_WHOLE = struct.Struct("=IH10xB3xiH2x4s4s4s6s")
"""The same with the netlink header; the attributes' headers are read as bytes."""
_DESTINATION, _MAC = struct.pack("=HH", 8, NDA_DST), struct.pack("=HH", 10, NDA_LLADDR)
_USE = struct.Struct("=IHHIIB3xiHBBHH4s")


class Neighbour(NamedTuple):
    """An entry of the kernel's neighbour table."""

    interface: int  # its index
    address: bytes  # 4 bytes
    mac: bytes | None  # None while the kernel knows none
    state: int  # NUD_…


class Known(NamedTuple):
    """Neighbours whose MAC addresses are known, by interface index."""

    macs: dict[int, dict[bytes, bytes]]  # MAC address by IP address
    permanent: dict[int, set[bytes]]  # those among them that were entered by hand


def known() -> Known:
    """The IPv4 neighbours in this thread's namespace. Raises OSError."""
    found = Known({}, {})
    for data in rtnetlink.dumped(RTM_GETNEIGH, _NEIGHBOUR.pack(socket.AF_INET, 0, 0, 0, 0)):
        if _take_alike(found, data):
            continue
        for index, address, mac, state in filter(None, map(read, rtnetlink.bodies(data))):
            if mac is not None:
                found.macs.setdefault(index, {})[address] = mac
                if state & NUD_PERMANENT:
                    found.permanent.setdefault(index, set()).add(address)
    return found


def _take_alike(found: Known, data: bytes) -> bool:
    """Read messages column by column, if all differ in their addresses only, as those of thousands of servers do.

    Returns whether they were read."""
    length = rtnetlink.HEADER.unpack_from(data)[0]
    if length < _WHOLE.size or length % 4 or len(data) % length:
        return False
    messages = struct.iter_unpack(f"{_WHOLE.format}{length - _WHOLE.size}x", data)
    *columns, destination, addresses, link, macs = zip(*messages, strict=True)
    columns += destination, link
    if any(column.count(column[0]) != len(column) for column in columns):
        return False
    size, kind, family, index, state, *attributes = (column[0] for column in columns)
    if (size, kind, family) != (length, RTM_NEWNEIGH, socket.AF_INET) or state & _UNKNOWN:
        return False
    if attributes != [_DESTINATION, _MAC]:
        return False
    found.macs.setdefault(index, {}).update(zip(addresses, macs, strict=True))
    if state & NUD_PERMANENT:
        found.permanent.setdefault(index, set()).update(addresses)
    return True


def read(body: bytes) -> Neighbour | None:
    """The neighbour in a message (RTM_NEWNEIGH, RTM_DELNEIGH); None if it is not an IPv4 neighbour."""
    if len(body) >= _KNOWN.size:
        (family, index, state, _, _, size, first, address, length, second, mac) = _KNOWN.unpack_from(body)
        if (family, size, first, length, second) == (socket.AF_INET, 8, NDA_DST, 10, NDA_LLADDR):
            return Neighbour(index, address, None if state & _UNKNOWN else mac, state)
    if len(body) < _NEIGHBOUR.size:
        return None
    family, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
    found = rtnetlink.attributes(body, _NEIGHBOUR.size)
    address, told = found.get(NDA_DST, b""), found.get(NDA_LLADDR, b"")
    if family != socket.AF_INET or len(address) != 4:
        return None
    return Neighbour(index, address, told if len(told) == 6 and not state & _UNKNOWN else None, state)


class Resolver:
    """Has the kernel find or confirm neighbours (NTF_USE: as if packets were waiting for them)."""

    def __init__(self) -> None:
        self._socket = rtnetlink.opened()
        self._socket.setblocking(False)

    def resolve(self, neighbours: Sequence[tuple[int, bytes]]) -> bool:
        """Have the kernel send an ARP request for each neighbour. neighbours: interface index and address; an interface
        that no longer exists is skipped. Returns whether the kernel had room for all of them. Raises OSError."""
        room = True
        for first in range(0, len(neighbours), AT_ONCE):
            self._socket.send(b"".join(map(_use, neighbours[first : first + AT_ONCE])))
            with suppress(BlockingIOError):  # the kernel answers only to refuse
                while answer := self._socket.recv(rtnetlink.ROOM):
                    for message in rtnetlink.messages(answer):
                        room &= message.kind != NLMSG_ERROR or rtnetlink.error(message) != errno.ENOBUFS
        return room

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _use(neighbour: tuple[int, bytes]) -> bytes:
    index, address = neighbour
    flags = NLM_F_REQUEST | NLM_F_REPLACE | NLM_F_CREATE
    return _USE.pack(_USE.size, RTM_NEWNEIGH, flags, 0, 0, socket.AF_INET, index, 0, NTF_USE, 0, 8, NDA_DST, address)
