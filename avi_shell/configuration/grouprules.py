"""Rules of a service engine group: the numbers that its `ha_mode` allows, and how many engines it may have. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from avi_shell.configuration.assembly import Part
from avi_shell.configuration.breach import Breach
from avi_shell.configuration.document import Document

ACTIVE_ACTIVE, ACTIVE_STANDBY = "HA_MODE_SHARED_PAIR", "HA_MODE_LEGACY_ACTIVE_STANDBY"


def numbers(group: Document) -> Iterator[Breach]:
    """Check the fewest and most engines of a group's virtual services."""
    name, least, most = group["name"], group["min_scaleout_per_vs"], group["max_scaleout_per_vs"]
    parts = tuple(Part("serviceenginegroup", name, f"{field}_scaleout_per_vs") for field in ("max", "min"))
    if least > most:
        yield Breach(
            f"ServiceEngineGroup {name}: min_scaleout_per_vs is {least}, max_scaleout_per_vs {most}",
            parts,
            f"max_scaleout_per_vs {least} or more; or min_scaleout_per_vs {most} or less",
        )
    elif group["ha_mode"] == ACTIVE_ACTIVE and most < 2:
        yield Breach(
            f"ServiceEngineGroup {name}: with ha_mode {ACTIVE_ACTIVE} a virtual service has two engines at least, and "
            f"max_scaleout_per_vs is {most}",
            (parts[0], Part("serviceenginegroup", name, "ha_mode")),
            "max_scaleout_per_vs 2 or more; or ha_mode ha_mode_shared",
        )


def of_pair(group: Document, engine: Document) -> Iterator[Breach]:
    """Refuse to disable an engine of a group of two. `switchover` makes its standby take over instead."""
    state, name = engine.get("enable_state", ""), engine["name"]
    if state in ("SE_STATE_DISABLED", "SE_STATE_DISABLED_FORCE"):
        yield Breach(
            f"ServiceEngine {name}: an engine of a pair (ServiceEngineGroup {group['name']}, ha_mode {ACTIVE_STANDBY}) "
            f"cannot have enable_state {state}",
            (Part("serviceengine", name, "enable_state"),),
            f"se_state_enabled or se_state_disabled_for_placement; switchover serviceengine {name} moves its VIPs",
        )


def pair(group: Document, engines: Collection[str], engine: str = "") -> Iterator[Breach]:
    """Check how many engines a group of two has. engines: the names of all engines in the group; engine: the one that
    is saved, "" if the group is saved."""
    if len(engines) <= 2:
        return
    name, others = group["name"], sorted(set(engines) - {engine})
    which = f"and engine {engine} would be one more than {', '.join(others)}" if engine else f"not {', '.join(others)}"
    own = (Part("serviceengine", engine, "se_group_ref"),) if engine else ()
    yield Breach(
        f"ServiceEngineGroup {name}: with ha_mode {ACTIVE_STANDBY} it has two engines, {which}",
        (*own, Part("serviceenginegroup", name, "ha_mode")),
        "another se_group_ref; or ha_mode ha_mode_shared or ha_mode_shared_pair",
    )
