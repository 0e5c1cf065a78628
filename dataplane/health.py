"""Health monitors, on the data's path.

A check is one monitor of one server for one VIP. It goes to the VIP through that server (`paths`), from the engine's
own address, so it proves what a client needs: that the server carries the VIP and its service answers. Each check keeps
its own schedule: the n-th probe starts n × send_interval after the first, however long answers take, so a dead server
is out of the table after failed_checks × send_interval + receive_timeout at the latest.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from .errors import NetworkError
from .plan import L2, Monitor

TCP = "HEALTH_MONITOR_TCP"
RUNNABLE = frozenset({TCP})
"""The monitor types that are run."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 seconds: close with RST; TIME_WAIT of thousands of probes would eat the ports."""

_READ = 4096


@dataclass(frozen=True, slots=True)
class Check:
    """One monitor of one server for one VIP. Addresses are 4 bytes; port is where the probe goes; mode: the way it
    travels (plan.MODES)."""

    vip: bytes
    server: bytes
    port: int
    monitor: Monitor
    mode: str = L2


@dataclass(slots=True)
class State:
    """What is known of a check. up None: not known yet; streak: results in a row that disagree with `up`."""

    up: bool | None
    reason: str = "not checked yet"
    streak: int = 0
    probes: int = 0
    failures: int = 0


class ProbeFailed(Exception):
    """A probe's negative outcome; its text is the reason an operator reads."""


Route = Callable[[Check], Awaitable[tuple[int, bytes]]]
"""Check → (socket mark, the engine's own address towards its server); raises NetworkError where there is no way."""

Explain = Callable[[Check, float], str]
"""Why a check that began then (time.monotonic()) has no answer, where that is known; else nothing."""


class Health:
    """Runs checks and remembers their states; `changed(server)` is called when a check went up or down."""

    def __init__(self, route: Route, changed: Callable[[bytes], None], explain: Explain = lambda _check, _: "") -> None:
        self._route = route
        self._changed = changed
        self._explain = explain
        self._states: dict[Check, State] = {}
        self._tasks: dict[Check, asyncio.Task[None]] = {}

    def follow(self, wanted: Mapping[Check, bool | None]) -> None:
        """Run exactly these checks; the value is what to believe of a new one until it is known (None: nothing)."""
        for check in self._tasks.keys() - wanted.keys():
            self._tasks.pop(check).cancel()
            del self._states[check]
        for check, believed in wanted.items():
            if check not in self._tasks:
                reason = "was up before the engine restarted" if believed else "not checked yet"
                self._states[check] = State(believed, reason)
                self._tasks[check] = asyncio.create_task(self._run(check, self._states[check]))

    def state(self, check: Check) -> State:
        """What is known of a check that is followed."""
        return self._states[check]

    def up(self, checks: Iterable[Check]) -> bool:
        """Whether every one of a server's checks passes; a server without checks counts as up."""
        return all(self._states[check].up for check in checks)

    def known(self, checks: Iterable[Check]) -> bool:
        """Whether a server's state is known: every check passed or failed, or one failed."""
        states = [self._states[check].up for check in checks]
        return False in states or None not in states

    async def close(self) -> None:
        """Stop every check."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def _run(self, check: Check, state: State) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        running: set[asyncio.Task[None]] = set()
        number = 0
        try:
            while True:
                task = asyncio.create_task(self._probe(check, state))
                running.add(task)
                task.add_done_callback(running.discard)
                number += 1
                await asyncio.sleep(max(0.0, start + number * check.monitor.send_interval - loop.time()))
        finally:
            for task in running:
                task.cancel()

    async def _probe(self, check: Check, state: State) -> None:
        state.probes += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(check.monitor.receive_timeout):
                mark, source = await self._route(check)
                await tcp_probe(check, mark, source)
        except TimeoutError:
            silence = f"no answer from the VIP within {check.monitor.receive_timeout} s"
            self._count(check, state, False, self._explain(check, began) or silence)
        except (ProbeFailed, NetworkError) as exc:
            self._count(check, state, False, str(exc))
        else:
            self._count(check, state, True, "")

    def _count(self, check: Check, state: State, passed: bool, reason: str) -> None:
        monitor = check.monitor
        state.failures += not passed
        if passed == state.up:
            state.streak = 0
            state.reason = reason
            return
        state.streak += 1
        first = state.up is None
        needed = monitor.successful_checks if passed else monitor.failed_checks
        if first and (not passed or monitor.quickstart):
            needed = 1  # nothing is known: the first answer counts, and without one the server is not used
        if not passed:
            state.reason = reason
        if state.streak >= needed:
            state.up, state.streak, state.reason = passed, 0, reason
            self._changed(check.server)


async def tcp_probe(check: Check, mark: int, source: bytes) -> None:
    """Open a TCP connection to the VIP through the server; send and match where the monitor says so; reset it.

    Raises ProbeFailed with the reason. The caller bounds the time.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        try:
            connection.bind((socket.inet_ntoa(source), 0))
            await loop.sock_connect(connection, (socket.inet_ntoa(check.vip), check.port))
            await _converse(connection, check.monitor)
        except OSError as exc:
            raise ProbeFailed(_reason(exc, check)) from exc


async def _converse(connection: socket.socket, monitor: Monitor) -> None:
    loop = asyncio.get_running_loop()
    if monitor.request:
        await loop.sock_sendall(connection, monitor.request.encode())
    if not monitor.response and not monitor.maintenance:
        return
    wanted, maintenance = monitor.response.encode(), monitor.maintenance.encode()
    answer = b""
    while True:
        piece = await loop.sock_recv(connection, _READ)
        answer += piece
        if maintenance and maintenance in answer:
            raise ProbeFailed(f"under maintenance: it answered {monitor.maintenance!r}")
        if wanted and wanted in answer:
            return
        if not piece or len(answer) > 16 * _READ:
            break
    if wanted:
        raise ProbeFailed(f"its answer does not contain {monitor.response!r}")


def _reason(exc: OSError, check: Check) -> str:
    if exc.errno == errno.ECONNREFUSED:
        return f"port {check.port} is closed on the VIP: connection refused"
    if exc.errno == errno.EHOSTUNREACH:
        return "no way to the VIP through this server: host unreachable"
    return os.strerror(exc.errno) if exc.errno else str(exc)
