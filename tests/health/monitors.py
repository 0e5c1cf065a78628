"""Monitors for tests that need no network."""

from typing import Any

from dataplane import plan


def monitor(type_: str = "TCP", **fields: Any) -> plan.Monitor:
    """A monitor of a type, without a name."""
    return plan.Monitor("", f"HEALTH_MONITOR_{type_}", **fields)
