"""The record of a commit: who made it, when and how, and every object that it changed, before and after.

Pure values, and their form as JSON, in which a commit can be carried to another store and applied there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from avi_shell.configuration import document
from avi_shell.configuration.document import HIDDEN_STATE, Document
from avi_shell.errors import Refused
from dataplane.plan.unconfirmed import Unconfirmed
from grammar import schema

RECORD_FORMAT = 2
"""The number of the form of a record as JSON."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a commit, and how."""

    user: str = "admin"  # the shell's
    os_user: str = ""  # the operating system's: "alice", or "alice as root" through sudo
    terminal: str = ""  # "/dev/pts/3", "/dev/pts/3 from 192.0.2.7"; "" without one
    origin: str = ""  # of the line: "FILE:LINE"; "" at a terminal
    comment: str = ""  # what the operator says of it
    line: str = ""  # the command that made it
    typed: str = ""  # for the audit: the line that was typed last, as the `save`; "" = `line`
    typed_at: str = ""  # where that line comes from, as `origin`
    confirm: float = 0.0  # seconds after which it is undone unless somebody confirms it; 0: it stays


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the history, without what it changed."""

    number: int  # from 1
    time: float  # seconds since 1970
    user: str  # of the shell
    os_user: str  # of the operating system; "" where that is not known, as all up to `line`
    terminal: str
    tenant: str  # that the object belongs to
    origin: str  # of the line: "FILE:LINE"
    comment: str
    action: str  # create, update, delete or import
    kind: str  # the object's segment; "" for an import
    name: str  # the object's; "" for an import
    line: str  # the command that made it
    content: bool = True  # False: brought from a store of format 1, which did not keep what a commit changed


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What a commit did to one object. Where it is gone, kind to name are as they were before."""

    row: int  # of the object, which no other ever has; 0 for kinds that the object model does not have
    kind: str  # the segment; the name of a kind that the object model does not have
    tenant: str
    cloud: str  # "" for kinds that belong to none
    name: str
    before: Any  # the Document, or what was kept of an unknown kind; None = it was not there
    after: Any  # the same; None = it is gone

    @property
    def differs(self) -> bool:
        """Whether more than the time of the last change differs."""
        if not self.row or self.before is None or self.after is None:
            return bool(self.before != self.after)
        return {**self.before, HIDDEN_STATE: ""} != {**self.after, HIDDEN_STATE: ""}

    @property
    def uuid(self) -> str:
        """The object's uuid; "" for a kind that the object model does not have."""
        found: Document = self.before if self.after is None else self.after
        return str(found["uuid"]) if self.row else ""


@dataclass(frozen=True, slots=True)
class Content:
    """A whole configuration."""

    objects: Mapping[str, list[Document]]  # by segment, each kind by tenant, name and cloud
    foreign: Mapping[str, Any]  # what is kept of kinds that the object model does not have, by their names


def content(objects: Iterable[tuple[str, Document]], foreign: Mapping[str, Any]) -> Content:
    """A configuration of some objects, with their segments."""
    kinds: dict[str, list[Document]] = {segment: [] for segment in schema.SEGMENTS}
    for segment, found in objects:
        kinds[segment].append(found)
    for segment, same in kinds.items():
        kind = schema.kind(segment)
        same.sort(key=lambda one: (document.owner(kind, one), one["name"], document.cloud_of(kind, one)))
    return Content(kinds, dict(sorted(foreign.items())))


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A commit with all that it did to its store."""

    identity: str  # of the store
    epoch: int  # of the store
    commit: Commit
    changes: tuple[ObjectChange, ...]  # each object once
    # rows of the plan that it wrote and no later commit did: documents by key; None = that service is gone
    plan: Mapping[str, Any] = field(default_factory=dict)
    # what waits to be confirmed after it, while it is the last commit: one, or none; None = it does not tell
    waits: tuple[Unconfirmed, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "format": RECORD_FORMAT,
            "identity": self.identity,
            "epoch": self.epoch,
            "commit": asdict(self.commit),
            "changes": [{f.name: getattr(change, f.name) for f in fields(ObjectChange)} for change in self.changes],
            "plan": dict(self.plan),
            **({} if self.waits is None else {"waits": [asdict(one) for one in self.waits]}),
        }

    @classmethod
    def from_json(cls, data: Any) -> CommitRecord:
        """From JSON values. Raises Refused naming what is not as `to_json` makes it."""
        if not isinstance(data, dict) or data.get("format") != RECORD_FORMAT:
            found = data.get("format") if isinstance(data, dict) else None
            raise Refused(f"the record of a commit has format {found!r:.40}, this release reads {RECORD_FORMAT}")
        _typed("", data, {"identity": str, "epoch": int, "commit": dict, "changes": list, "plan": dict})
        changes = []
        for index, change in enumerate(data["changes"], 1):
            place = f"changes[{index}]."
            _typed(place, change, dict.fromkeys(_TEXTS, str) | {"row": int})
            before, after = change.get("before"), change.get("after")
            wrong = [one for one in (before, after) if one is not None and not _is_body(one, change["row"])]
            if wrong or before is after is None:
                raise Refused(f"the record of a commit: {place}before and after are no objects")
            kind, tenant, cloud, name = (change[text] for text in _TEXTS)
            changes.append(ObjectChange(change["row"], kind, tenant, cloud, name, before, after))
        commit = data["commit"]
        _typed("commit.", commit, _COMMIT)
        made = Commit(**{name: commit[name] for name in _COMMIT} | {"time": float(commit["time"])})
        for key, row in data["plan"].items():
            if not isinstance(row, dict | None):
                raise Refused(f"the record of a commit: plan[{key!r:.60}] is {row!r:.40}, not an object or null")
        waits = None if "waits" not in data else _waits(data["waits"])
        return cls(data["identity"], data["epoch"], made, tuple(changes), data["plan"], waits)


_TEXTS = ("kind", "tenant", "cloud", "name")
_TYPES: Mapping[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "bool": bool}
_COMMIT = {f.name: _TYPES.get(str(f.type), str) for f in fields(Commit)}


def _waits(told: Any) -> tuple[Unconfirmed, ...]:
    if not isinstance(told, list) or len(told) > 1:
        raise Refused(f"the record of a commit: waits is {told!r:.40}")
    for one in told:
        _typed("waits.", one, {"commits": list, "deadline": float, "seconds": float, "fault": str})
        if not one["commits"] or not all(type(number) is int for number in one["commits"]):
            raise Refused(f"the record of a commit: waits.commits is {one['commits']!r:.40}")
    return tuple(Unconfirmed(tuple(one["commits"]), one["deadline"], one["seconds"], one["fault"]) for one in told)


def _is_body(value: Any, row: int) -> bool:
    return not row or (isinstance(value, dict) and isinstance(value.get("uuid"), str))


def _typed(place: str, data: Any, wanted: Mapping[str, type | tuple[type, ...]]) -> None:
    if not isinstance(data, dict):
        raise Refused(f"the record of a commit: {place.rstrip('.')} is {data!r:.40}, not an object")
    for name, type_ in wanted.items():
        value = data.get(name)
        if not isinstance(value, type_) or (type_ is not bool and isinstance(value, bool)):
            raise Refused(f"the record of a commit: {place}{name} is {value!r:.40}")
