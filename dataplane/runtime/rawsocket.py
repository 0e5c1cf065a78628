"""A raw socket that listens on the event loop (raw(7)), opened when first needed; and filters for sockets."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable, Iterable

BURST = 64
"""Packets taken before other tasks have their turn."""
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h


def attach_filter(made: socket.socket, program: Iterable[bytes]) -> None:
    """Have a socket receive only what a classic BPF program takes (SO_ATTACH_FILTER, socket(7)). Raises OSError.

    program: its instructions, 8 bytes each (struct sock_filter, linux/filter.h).
    """
    code = b"".join(program)
    buffer = ctypes.create_string_buffer(code)
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))


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
        """Stop listening."""
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
