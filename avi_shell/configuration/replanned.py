"""The changes that a commit makes to the plan: the services concerned, before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # a shell that commits nothing starts without the plan
    from dataplane import plan

Services: TypeAlias = "Mapping[str, plan.Service]"
"""By key."""


@dataclass(slots=True)
class Replanned:
    """Services of the plan by key, as they are until the change and as they are to be; what stays may be in both."""

    before: dict[str, plan.Service] = field(default_factory=dict)
    after: dict[str, plan.Service] = field(default_factory=dict)

    def note(self, before: Services, after: Services) -> None:
        """Note that these services were planned anew."""
        self.before |= before
        self.after |= after

    def with_others(self, on: Callable[[Iterable[str]], Services]) -> Replanned:
        """Add the unchanged services on the same VIPs. on: the new services of VIPs."""
        vips = {service.vip for service in (*self.before.values(), *self.after.values())}
        same = {key: one for key, one in on(vips).items() if key not in self.before and key not in self.after}
        return Replanned(self.before | same, self.after | same)


Foresee = Callable[[Replanned], None]
"""Is told what a commit makes of the plan, while it can still be given up."""
