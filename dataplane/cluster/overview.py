"""The overview of a cluster: the members of its etcd, the state of its log, and the engines present."""

from __future__ import annotations

from typing import NamedTuple

from dataplane.cluster import operations as op
from dataplane.cluster.address import shown
from dataplane.cluster.asking import ENGINES
from dataplane.cluster.etcd import Etcd
from dataplane.cluster.log import Log
from dataplane.errors import ClusterError
from dataplane.foreign import jsontext
from dataplane.foreign.errors import ForeignError
from dataplane.foreign.text import harmless


class Member(NamedTuple):
    """A member of etcd. If it does not answer, `state` says why, and nothing else is known."""

    member: str  # HOST:PORT
    state: str  # leads, follows, knows no leader
    version: str = ""
    size: int | None = None  # bytes of its database
    in_use: int | None = None  # of these, how many are in use
    alarms: str = ""  # its alarms that are raised

    def cells(self) -> tuple[str, ...]:
        """The same in words, for a row of a table."""
        sizes = ("" if size is None else f"{size / (1 << 20):.1f} MiB" for size in (self.size, self.in_use))
        return self.member, self.state, self.version, *sizes, self.alarms


class Engine(NamedTuple):
    """A present engine, as it describes itself."""

    name: str
    host: str
    group: str
    version: int  # the plan's version that it has applied
    format: int  # the latest format of plans that it reads


class Reach(NamedTuple):
    """The state of the log."""

    commit: int  # the last commit
    snapshot: int  # the commit after which the snapshot was taken
    format: int  # of the plans in commits


def members(etcd: Etcd) -> tuple[list[Member], str]:
    """The members of etcd; and why their alarms are not known, "" if they are."""
    raised: dict[str, list[str]] = {}
    fault = ""
    try:
        for member, alarm in etcd.alarms():
            raised.setdefault(member, []).append(alarm)
    except ClusterError as exc:
        fault = exc.what
    return [_member(etcd, endpoint, raised) for endpoint in etcd.address.endpoints], fault


def reach(etcd: Etcd) -> Reach | None:
    """The state of the log; None: nobody has seeded the cluster. Raises ClusterError."""
    log = Log(etcd)
    head, last = log.head(), log.last()
    return None if head is None else Reach(max(last, head.version), head.version, log.format())


def engines(etcd: Etcd) -> list[Engine]:
    """The engines present, by name. Raises ClusterError."""
    first = f"/avi/{etcd.address.cluster}/{ENGINES}"
    found = []
    for one in etcd.get(first, op.following(first)):
        try:
            told = jsontext.loads(one.value)
            host, group = (harmless(str(told.get(name, ""))) for name in ("host", "group"))
            version, format_ = (int(told.get(name, 0)) for name in ("version", "format"))
            found.append(Engine(one.key.removeprefix(first), host, group, version, format_))
        except (ForeignError, ValueError, TypeError, AttributeError):
            found.append(Engine(one.key.removeprefix(first), "not understood", "", 0, 0))
    return found


def _member(etcd: Etcd, endpoint: tuple[str, int], raised: dict[str, list[str]]) -> Member:
    try:
        told = etcd.status(endpoint)
        number = told["header"]["member_id"]
        state = "leads" if told.get("leader") == number else "follows"
        state = state if int(told.get("leader", 0)) else "knows no leader"
        size, in_use = (int(told.get(name, 0)) for name in ("dbSize", "dbSizeInUse"))
        alarms = ", ".join(raised.get(number, ())) or "none"
        return Member(shown(endpoint), state, str(told.get("version", "")), size, in_use, alarms)
    except ClusterError as exc:
        return Member(shown(endpoint), exc.what)
    except (ValueError, TypeError, LookupError):
        return Member(shown(endpoint), "is not understood")
