"""A raw socket that listens on the event loop (raw(7)): opened when first needed, its packets handed to a callback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

BURST = 64
"""Packets taken before others have the loop again."""


class RawListener:
    """One raw socket of an IP protocol.

    received: gets each packet, from its IP header on, up to `size` bytes; prepare: puts filters on a new socket.
    """

    def __init__(
        self,
        protocol: int,
        received: Callable[[bytes], None],
        *,
        size: int,
        prepare: Callable[[socket.socket], None] = lambda made: None,
    ) -> None:
        self._protocol, self._received, self._size, self._prepare = protocol, received, size, prepare
        self._socket: socket.socket | None = None

    def opened(self) -> socket.socket:
        """The socket, which listens from now on. Raises OSError."""
        if self._socket is None:
            made = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, self._protocol)
            self._prepare(made)
            asyncio.get_running_loop().add_reader(made, self._receive, made)
            self._socket = made
        return self._socket

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _receive(self, made: socket.socket) -> None:
        for _ in range(BURST):
            try:
                packet = made.recv(self._size)
            except OSError:
                return
            self._received(packet)
