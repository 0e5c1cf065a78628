"""A client that holds connections open: `python -m tests.lab.holder IP PORT [PATIENCE]`, commanded by lines on standard
input. PATIENCE: seconds for which a connection may stall.

    open FIRST COUNT     opens COUNT connections from source ports FIRST on
    ping                 sends a line over every connection and waits for its echo
    udp FIRST COUNT      sends one datagram from each source port and waits for its answer
Every command is answered by one JSON line: {port: the server's name, or "!" and the error}.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Coroutine

PATIENCE = 20.0
"""Seconds for which a connection may stall, where nothing else is said."""
AGAIN = 0.4
"""Seconds after which a datagram is sent again, as any client does: a server that others flood loses some."""
TRIES = 12
"""Of a datagram."""


class Held:
    """One connection from a port of its own."""

    def __init__(self, port: int, patience: float) -> None:
        self.port, self.patience = port, patience
        self.server = "!not open"

    async def open(self, to: tuple[str, int]) -> str:
        try:
            async with asyncio.timeout(self.patience):
                self.reader, self.writer = await asyncio.open_connection(*to, local_addr=("0.0.0.0", self.port))
                self.server = (await self.reader.readline()).decode().strip() or "!closed"
        except OSError as exc:
            self.server = f"!{exc or type(exc).__name__}"
        return self.server

    async def ping(self) -> str:
        if self.server.startswith("!"):
            return self.server
        try:
            async with asyncio.timeout(self.patience):
                self.writer.write(b"are you there?\n")
                if await self.reader.readline() != b"are you there?\n":
                    self.server = "!closed"
        except OSError as exc:
            self.server = f"!{str(exc) or type(exc).__name__}"
        return self.server


async def datagram(to: tuple[str, int], port: int) -> str:
    """Send a datagram from a port; the name of the server that answered."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.setblocking(False)
        wire.bind(("", port))
        wire.connect(to)
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(AGAIN):
                    await loop.sock_sendall(wire, b"hello")
                    return (await loop.sock_recv(wire, 100)).split()[0].decode()
            except OSError:
                continue
    return "!timed out"


async def main(host: str, port: int, patience: float = PATIENCE) -> None:
    """Obey the commands until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    held: dict[int, Held] = {}
    limit = asyncio.Semaphore(100)

    async def limited(work: Coroutine[None, None, str]) -> str:
        async with limit:
            return await work

    while line := (await reader.readline()).decode().split():
        if line[0] == "ping":
            jobs = {p: c.ping() for p, c in held.items()}
        else:
            ports = range(int(line[1]), int(line[1]) + int(line[2]))
            if line[0] == "open":
                held.update({p: Held(p, patience) for p in ports})
                jobs = {p: held[p].open((host, port)) for p in ports}
            else:
                jobs = {p: datagram((host, port), p) for p in ports}
        answers = await asyncio.gather(*map(limited, jobs.values()))
        print(json.dumps(dict(zip(jobs, answers, strict=True))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:])))
