"""`show cluster`: what several hosts share: the members of etcd, how far the log is, and how far each engine."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import Refused
from avi_shell.output.result import Part, Prose, Table
from dataplane.plan import sqlite

_MEMBERS = ("Member", "State", "Version", "Size", "In Use", "Alarms")
_ENGINES = ("Service Engine", "Host", "SE Group", "Applied", "State")
_PATIENCE = 3.0
"""Seconds for etcd, and for each member, to answer."""


def cluster(stored: Configuration) -> tuple[list[Part], Any]:
    """What to print, and the same as data. Raises Refused where this host shares its configuration with nobody."""
    from avi_shell.configuration.shared import OLD_PLAN
    from dataplane.cluster import overview
    from dataplane.cluster.etcd import Etcd
    from dataplane.errors import ClusterError

    asking = stored.asking()
    if asking is None:
        raise Refused("this host shares its configuration with no other", hint="help several-engines")
    with stored.snapshot() as store:
        here, planned = store.version(), store.newest_planned()
    with closing(Etcd(asking.address, _PATIENCE)) as etcd:
        members, fault = overview.members(etcd)
        try:
            reach, engines = overview.reach(etcd), overview.engines(etcd)
        except ClusterError as exc:
            reach, engines, fault = None, [], exc.what
    states = ["up to date" if engine.version >= planned else "behind" for engine in engines]
    rows = [
        (one.name, one.host, one.group, str(one.version), state)
        for one, state in zip(engines, states, strict=True)
    ]  # fmt: skip
    parts: list[Part] = [Table(_MEMBERS, [one.cells() for one in members])]
    if rows:
        parts.append(Table(_ENGINES, rows))
    name = asking.address.cluster
    if reach is not None:
        parts.append(f"Cluster {name} is at commit {reach.commit}, this host at {here}.")
        parts.append(f"The last snapshot is of commit {reach.snapshot}.")
        if reach.format < sqlite.PLAN_FORMAT:
            parts.append(Prose(OLD_PLAN))
    if fault:
        parts.append(Prose(f"This host is at commit {here}. What the cluster has is not known: {fault}"))
    told = [one._asdict() | {"state": state} for one, state in zip(engines, states, strict=True)]
    data = {"cluster": name, "here": here, "members": [one._asdict() for one in members], "engines": told}
    known = dict.fromkeys(overview.Reach._fields) if reach is None else reach._asdict()
    return parts, {**data, **known, "fault": fault}
