"""rtnetlink by hand, for what there are thousands of: rules and routes of probes, ways, neighbours (rtnetlink(7)).

The library that reads everything else takes a third of a millisecond a message; the kernel takes some microseconds.
It answers within the call that asks, so nothing here waits; an answer that is not there is an error after 5 s.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ROOM = 1 << 18
"""Bytes that hold everything the kernel says at a time."""
EVENT = 1 << 15
"""Bytes that hold an event of its."""

_DONE = HEADER.size + 4
"""Bytes of what ends a dump, by itself or behind the last of it."""
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_ERROR = struct.Struct("=i")
_SOL_NETLINK, _NETLINK_CAP_ACK = 270, 10  # linux/netlink.h
_SO_RCVTIMEO, _PATIENCE = 20, struct.pack("@ll", 5, 0)  # asm-generic/socket.h
_AT_ONCE = 128
"""Requests in one call: all answers fit into the socket."""


class Request(NamedTuple):
    """What is asked of the kernel. kind: RTM_…; flags: besides NLM_F_REQUEST; body: with its attributes."""

    kind: int
    flags: int
    body: bytes


class Message(NamedTuple):
    """What it says. kind: RTM_… or NLMSG_…; body: all behind the header."""

    kind: int
    sequence: int
    body: bytes


class Answer(NamedTuple):
    """To one request. error: 0, else its errno; body: of the message that answers, if one does."""

    error: int
    body: bytes = b""


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length & 3)


def attributes(body: bytes, at: int) -> dict[int, bytes]:
    """The attributes in a body, from there on."""
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


def whole(message: Message) -> bytes:
    """A message as it came."""
    return HEADER.pack(HEADER.size + len(message.body), message.kind, 0, message.sequence, 0) + message.body


def error(message: Message) -> int:
    """The errno in an NLMSG_ERROR, 0 = none."""
    return int(-_ERROR.unpack_from(message.body)[0])


def opened(groups: int = 0) -> socket.socket:
    """A socket in this thread's namespace. groups: of events that it hears (RTMGRP_…). Raises OSError."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    made.bind((0, groups))
    if not groups:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVTIMEO, _PATIENCE)
    return made


def dump(kind: int, body: bytes) -> Iterator[bytes]:
    """The bodies of everything that there is of a kind (RTM_GET…). Raises OSError."""
    for data in dumped(kind, body):
        yield from bodies(data)


def dumped(kind: int, body: bytes) -> Iterator[bytes]:
    """The same as the kernel sends it: many messages at a time. Raises OSError."""
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
    """The bodies of what was dumped at a time."""
    return (message.body for message in messages(data) if message.kind not in (NLMSG_DONE, NLMSG_ERROR))


class RtnetlinkSocket:
    """Asks many things at a time. Its socket belongs to the namespace of the thread that asks first."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._sequence = 0

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers, in order. Each request is one that is answered once: a change with NLM_F_ACK, or a question
        that is no dump. Raises OSError."""
        if self._socket is None and requests:
            self._socket = opened()
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)  # errors come without the request
        answers: list[Answer] = []
        for first in range(0, len(requests), _AT_ONCE):
            assert self._socket is not None
            try:
                answers += self._ask(self._socket, requests[first : first + _AT_ONCE])
            except OSError:  # some may have been answered all the same: the next question must not get those
                self.close()
                raise
        return answers

    def close(self) -> None:
        """End."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, asking: socket.socket, requests: Sequence[Request]) -> list[Answer]:
        first = self._sequence
        self._sequence += len(requests)
        asking.send(b"".join(_packed(request, first + n) for n, request in enumerate(requests)))
        answers: dict[int, Answer] = {}
        while len(answers) < len(requests):
            for message in messages(asking.recv(ROOM, socket.MSG_DONTWAIT)):  # what is not there is lost
                failed = message.kind == NLMSG_ERROR
                answers[message.sequence] = Answer(error(message)) if failed else Answer(0, message.body)
        return [answers[first + n] for n in range(len(requests))]


def _packed(request: Request, sequence: int) -> bytes:
    length = HEADER.size + len(request.body)
    return HEADER.pack(length, request.kind, request.flags | NLM_F_REQUEST, sequence, 0) + request.body
