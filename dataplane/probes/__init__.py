"""Probes: one run of a monitor, on the way of the data. A module a type; what they share is in `check`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from . import external, halfopen, hosts, http, icmp, tcp, udp
from .check import EXTERNAL, HTTP, PING, TCP, UDP, Check, ProbeFailed

__all__ = ["RUNNABLE", "Check", "ProbeFailed", "Probes"]

RUNNABLE = frozenset({TCP, UDP, PING, HTTP, EXTERNAL})
"""The monitor types that are run."""


class Probes:
    """Runs probes of every type, and the look at a server's own address; `close` ends what they share."""

    def __init__(self) -> None:
        self._pings = icmp.Pings()
        self._half_opens = halfopen.HalfOpens()
        self._scripts = external.Scripts()
        self._runs: dict[str, Callable[[Check, int, bytes], Awaitable[bool]]] = {
            TCP: tcp.probe,
            UDP: udp.probe,
            PING: self._pings.probe,
            HTTP: http.probe,
            EXTERNAL: self._scripts.probe,
        }

    async def run(self, check: Check, mark: int, source: bytes) -> bool:
        """Run one probe by a mark, from an address of ours: whether the server was heard, or else its silence counts as
        good. Raises ProbeFailed."""
        run = self._runs.get(check.monitor.type)
        if run is None:
            raise ProbeFailed(f"monitors of type {check.monitor.type} are not run")
        if check.monitor.type == TCP and check.monitor.half_open:
            run = self._half_opens.probe
        return await run(check, mark, source)

    async def host_answers(self, check: Check) -> bool:
        """Whether a check's server answers on its own address."""
        return await hosts.answers(check, self._pings)

    def close(self) -> None:
        """End. No probe may run any more."""
        self._pings.close()
        self._half_opens.close()
        self._scripts.close()
