"""A server that says its name and then echoes lines: `python -m tests.lab.greeter NAME PORT [VIP]`; TCP and
UDP."""

from __future__ import annotations

import asyncio
import sys
from typing import cast


class Echo(asyncio.DatagramProtocol):
    """Answers every datagram with the server's name and the datagram."""

    def __init__(self, name: str) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(self.name.encode() + b" " + data, addr)


async def main(name: str, port: int, vip: str = "10.10.10.100") -> None:
    """Serve until the program is ended."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(name.encode() + b"\n")
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    # The VIP alone is listened on: answers of a UDP socket that listens everywhere would come from the host's address.
    server = await asyncio.start_server(serve, vip, port, backlog=4096)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: Echo(name), local_addr=(vip, port))
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
