"""The values of events: how severe, about what, and one event as it is kept and told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from dataplane.foreign.errors import ForeignError
from dataplane.wording import clock

LONGEST = 600
"""Characters of an event's text, and of a name in it."""


class Severity(IntEnum):
    """The severities of syslog (RFC 5424, section 6.2.1) that an engine uses; the lower, the worse."""

    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6

    @property
    def word(self) -> str:
        """As operators read and type it."""
        return self.name.lower()


SEVERITIES = {severity.word: severity for severity in Severity}


class Kind(NamedTuple):
    """A kind of event; `kinds` lists all of them."""

    name: str  # for programs: `server_down`
    severity: Severity
    meaning: str  # what happened, for the manual


class Subject(NamedTuple):
    """The object that an event is about."""

    kind: str  # virtualservice, pool, server, serviceengine, vip, interface or peer
    name: str = ""  # as operators know it; of a server address:port, of a VIP its address
    tenant: str = ""  # of a configured object's, else ""
    uuid: str = ""  # of a configured object's, else ""; of a server its pool's
    pool: str = ""  # of a server: its pool's name


THIS_ENGINE = Subject("serviceengine")
"""The engine that tells the event; `Events` fills in its name."""

Tell = Callable[[Kind, Subject, str], None]
"""Tells an event: its kind, its object, and a sentence for operators that names the reason."""


def untold(_kind: Kind, _about: Subject, _text: str) -> None:
    """Drop an event: for callers that want none."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event, which may have happened several times."""

    number: int  # counts the engine's events in the order in which they first happened
    at: float  # when it happened first, seconds since the epoch
    last: float  # when it happened last
    count: int  # how often it happened
    kind: str  # a name of `kinds.ALL`, or what a newer release calls it
    severity: Severity
    about: Subject
    text: str  # in words for an operator
    engine: str
    commit: int | None = None  # the commit that caused it, if one did

    @property
    def words(self) -> str:
        """The text, with the count and the commit."""
        return words(self.text, self.count, self.at, self.commit)

    def data(self) -> dict[str, Any]:
        """The event for programs: {"number", "at", "last", "count", "kind", "severity": its word, "object": {"kind",
        "name", "tenant", "uuid", "pool": of a server}, "text", "engine", "commit": number or null}. Times are in
        seconds since the epoch."""
        about = {"kind": self.about.kind, "name": self.about.name}
        about |= {"tenant": self.about.tenant, "uuid": self.about.uuid} if self.about.uuid else {}
        about |= {"pool": self.about.pool} if self.about.pool else {}
        return {
            "number": self.number,
            "at": round(self.at, 3),
            "last": round(self.last, 3),
            "count": self.count,
            "kind": self.kind,
            "severity": self.severity.word,
            "object": about,
            "text": self.text,
            "engine": self.engine,
            "commit": self.commit,
        }


def words(text: str, count: int, since: float, commit: int | None) -> str:
    """An event's text, followed by how often it happened since a time (seconds since the epoch) and which commit caused
    it."""
    said = text
    if commit is not None and f"commit {commit}" not in text:
        said += f" (commit {commit})"
    if count > 1:
        said += f" (repeated: {count} times since {clock(since)})"
    return said


def read(data: Any) -> Event:
    """Read an event from `Event.data`. Raises ForeignError."""
    about = data.get("object") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(about, dict):
        raise ForeignError("an event is an object with an object in it")
    severity, commit = SEVERITIES.get(_text(data, "severity")), data.get("commit")
    if severity is None:
        raise ForeignError(f"severity is one of {', '.join(SEVERITIES)}")
    if commit is not None:
        commit = _whole(data, "commit")
    subject = Subject(*(_text(about, name) if name in about else "" for name in Subject._fields))
    return Event(
        _whole(data, "number"),
        _time(data, "at"),
        _time(data, "last"),
        _whole(data, "count"),
        _text(data, "kind"),
        severity,
        subject,
        _text(data, "text"),
        _text(data, "engine"),
        commit,
    )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if isinstance(value, str) and len(value) <= LONGEST:
        return value
    raise ForeignError(f"{name} is text of at most {LONGEST} characters")


def _whole(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if type(value) is int and 0 <= value < 2**63:
        return value
    raise ForeignError(f"{name} is a whole number")


def _time(data: Mapping[str, Any], name: str) -> float:
    value = data.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11:  # NaN is not
        return float(value)
    raise ForeignError(f"{name} is a time in seconds since the epoch")
