"""Many neighbours at once (rtnetlink(7), RTM_NEWNEIGH): who is known, and who is to be found.

What a message means stands in linux/neighbour.h. A hundred thousand servers are read in a quarter of a second here;
the library that reads everything else takes some seconds for them.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_CREATE = 0x1, 0x300, 0x100, 0x400
NDA_DST, NDA_LLADDR = 1, 2
NUD_INCOMPLETE, NUD_FAILED = 0x01, 0x20
NTF_USE = 0x01
AT_ONCE = 256
"""Neighbours asked for by one send."""

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_NEIGHBOUR = struct.Struct("=B3xiHBB")  # ndmsg: family, interface, state, flags, type
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_KNOWN = struct.Struct("=IHHIIB3xiHBBHH4sHH6s")
"""A message as the kernel makes it for a neighbour whose MAC address is known: destination first, then that."""
_USE = struct.Struct("=IHHIIB3xiHBBHH4s")
_ROOM = 1 << 18

Neighbour = tuple[int, bytes, bytes, int]
"""Interface index, IPv4 address, MAC address, state (NUD_…)."""


def known() -> Iterator[Neighbour]:
    """The IPv4 neighbours of this thread's namespace whose MAC addresses the kernel knows. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.bind((0, 0))
        request = _NEIGHBOUR.pack(socket.AF_INET, 0, 0, 0, 0)
        length = _HEADER.size + len(request)
        asking.send(_HEADER.pack(length, RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + request)
        while True:
            data = asking.recv(_ROOM)
            at = 0
            while at < len(data):
                length, kind = _HEADER.unpack_from(data, at)[:2]
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    error = -int.from_bytes(data[at + _HEADER.size : at + _HEADER.size + 4], "little", signed=True)
                    raise OSError(error, "the neighbours cannot be read")
                found = _read(data[at : at + length])
                if found is not None:
                    yield found
                at += length + 3 & ~3


def _read(message: bytes) -> Neighbour | None:
    if len(message) >= _KNOWN.size:
        (_, kind, _, _, _, family, index, state, _, _, size, first, address, length, second, mac) = _KNOWN.unpack_from(
            message
        )
        if (size, first, length, second) == (8, NDA_DST, 10, NDA_LLADDR):
            there = kind == RTM_NEWNEIGH and family == socket.AF_INET and not state & (NUD_INCOMPLETE | NUD_FAILED)
            return (index, address, mac, state) if there else None
    return _read_any(message)


def _read_any(message: bytes) -> Neighbour | None:
    """A message whose attributes stand in another order, or are others."""
    kind = _HEADER.unpack_from(message)[1]
    if kind != RTM_NEWNEIGH or len(message) < _HEADER.size + _NEIGHBOUR.size:
        return None
    family, index, state, _, _ = _NEIGHBOUR.unpack_from(message, _HEADER.size)
    found: dict[int, bytes] = {}
    at = _HEADER.size + _NEIGHBOUR.size
    while at + _ATTRIBUTE.size <= len(message):
        length, name = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        found[name] = message[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
    address, mac = found.get(NDA_DST, b""), found.get(NDA_LLADDR, b"")
    if family != socket.AF_INET or state & (NUD_INCOMPLETE | NUD_FAILED) or len(address) != 4 or len(mac) != 6:
        return None
    return index, address, mac, state


class Asker:
    """Has the kernel find or confirm neighbours (NTF_USE: as if packets were waiting for them)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.setblocking(False)

    def ask(self, neighbours: Sequence[tuple[int, bytes]]) -> bool:
        """Ask for some, by interface index and address: each is an ARP request. Of an interface that is gone meanwhile
        nothing is heard. Returns whether the kernel had room for all of them. Raises OSError."""
        room = True
        for first in range(0, len(neighbours), AT_ONCE):
            self._socket.send(b"".join(map(_use, neighbours[first : first + AT_ONCE])))
            with suppress(BlockingIOError):  # what the kernel has against some
                while answer := self._socket.recv(_ROOM):
                    room &= errno.ENOBUFS not in _errors(answer)
        return room

    def close(self) -> None:
        """End."""
        self._socket.close()


def _errors(data: bytes) -> Iterator[int]:
    """The error numbers in what the kernel answered."""
    at = 0
    while at + _HEADER.size + 4 <= len(data):
        length, kind = _HEADER.unpack_from(data, at)[:2]
        if kind == NLMSG_ERROR:
            yield -int.from_bytes(data[at + _HEADER.size : at + _HEADER.size + 4], "little", signed=True)
        at += max(length + 3 & ~3, _HEADER.size)


def _use(neighbour: tuple[int, bytes]) -> bytes:
    index, address = neighbour
    flags = NLM_F_REQUEST | NLM_F_REPLACE | NLM_F_CREATE
    return _USE.pack(_USE.size, RTM_NEWNEIGH, flags, 0, 0, socket.AF_INET, index, 0, NTF_USE, 0, 8, NDA_DST, address)
