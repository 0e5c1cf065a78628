"""What the start of an engine is made of, as programs of their own.

`python -m tests.bench.starting cold POOLS SERVERS` imports what an engine imports, and makes and keeps so many tables
in one thread; `… adopting FOLDER` imports the same, and reads the plan of a state directory; `… crowd PORT POOLS`
imports the same, makes the tables of as many pools, and connects once to each of the addresses on standard input.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from contextlib import closing
from pathlib import Path


def cold(pools: int, servers: int) -> None:
    """Imports, and tables of 65,537 slots, of each pool's own servers. All of them are kept, as an engine keeps them in
    the kernel: fresh memory costs time, on a virtual machine several times what it costs elsewhere."""
    from dataplane import plan
    from dataplane.daemon import process  # noqa: F401
    from dataplane.drivers.xdp import driver  # noqa: F401
    from dataplane.forwarding import maglev

    kept = []
    for number in range(pools):
        addresses = (0x0A000001 + number * servers + n for n in range(servers))
        kept.append(maglev.build_table([(struct.pack("!I", address), 1) for address in addresses], plan.SLOTS, number))


def adopting(folder: Path) -> None:
    """Imports, and the plan."""
    from dataplane.daemon import process  # noqa: F401
    from dataplane.drivers.xdp import driver  # noqa: F401
    from dataplane.plan.storesource import StoreSource

    with closing(StoreSource(folder)) as source:
        asyncio.run(source.read())


def crowd(port: int, pools: int) -> None:
    """Imports, the tables of as many pools, and a connection to each server."""
    from tests.bench import knocking

    addresses = sys.stdin.read().split()
    cold(pools, len(addresses) // pools)
    knocking.once(addresses, port)


if __name__ == "__main__":
    if sys.argv[1] == "cold":
        cold(*map(int, sys.argv[2:]))
    elif sys.argv[1] == "crowd":
        crowd(*map(int, sys.argv[2:]))
    else:
        adopting(Path(sys.argv[2]))
