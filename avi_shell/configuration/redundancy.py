"""The plan's part on redundancy: how the engines of a group stand in for each other. Pure."""

from __future__ import annotations

from typing import Any

from avi_shell.configuration.document import Document
from avi_shell.configuration.grouprules import ACTIVE_STANDBY
from dataplane.plan.redundancy import Redundancy
from grammar import schema

FIELDS = (
    *("ha_mode", "active_standby", "algo", "min_scaleout_per_vs", "max_scaleout_per_vs", "max_vs_per_se", "buffer_se"),
    *("distribute_load_active_standby", "auto_redistribute_active_standby_load", "vs_scalein_timeout"),
    *("vs_se_scaleout_ready_timeout", "aggressive_failure_detection", "dp_hb_frequency", "dp_hb_timeout_count"),
    *("dp_aggressive_hb_frequency", "dp_aggressive_hb_timeout_count", "bgp_peer_monitor_failover_enabled"),
    "hm_on_standby",
)
"""Of a service engine group."""
_SHORTEST = 10
"""The fewest milliseconds between two heartbeats, since 0 can be typed."""


def mode(group: Document) -> str:
    """Its `ha_mode`; `active_standby` is the older name of one."""
    return ACTIVE_STANDBY if _value(group, "active_standby") else str(_value(group, "ha_mode"))


def of_group(group: Document) -> Redundancy:
    """What the plan has of a service engine group."""
    least, most = (_value(group, f"{word}_scaleout_per_vs") for word in ("min", "max"))
    aggressive = "aggressive_" if _value(group, "aggressive_failure_detection") else ""
    return Redundancy(
        mode=mode(group),
        algorithm=_value(group, "algo"),
        min_scaleout=least,
        max_scaleout=max(least, most),
        max_vips=_value(group, "max_vs_per_se"),
        spare=max(0, _value(group, "buffer_se")),
        distributed=_value(group, "distribute_load_active_standby"),
        redistributed=_value(group, "auto_redistribute_active_standby_load"),
        drain=float(_value(group, "vs_scalein_timeout")),
        ready=float(_value(group, "vs_se_scaleout_ready_timeout")),
        heartbeat=max(_SHORTEST, _value(group, f"dp_{aggressive}hb_frequency")) / 1000,
        heartbeats=max(1, _value(group, f"dp_{aggressive}hb_timeout_count")),
        with_peers=_value(group, "bgp_peer_monitor_failover_enabled"),
        checked=_value(group, "hm_on_standby"),
    )


def _value(group: Document, field: str) -> Any:
    """A field's value; its default in a group that an older release stored without it."""
    return group.get(field, schema.kind("serviceenginegroup").root.fields[field].default)
