"""A rule that is broken, as every rule of the configuration tells it."""

from __future__ import annotations

from dataclasses import dataclass

from avi_shell.configuration.assembly import Part


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that is broken."""

    what: str  # a sentence naming object and field
    parts: tuple[Part, ...]  # the fields that could mend it, the most likely first
    hint: str = ""  # what would be accepted

    def path_in(self, segment: str, name: str) -> str:
        """The field of that object that the rule is about, "" where it is about others."""
        return next((part.path for part in self.parts if (part.segment, part.name) == (segment, name)), "")
