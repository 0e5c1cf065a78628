"""Makes the probe of a check, by the type of its monitor.

Probes run by callbacks: a task each would cost more than the probe itself. What they share is in `check`, `poller` and
`connection`.
"""

from __future__ import annotations

from collections.abc import Callable

from dataplane.health.probes import halfopen, http, ping, script, tcp, udp
from dataplane.health.probes.check import Check, Done, Probe, ProbeFailed, Run, ended
from dataplane.health.probes.connection import Connections
from dataplane.health.probes.poller import Poller
from dataplane.plan import MONITOR_EXTERNAL, MONITOR_HTTP, MONITOR_PING, MONITOR_TCP, MONITOR_UDP


class ProbeFactory:
    """Makes probes of every type. They share what `close` closes."""

    def __init__(self) -> None:
        self._poller = Poller()
        self._pings = ping.PingSocket(self._poller)
        self._connections = Connections(self._poller)
        self._half_opens = halfopen.HalfOpenSockets(self._poller)
        self._scripts = script.ScriptRunner()
        self._makers: dict[str, Callable[[Check], Probe]] = {
            MONITOR_TCP: self._tcp,
            MONITOR_UDP: lambda check: udp.UdpProbe(check, self._poller),
            MONITOR_PING: self._pings.probe,
            MONITOR_HTTP: lambda check: http.probe(check, self._connections),
            MONITOR_EXTERNAL: self._scripts.probe,
        }

    def probe(self, check: Check) -> Probe:
        """The probe of a check."""
        make = self._makers.get(check.monitor.type, _NotRun)
        return make(check)

    def _tcp(self, check: Check) -> Probe:
        return self._half_opens.probe(check) if check.monitor.half_open else tcp.probe(check, self._connections)

    def close(self) -> None:
        """Close what the probes share. No probe may run any more."""
        self._pings.close()
        self._connections.close()
        self._half_opens.close()
        self._scripts.close()
        self._poller.close()


class _NotRun:
    """The probe of a monitor whose type only a newer version knows."""

    def __init__(self, check: Check) -> None:
        self._type = check.monitor.type

    def start(self, _mark: int, _source: bytes, done: Done) -> Run:
        return ended(done, ProbeFailed(f"monitors of type {self._type} are not run"))
