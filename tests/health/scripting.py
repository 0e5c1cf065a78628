"""Runs one script as an engine does, for a server that is nowhere."""

from __future__ import annotations

import asyncio
import sys

from dataplane import plan
from dataplane.health.probes.check import Check, Outcome
from dataplane.health.probes.factory import ProbeFactory


async def main(script: str) -> None:
    wanted = plan.Monitor("m", "HEALTH_MONITOR_EXTERNAL", receive_timeout=60, script=f"{script}; sleep 600")
    probes = ProbeFactory()
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    probes.probe(Check(bytes(4), bytes(4), 80, wanted)).start(1 << 20, bytes(4), told.set_result)
    await told


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
