"""Many neighbours at once (rtnetlink(7), RTM_NEWNEIGH): who is known, and who is to be found.

What a message means stands in linux/neighbour.h. A hundred thousand servers are read in a tenth of a second here;
the library that reads everything else takes some seconds for them.
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
_UNKNOWN = NUD_INCOMPLETE | NUD_FAILED
NTF_USE = 0x01
AT_ONCE = 256
"""Neighbours asked for by one send."""

_NEIGHBOUR = struct.Struct("=B3xiHBB")  # ndmsg: family, interface, state, flags, type
_KNOWN = struct.Struct("=B3xiHBBHH4sHH6s")
"""A message as the kernel makes it for a neighbour whose MAC address is known: destination first, then that."""
_WHOLE = struct.Struct("=IH10xB3xiH2x4s4s4s6s")
"""The same with its header; the attributes' headers are bytes."""
_DESTINATION, _MAC = struct.pack("=HH", 8, NDA_DST), struct.pack("=HH", 10, NDA_LLADDR)
_USE = struct.Struct("=IHHIIB3xiHBBHH4s")


class Neighbour(NamedTuple):
    """interface: its index; mac: None where the kernel knows none; state: NUD_…"""

    interface: int
    address: bytes
    mac: bytes | None
    state: int


class Known(NamedTuple):
    """Neighbours whose MAC addresses are known, by interface. permanent: those among them that somebody wrote down by
    hand."""

    macs: dict[int, dict[bytes, bytes]]
    permanent: dict[int, set[bytes]]


def known() -> Known:
    """The IPv4 neighbours of this thread's namespace. Raises OSError."""
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
    """Take what is said of neighbours that are alike in all but their addresses, as thousands are: column by column."""
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
    """What a message says (RTM_NEWNEIGH, RTM_DELNEIGH); None: of another protocol's neighbour."""
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

    def ask(self, neighbours: Sequence[tuple[int, bytes]]) -> bool:
        """Ask for some, by interface index and address: each is an ARP request. Of an interface that is gone meanwhile
        nothing is heard. Returns whether the kernel had room for all of them. Raises OSError."""
        room = True
        for first in range(0, len(neighbours), AT_ONCE):
            self._socket.send(b"".join(map(_use, neighbours[first : first + AT_ONCE])))
            with suppress(BlockingIOError):  # what the kernel has against some
                while answer := self._socket.recv(rtnetlink.ROOM):
                    for message in rtnetlink.messages(answer):
                        room &= message.kind != NLMSG_ERROR or rtnetlink.error(message) != errno.ENOBUFS
        return room

    def close(self) -> None:
        """End."""
        self._socket.close()


def _use(neighbour: tuple[int, bytes]) -> bytes:
    index, address = neighbour
    flags = NLM_F_REQUEST | NLM_F_REPLACE | NLM_F_CREATE
    return _USE.pack(_USE.size, RTM_NEWNEIGH, flags, 0, 0, socket.AF_INET, index, 0, NTF_USE, 0, 8, NDA_DST, address)
