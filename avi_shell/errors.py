"""Errors of the shell and the configuration.

    ShellError
    ├── Refused              a command that cannot be done now: wrong mode, in use, a default object
    │   ├── Conflict         somebody else changed the object since it was opened
    │   └── RefusedLine      a line of a file, which was tried
    ├── InvalidObject        an object breaks a rule of its own or one across objects; nothing was stored
    │   └── InvalidFile      several objects, of a file or a session, do
    ├── NotFound             no object of that kind and name
    └── StoreError           the store cannot be opened, read or written

Errors of a line's words are `grammar.errors.LineError`. An error carries facts; `render` turns them into text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataplane.wording import counted


class ShellError(Exception):
    """Anything the shell refuses beside the words of a line.

    path: the field's path in the object ("servers[2].port", "" = the object as a whole); hint: what would be accepted
    or the command that mends it.
    """

    def __init__(self, what: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.path = path
        self.hint = hint
        self.about = ("", "")  # the object, as segment and name, where several could be meant


class Refused(ShellError):
    """A command that cannot be done now."""


class Conflict(Refused):
    """The object was changed since it was opened. stored: as it is now, None where it is gone; before: as it was when
    the changes began, where the kind (segment) is given."""

    def __init__(
        self,
        what: str,
        stored: dict[str, Any] | None,
        *,
        kind: str = "",
        before: dict[str, Any] | None = None,
        hint: str = "cancel, and configure it again",
    ) -> None:
        super().__init__(what, hint=hint)
        self.stored = stored
        self.kind = kind
        self.before = before


class RefusedLine(Refused):
    """A line of a file is refused. file, line: where it stands, from 1; inner: the place in what the line reads."""

    def __init__(self, what: str, file: str, line: int, inner: str = "") -> None:
        super().__init__(what, path=f"{file}:{line}" + (f": {inner}" if inner else ""))
        self.file = file
        self.line = line
        self.inner = inner


class InvalidObject(ShellError):
    """An object breaks a rule; nothing was stored. `path` names the field. others: further faults of the object."""

    others: Sequence[InvalidObject] = ()


class InvalidFile(InvalidObject):
    """Several objects that were to be stored together break rules; nothing was stored. faults: each with its place in
    the file, or with its object, in their order; meant: what was to be done."""

    def __init__(self, faults: Sequence[ShellError], meant: str = "imported") -> None:
        super().__init__(f"{counted(len(faults), 'fault')}, nothing was {meant}", path=faults[0].path)
        self.faults = tuple(faults)


class NotFound(ShellError):
    """No object of that kind and name in the tenant or in admin."""


class StoreError(ShellError):
    """The store cannot be opened, read or written."""
