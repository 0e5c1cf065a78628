"""An engine's XDP driver without an engine: `python -m tests.xdp.publisher INSTANCE INDEX,NAME,MAC …`.

It forwards the service of `tests.xdp.wire` on these interfaces, says `ready`, and stays until it is killed.
"""

from __future__ import annotations

import signal
import sys

from dataplane.drivers.xdp.driver import XdpDriver
from dataplane.forwarding.values import Interface
from tests.xdp import wire


def words(interface: Interface) -> str:
    """An interface as this program's command line has it."""
    return f"{interface.index},{interface.name},{interface.mac.hex()}"


def read(text: str) -> Interface:
    """An interface of the command line."""
    index, name, mac = text.split(",")
    return Interface(int(index), name, bytes.fromhex(mac), 1500)


if __name__ == "__main__":
    driver = XdpDriver(sys.argv[1])
    wire.put(driver, [read(text) for text in sys.argv[2:]], *wire.SERVERS)
    print("ready", flush=True)
    signal.pause()
