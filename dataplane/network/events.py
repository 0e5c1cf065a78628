"""What the kernel says of links, addresses, routes and neighbours as it happens (rtnetlink(7), multicast groups).

Neighbours are read by hand: those of thousands of servers change their states several times a minute.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from dataplane.network import neighbours, routes, rtnetlink
from dataplane.network import policyrouting as proberules
from dataplane.network.neighbours import Neighbour
from dataplane.network.policyrouting import Lost
from dataplane.network.rtnetlink import RTM_DELNEIGH, RTM_DELROUTE, RTM_DELRULE, RTM_NEWNEIGH, RTM_NEWROUTE, RTM_NEWRULE

_LINKS, _NEIGHBOURS, _ADDRESSES, _ROUTES, _RULES = 0x1, 0x4, 0x10, 0x40, 0x80  # linux/rtnetlink.h, RTMGRP_…
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_ROOM = 8 << 20
"""Bytes: the kernel counts each event as a kibibyte or two."""
_MOST = 2000
"""Events taken before others have the loop again."""

Event = Neighbour | Lost | Any
"""A neighbour, a rule or route of probes that is gone, or pyroute2's message."""


class NetworkEvents:
    """The socket. It hears everything from `open` on."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._marshal = MarshalRtnl()

    def open(self) -> None:
        """Listen. Raises OSError."""
        self._socket = rtnetlink.opened(_LINKS | _NEIGHBOURS | _ADDRESSES | _ROUTES | _RULES)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)

    async def wait(self) -> None:
        """Until there is something to hear."""
        assert self._socket is not None
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, there.set)
        try:
            await there.wait()
        finally:
            loop.remove_reader(self._socket)

    def heard(self) -> Iterator[Event]:
        """What there is. Raises OSError (ENOBUFS) where the kernel dropped some."""
        assert self._socket is not None
        for _ in range(_MOST):
            try:
                data = self._socket.recv(rtnetlink.EVENT)
            except BlockingIOError:
                return
            for message in rtnetlink.messages(data):
                if message.kind in (RTM_NEWNEIGH, RTM_DELNEIGH):
                    found = neighbours.read(message.body)
                    if found is not None:
                        yield found if message.kind == RTM_NEWNEIGH else found._replace(mac=None)
                elif message.kind in (RTM_DELRULE, RTM_DELROUTE) and (lost := proberules.lost(message)) is not None:
                    yield lost
                elif not _of_probes(message):
                    yield from self._marshal.parse(rtnetlink.whole(message))

    def forget(self) -> None:
        """Drop what there is: older than what is read from now on, it must not be believed after that."""
        assert self._socket is not None
        while True:
            try:
                self._socket.recv(1)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _of_probes(message: rtnetlink.Message) -> bool:
    """A route of ours, or a rule."""
    if message.kind in (RTM_NEWRULE, RTM_DELRULE):
        return True
    return message.kind in (RTM_NEWROUTE, RTM_DELROUTE) and message.body[routes.PROTOCOL_AT] == proberules.PROTOCOL
