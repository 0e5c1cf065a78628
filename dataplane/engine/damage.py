"""What of the plan cannot be read. It is told; what was read before is forwarded on."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dataplane import plan
from dataplane.events import kinds
from dataplane.events.model import THIS_ENGINE, Tell


class Damage:
    """tell: hears of events."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.by_key: dict[str, str] = {}
        """Why each row cannot be read, by its key; "" is what engines share."""

    def gone(self, change: plan.Plan) -> None:
        """A whole plan came: damage of services that it no longer has is forgotten."""
        for key in self.by_key.keys() - change.damaged.keys() - {""}:
            del self.by_key[key]

    def note(self, change: plan.Plan, changed: Mapping[str, plan.Service | None], known: Collection[str]) -> None:
        """A change of the plan came. changed: the services that it changes; known: those that were read before."""
        for key in {*changed, *([""] if change.common is not None else [])} & self.by_key.keys():
            del self.by_key[key]
        for key, why in change.damaged.items():
            self.by_key[key] = why
            then = "what was read before stays" if key in known or not key else "it is not forwarded; " + _AGAIN
            text = f"the plan of {key or 'the engines'} cannot be read ({why}): {then}"
            self._tell(kinds.CONFIGURATION_DAMAGED, THIS_ENGINE, text)


_AGAIN = "save its virtual service again"
