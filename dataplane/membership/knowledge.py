"""What an engine knows of its cluster: the engines, the placer, and where VIPs are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dataplane import plan
from dataplane.membership import situation
from dataplane.membership.conclusions import Known
from dataplane.membership.places import Placer
from dataplane.membership.situation import Vips
from dataplane.placement.model import Place, Presence, Situation


@dataclass(slots=True)
class Knowledge:
    """What is known now. A value that changes becomes another object."""

    name: str  # the engine's own
    engines: Mapping[str, Known] = field(default_factory=dict)  # that are registered
    left: frozenset[str] = frozenset()  # the engines that ended in good order
    placer: Placer | None = None  # who places; None: nobody ever did
    places: Mapping[str, Place] = field(default_factory=dict)  # by VIP
    presences: Mapping[str, Presence] = field(default_factory=dict)  # what was concluded of each engine
    common: plan.Common = field(default_factory=plan.Common)  # what engines share, of the plan
    vips: Vips = field(default_factory=Vips)  # of the plan

    def situation(self, now: float) -> Situation:
        """All that placement depends on. now: seconds since the epoch."""
        records = {name: known.record for name, known in self.engines.items()}
        gone = self.placer.groups if self.placer else {}
        return situation.situation(self.common, self.vips, records, self.presences, gone, self.places, now)

    def has_heirs(self, group: str) -> bool:
        """Whether other engines of the engine's own group take its VIPs when it is believed dead."""
        records = {name: known.record for name, known in self.engines.items() if name != self.name}
        others = situation.situation(self.common, Vips(), records, self.presences, {}, {}, 0.0).engines.values()
        return any(other.keeps for other in others if other.group == group and other.name != self.name)
