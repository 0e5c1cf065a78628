"""The second look: whether a server answers on its own address, by the host's ordinary way.

An echo request asks the host; where it stays silent, a TCP connection to the monitor's port does, since some hosts
answer no echo: taken or refused, somebody is there. A half-open monitor's server is only asked by echo.
"""

from __future__ import annotations

import asyncio
import socket

from .check import Check, Outcome, ProbeFailed
from .icmp import Pings
from .poller import Poller
from .talk import Script, Talker

PATIENCE = 1.0
"""Seconds that each of the two waits."""


async def answers(check: Check, pings: Pings, poller: Poller) -> bool:
    """Whether a check's server answers."""
    if await _echoes(check.server, pings):
        return True
    return not check.monitor.half_open and await _connects(check.server, check.port, poller)


async def _echoes(server: bytes, pings: Pings) -> bool:
    told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    run = pings.ask(server, PATIENCE, told.set_result)
    try:
        return await told
    finally:
        run.cancel()


async def _connects(server: bytes, port: int, poller: Poller) -> bool:
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    talker = Talker(poller, Script((socket.inet_ntoa(server), port), PATIENCE, b"", None, 0, lambda _: _SILENCE))
    run = talker.start(0, bytes(4), told.set_result)
    try:
        outcome = await told
    finally:
        run.cancel()
    return not (isinstance(outcome, ProbeFailed) and outcome.silent)


_SILENCE = ProbeFailed("no answer", silent=True)
