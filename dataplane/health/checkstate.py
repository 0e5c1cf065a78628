"""What is known about a check, and how the results of its probes change it: pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from dataplane.plan import MONITOR_UDP, Monitor

VIP_MISSING = "server answers, VIP does not: VIP missing on its loopback?"
"""The reason for a layer-2 server that answers only at its own address."""
KEPT = 20
"""Probes of a check of which it is remembered how long they took."""


@dataclass(slots=True)
class CheckState:
    """Whether a check is up, and what was counted of its probes."""

    up: bool | None  # None until it is known
    reason: str = "not checked yet"  # why it is not up, in words for an operator
    remedy: str = ""  # the command on the engine's host that mends it, "" if there is none
    streak: int = 0  # results in a row that disagree with `up`
    probes: int = 0  # results counted
    failures: int = 0  # failed ones among them
    silent: bool = False  # the last failure was that nothing came from the VIP
    took: array[float] = field(default_factory=lambda: array("f"))  # seconds, of the last probes that were answered

    def answered(self, seconds: float) -> None:
        """A probe was answered so long after its begin. It is not counted yet."""
        if len(self.took) < KEPT:
            self.took.append(seconds)
        else:
            self.took[self.probes % KEPT] = seconds

    def count(self, monitor: Monitor, *, passed: bool) -> bool:
        """Count one result. Returns whether `up` changed.

        While nothing is known, one failure is enough for down: a server is not used before it has answered.
        """
        self.probes += 1
        self.failures += not passed
        if passed == self.up:
            self.streak = 0
            return False
        self.streak += 1
        needed = monitor.successful_checks if passed else 1 if self.up is None else monitor.failed_checks
        if self.streak < needed:
            return False
        self.up, self.streak = passed, 0
        return True


def settled_after(monitor: Monitor) -> float:
    """Seconds until a monitor's first verdict at the latest, for a server that answers quickly."""
    if not monitor.quickstart:
        return float((monitor.successful_checks - 1) * monitor.send_interval + monitor.receive_timeout)
    silent = monitor.type == MONITOR_UDP and not monitor.response
    return float(monitor.receive_timeout * (monitor.successful_checks if silent else 1))
