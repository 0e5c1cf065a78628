"""The history as people and programs read it: who made a commit, when, from where, and what it did to which objects.
Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from avi_shell.configuration.document import SECRET
from avi_shell.configuration.history import Touch
from avi_shell.configuration.record import Commit
from avi_shell.output import changes, secret
from dataplane.wording import moment, rfc3339
from grammar import schema

COLUMNS = ("Commit", "Time", "By", "From", "Tenant", "What", "Comment")

_DONE = {"create": "created", "update": "changed", "delete": "deleted"}
NAMED = 3
"""How many objects of a commit are named; of more, each kind's number is told."""


def when(commit: Commit) -> str:
    """Its time, here: "2026-11-29 06:48:26+00:00"."""
    return moment(commit.time)


def who(commit: Commit) -> str:
    """The operating system's user before the shell's: "alice as root (admin)"."""
    return f"{commit.os_user} ({commit.user})" if commit.os_user else commit.user


def whence(commit: Commit) -> str:
    """The line of a file, and the terminal: "setup.avi:7, /dev/pts/3 from 192.0.2.7"."""
    return ", ".join(part for part in (commit.origin, commit.terminal) if part)


def what(commit: Commit, touched: Sequence[Touch]) -> str:
    """What it did: "created Pool p1, changed VirtualService vs1", "import: created 2,000 Pool, changed 1 Pool"."""
    if not commit.content:
        done = _DONE.get(commit.action)
        name = f"{schema.SEGMENTS.get(commit.kind, commit.kind)} {commit.name}"
        return f"{done} {name}" if done else commit.action
    before = "" if commit.action in _DONE else f"{commit.action}: "
    if len(touched) <= NAMED:
        told = [f"{_DONE[one.what]} {changes.title(one)}" for one in touched]
    else:
        counted = Counter((one.what, schema.SEGMENTS.get(one.kind, one.kind)) for one in touched)
        told = [f"{_DONE[what]} {count:,} {kind}" for (what, kind), count in counted.items()]
    return before + (", ".join(told) or "nothing")


def brief(commit: Commit, beginning: Sequence[Touch]) -> str:
    """Why it was made, or what it did. beginning: what it did to one object more than are named, or to
    all."""
    return commit.comment or what(commit, beginning[:NAMED]) + (", …" if len(beginning) > NAMED else "")


def row(commit: Commit, touched: Sequence[Touch]) -> tuple[str, ...]:
    """A commit's cells of COLUMNS."""
    facts = str(commit.number), when(commit), who(commit), whence(commit), commit.tenant
    return *facts, what(commit, touched), commit.comment


def data(commit: Commit) -> dict[str, Any]:
    """All that is known of a commit but what it changed; a line that may hold a secret is not told."""
    line = SECRET if secret.suspected(commit.line) is not None else commit.line
    return asdict(commit) | {"line": line, "when": rfc3339(commit.time)}


def title(commit: Commit) -> str:
    """A commit in one line: "Commit 7, 2026-11-29 06:48:26+00:00, by alice (admin), setup.avi:7: why"."""
    facts = f"Commit {commit.number}", when(commit), f"by {who(commit)}", whence(commit)
    return ", ".join(fact for fact in facts if fact) + (f": {commit.comment}" if commit.comment else "")
