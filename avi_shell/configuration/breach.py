"""A broken rule, in the form that all rules of the configuration use."""

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
        """The field of an object that the rule is about; "" if it is about other objects."""
        return next((part.path for part in self.parts if (part.segment, part.name) == (segment, name)), "")
