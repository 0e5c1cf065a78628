"""The second look: whether a server answers on its own address, by the host's ordinary way.

An echo request asks the host; where it stays silent, a TCP connection to the monitor's port does, since some hosts
answer no echo: taken or refused, somebody is there. A half-open monitor's server is only asked by echo.
"""

from __future__ import annotations

import asyncio

from .check import Check
from .icmp import Pings
from .tcp import connect, connection

PATIENCE = 1.0
"""Seconds that each of the two waits."""


async def answers(check: Check, pings: Pings) -> bool:
    """Whether a check's server answers."""
    if await pings.ask(check.server, PATIENCE):
        return True
    return not check.monitor.half_open and await _connects(check.server, check.port)


async def _connects(server: bytes, port: int) -> bool:
    try:
        with connection(0, bytes(4)) as made:
            async with asyncio.timeout(PATIENCE):
                await connect(made, server, port)
    except ConnectionRefusedError:
        return True
    except OSError:  # TimeoutError, too
        return False
    return True
