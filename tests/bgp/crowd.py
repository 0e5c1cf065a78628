"""Ten thousand VIPs that one speaker tells a router of: `python -m tests.bgp.crowd`. Measured, for `make fleet`."""

from __future__ import annotations

import argparse
import ipaddress
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from .conftest import ENGINE, ROUTER, Speaker, Wire, known
from .routers import Router

FIRST = ipaddress.IPv4Address("10.96.0.0")
ONE, FIRST_GONE, LAST_GONE = 0.3, 1.1, 1.7
"""Seconds in which a router is to have followed on a machine that nobody else uses: one VIP that is withdrawn; the
first and the last one of a host that dies."""
CUT = """
nft add table inet cut
nft 'add chain inet cut in { type filter hook input priority 0; policy drop; }'
nft 'add chain inet cut out { type filter hook output priority 0; policy drop; }'
"""
"""A host that dies behind a switch: its link stays up for the router."""


def measure(folder: Path, count: int) -> list[tuple[str, float, float]]:
    """What was measured, its seconds and its bound."""
    vips = [known(str(FIRST + number)) for number in range(count)]
    found: list[tuple[str, float, float]] = []
    with ExitStack() as stack:
        wire = Wire(stack)
        router = Router(wire.router, folder / "router", ROUTER, [ENGINE])
        stack.callback(router.close)

        def routes() -> int:
            return int(wire.router.sh("ip route show proto bird | wc -l"))

        async def test(speaker: Speaker) -> None:
            begun = time.monotonic()
            await speaker.until(lambda: routes() == count, 120)
            print(f"{count} VIPs are in the router's kernel after {time.monotonic() - begun:.1f} s", flush=True)
            begun = time.monotonic()
            speaker.announcer.withdraw(socket.inet_aton(str(FIRST + count // 2)))
            await speaker.until(lambda: not router.hops(str(FIRST + count // 2)))
            found.append((f"one of {count} VIPs is withdrawn", time.monotonic() - begun, ONE))
            wire.engine.sh(CUT)
            begun = time.monotonic()
            await speaker.until(lambda: routes() < count - 1)
            found.append(("their host dies: the first route is gone", time.monotonic() - begun, FIRST_GONE))
            await speaker.until(lambda: not routes())
            found.append(("their host dies: the last route is gone", time.monotonic() - begun, LAST_GONE))
            wire.engine.sh("nft delete table inet cut")

        wire.speak(folder / "se.bgp", test, vips=tuple(vips))
    return found


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bgp.crowd", description=__doc__)
    parser.add_argument("--vips", type=int, default=10_000, help="default: %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avi-fleet-") as name:
        found = measure(Path(name), arguments.vips)
    for what, seconds, bound in found:
        print(f"{what:45} {seconds:6.2f} s {bound:6.1f} s{'' if seconds <= bound else '   BAD'}")
    return 0 if all(seconds <= bound for _, seconds, bound in found) else 1


if __name__ == "__main__":
    sys.exit(main())
