"""The values of a plan that are about several engines: how those of a group stand in for each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Redundancy:
    """A service engine group. Names of values are the appliance's; times are in seconds."""

    mode: str = "HA_MODE_SHARED"  # `ha_mode`
    algorithm: str = "PLACEMENT_ALGO_PACKED"  # `algo`
    min_scaleout: int = 1  # engines at least of a VIP
    max_scaleout: int = 4  # engines at most of a VIP
    max_vips: int = 10  # VIPs at most of an engine
    spare: int = 1  # engines whose room should stay free (`buffer_se`)
    distributed: bool = False  # a pair: each VIP's tag says which engine is active for it
    redistributed: bool = False  # a pair, distributed: VIPs go back to the engine of their tag when it is back
    drain: float = 30.0  # that a withdrawn VIP is forwarded for (`vs_scalein_timeout`)
    ready: float = 60.0  # that an engine waits for all that follow it (`vs_se_scaleout_ready_timeout`)
    heartbeat: float = 0.1  # between two heartbeats of an engine
    heartbeats: int = 10  # that fail to come from an engine that is not heard
    with_peers: bool = False  # an engine without a BGP session gives its VIPs to others
    checked: bool = True  # a pair: the engine that stands by checks servers, too (`hm_on_standby`)
