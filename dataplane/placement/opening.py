"""A VIP whose place is being decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dataplane.placement.model import Group, Leaver, Member, Mode, Place, Vip


@dataclass(slots=True)
class Open:
    """What is known of its next place so far."""

    vip: Vip
    before: Place
    members: list[Member] = field(default_factory=list)
    leavers: dict[str, Leaver] = field(default_factory=dict)  # by engine
    lacking: str = ""  # why it has fewer engines than it should have

    @property
    def names(self) -> list[str]:
        """The engines that it has."""
        return [member.engine for member in self.members]

    def target(self, group: Group) -> int:
        """Engines that it should have."""
        return min(group.most, max(group.fewest, self.before.wanted))

    def hands_over(self, group: Group, engine: str) -> bool:
        """Whether an engine is the standby of a pair that announces the VIP until the active one does."""
        return group.mode is Mode.ACTIVE_STANDBY and self.names[1:] == [engine]

    def lack(self, group: Group, target: int, why: Mapping[str, str]) -> None:
        """Record why it has too few engines. why: the reason of each other engine of its group, in words."""
        some = [f"{name} is {words}" for name, words in sorted(why.items()) if words]
        more = f", and {len(some) - 5} more are not free" if len(some) > 5 else ""
        others = ", ".join(some[:5]) + more if some else "there is no other one"
        self.lacking = f"it has {len(self.members)} of {target} engines of group {group.name}: {others}"
