"""The kernel's events about links, addresses, routes, rules and neighbours (rtnetlink(7), multicast groups).

Thousands of servers' neighbour entries change their states several times a minute.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import NamedTuple

from dataplane.network import links, neighbours, policyrouting, routes, rtnetlink
from dataplane.network.links import Address, Link
from dataplane.network.neighbours import Neighbour
from dataplane.network.policyrouting import LostProbeRoute
from dataplane.network.routes import ToldRoute
from dataplane.network.rtnetlink import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNEIGH,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    Message,
)

_LINKS, _NEIGHBOURS, _ADDRESSES, _ROUTES, _RULES = 0x1, 0x4, 0x10, 0x40, 0x80  # linux/rtnetlink.h, RTMGRP_…
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_RECEIVE_BUFFER = 8 << 20
"""Bytes. The kernel counts one or two kibibytes for each event."""
_MOST = 2000
"""Events taken before other tasks have their turn."""


class Change(NamedTuple):
    """Something is there, or is gone."""

    about: Link | Address | ToldRoute
    present: bool


Event = Neighbour | LostProbeRoute | Change


class NetworkEvents:
    """The socket that receives all events from `open` on."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Listen. Raises OSError."""
        self._socket = rtnetlink.opened(_LINKS | _NEIGHBOURS | _ADDRESSES | _ROUTES | _RULES)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)

    async def wait(self) -> None:
        """Wait until there are events."""
        assert self._socket is not None
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, there.set)
        try:
            await there.wait()
        finally:
            loop.remove_reader(self._socket)

    def received(self) -> Iterator[Event]:
        """The events that have come. Raises OSError (ENOBUFS) when the kernel has dropped some."""
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
                elif (
                    message.kind in (RTM_DELRULE, RTM_DELROUTE)
                    and (lost := policyrouting.lost_probe_route(message)) is not None
                ):
                    yield lost
                elif (change := _change(message)) is not None:
                    yield change

    def forget(self) -> None:
        """Drop the events that have come: they are older than what the caller is about to read."""
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
        """Stop listening."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _change(message: Message) -> Change | None:
    """What a message tells; None for what is not followed: rules, IPv6, routes that this program made."""
    kind, body = message.kind, message.body
    about: Link | Address | ToldRoute | None = None
    if kind in (RTM_NEWLINK, RTM_DELLINK):
        about = links.read_link(body)
    elif kind in (RTM_NEWADDR, RTM_DELADDR):
        about = links.read_address(body)
    elif kind in (RTM_NEWROUTE, RTM_DELROUTE) and body[routes.PROTOCOL_AT] != policyrouting.PROTOCOL:
        about = routes.read_route(body)
    return None if about is None else Change(about, kind in (RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE))
