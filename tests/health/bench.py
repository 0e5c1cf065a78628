"""How much of a core monitors take: `python -m tests.health.bench [--servers 1000] [--interval 1] [--type TCP]`."""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterable

from dataplane.forwarding import Interface
from dataplane.health import Health, Sight
from dataplane.paths import ProbePaths
from dataplane.probes import Check, Probes
from tests.health.segment import ENGINE, VIP, Segment, monitor, segment

_ACCEPT = (
    "import socket, sys\nlistening = socket.socket(fileno=int(sys.argv[1]))\nwhile True: listening.accept()[0].close()"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--interval", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--type", default="TCP")
    parser.add_argument("--half-open", action="store_true")
    wanted = parser.parse_args()
    addresses = [f"10.9.{16 + n // 250}.{n % 250 + 1}" for n in range(wanted.servers)]
    with segment() as there:
        there.engine.sh("ip address add 10.9.0.1/16 dev up0")
        _, mac = there.server.link("up0")
        # Permanent: the kernel's own table of neighbours holds gc_thresh3, 1024, on the whole machine.
        for start in range(0, len(addresses), 1000):
            some = addresses[start : start + 1000]
            there.engine.sh(_batch(f"neigh replace {a} dev up0 lladdr {mac.hex(':')} nud permanent" for a in some))
            there.server.sh(_batch(f"address add {a}/32 dev up0" for a in some))
        listening = there.listen(socket.SOCK_STREAM)
        listening.listen(4096)
        accept = [sys.executable, "-c", _ACCEPT, str(listening.fileno())]
        accepting = subprocess.Popen(accept, pass_fds=(listening.fileno(),))  # its work is not the monitors'
        try:
            there.run(lambda *world: _measure(there, wanted, addresses, listening.getsockname()[1], *world))
        finally:
            accepting.kill()
            accepting.wait()
            listening.close()


async def _measure(
    there: Segment, wanted: argparse.Namespace, addresses: list[str], port: int, paths: ProbePaths, probes: Probes,
    interface: Interface,
) -> None:  # fmt: skip
    source = socket.inet_aton(ENGINE)

    async def route(check: Check) -> tuple[int, bytes]:
        return await paths.open(check.server, interface, source), source

    made = monitor(wanted.type, send_interval=wanted.interval, half_open=wanted.half_open)
    checks = [Check(socket.inet_aton(VIP), socket.inet_aton(address), port, made) for address in addresses]

    async def look(_check: Check) -> Sight:
        return Sight(True)

    health = Health(route, probes.probe, look, lambda _check: None)
    began = time.monotonic()
    health.follow(dict.fromkeys(checks))
    while None in (health.state(check).up for check in checks):
        await asyncio.sleep(0.05)
    print(f"all known after {time.monotonic() - began:.1f} s")
    await asyncio.sleep(2)
    health.schedule.late.clear()
    before, used, began = sum(health.state(c).probes for c in checks), time.thread_time(), time.monotonic()
    await asyncio.sleep(wanted.seconds)
    took, ran = time.monotonic() - began, sum(health.state(c).probes for c in checks) - before
    used = time.thread_time() - used
    late = sorted(health.schedule.late)
    up = sum(bool(health.state(c).up) for c in checks)
    print(
        f"{wanted.servers} servers, {ran / took:.0f} probes/s, {up} up: {used / took:.1%} of a core, "
        f"{used / ran * 1e6:.0f} µs a probe; 99 % begin within {late[len(late) * 99 // 100] * 1000:.0f} ms"
    )
    await health.close()


def _batch(lines: Iterable[str]) -> str:
    return "ip -batch - <<E\n" + "\n".join(lines) + "\nE"


if __name__ == "__main__":
    main()
