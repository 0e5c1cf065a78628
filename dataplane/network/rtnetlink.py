"""A small rtnetlink client (rtnetlink(7)).

pyroute2 would take a third of a millisecond for a message, where the kernel takes some microseconds, and a tenth of a
second of an engine's start. The kernel answers within the call that asks, so nothing here waits; a missing answer is an
error after 5 s.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ROOM = 1 << 18
"""Bytes that hold whatever the kernel sends at a time."""
EVENT = 1 << 15
"""Bytes that hold one event."""

_DONE = HEADER.size + 4
"""Bytes of the message that ends a dump; it comes alone, or behind the last data."""
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_ERROR = struct.Struct("=i")
_SOL_NETLINK, _NETLINK_CAP_ACK = 270, 10  # linux/netlink.h
_SO_RCVTIMEO, _PATIENCE = 20, struct.pack("@ll", 5, 0)  # asm-generic/socket.h
_AT_ONCE = 128
"""Requests in one call: all their answers fit into the socket's buffer."""


class Request(NamedTuple):
    """A request to the kernel."""

    kind: int  # RTM_…
    flags: int  # besides NLM_F_REQUEST
    body: bytes  # with its attributes


class Message(NamedTuple):
    """A message from the kernel."""

    kind: int  # RTM_… or NLMSG_…
    sequence: int  # of the request that it answers
    body: bytes  # everything behind the header


class Answer(NamedTuple):
    """The answer to one request."""

    error: int  # an errno, 0 if it succeeded
    body: bytes = b""  # of the message that answers, if there is one


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length & 3)


def attributes(body: bytes, at: int) -> dict[int, bytes]:
    """The attributes in a body, by their kind. at: where the first one begins."""
    found: dict[int, bytes] = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = body[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
    return found


def messages(data: bytes) -> Iterator[Message]:
    """The messages in what was received at a time."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, _, sequence, _ = HEADER.unpack_from(data, at)
        yield Message(kind, sequence, data[at + HEADER.size : at + length])
        at += max(length + 3 & ~3, HEADER.size)


def error(message: Message) -> int:
    """The errno in an NLMSG_ERROR; 0 means success."""
    return int(-_ERROR.unpack_from(message.body)[0])


def opened(groups: int = 0) -> socket.socket:
    """A socket in this thread's namespace. groups: the events that it receives (RTMGRP_…). Raises OSError."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    made.bind((0, groups))
    if not groups:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVTIMEO, _PATIENCE)
    return made


def dump(kind: int, body: bytes) -> Iterator[bytes]:
    """The bodies of all objects of a kind (RTM_GET…). Raises OSError."""
    for data in dumped(kind, body):
        yield from bodies(data)


def dumped(kind: int, body: bytes) -> Iterator[bytes]:
    """The same as the kernel sends them: many messages at a time. Raises OSError."""
    with opened() as asking:
        asking.send(_packed(Request(kind, NLM_F_DUMP, body), 1))
        while True:
            data = asking.recv(ROOM)
            first = HEADER.unpack_from(data)[1]
            if first == NLMSG_ERROR:
                raise OSError(error(next(messages(data))), "the kernel does not tell what there is")
            if first != NLMSG_DONE:
                yield data
            if first == NLMSG_DONE or HEADER.unpack_from(data, len(data) - _DONE)[:2] == (_DONE, NLMSG_DONE):
                return


def bodies(data: bytes) -> Iterator[bytes]:
    """The bodies of the messages that a dump sent at a time."""
    return (message.body for message in messages(data) if message.kind not in (NLMSG_DONE, NLMSG_ERROR))


class RtnetlinkSocket:
    """Sends many requests at a time. The socket belongs to the namespace of the thread that asks first."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._sequence = 0

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Send requests. Returns their answers, in order. Raises OSError.

        Each request must be one that is answered once: a change with NLM_F_ACK, or a query other than a dump.
        """
        if self._socket is None and requests:
            self._socket = opened()
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)  # errors come without the request
        answers: list[Answer] = []
        for first in range(0, len(requests), _AT_ONCE):
            assert self._socket is not None
            try:
                answers += self._ask(self._socket, requests[first : first + _AT_ONCE])
            except OSError:  # some may have been answered: the next requests must not get those answers
                self.close()
                raise
        return answers

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, asking: socket.socket, requests: Sequence[Request]) -> list[Answer]:
        first = self._sequence
        self._sequence += len(requests)
        asking.send(b"".join(_packed(request, first + n) for n, request in enumerate(requests)))
        answers: dict[int, Answer] = {}
        while len(answers) < len(requests):
            for message in messages(asking.recv(ROOM, socket.MSG_DONTWAIT)):  # an answer that is not there yet is lost
                failed = message.kind == NLMSG_ERROR
                answers[message.sequence] = Answer(error(message)) if failed else Answer(0, message.body)
        return [answers[first + n] for n in range(len(requests))]


def _packed(request: Request, sequence: int) -> bytes:
    length = HEADER.size + len(request.body)
    return HEADER.pack(length, request.kind, request.flags | NLM_F_REQUEST, sequence, 0) + request.body
