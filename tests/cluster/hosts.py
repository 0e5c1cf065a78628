"""Hosts that share a configuration: state directories, and what their stores hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from avi_shell.configuration import shared
from avi_shell.configuration.record import Author
from avi_shell.configuration.saved import Saved
from avi_shell.configuration.shared import SharedConfiguration
from dataplane.cluster.address import StoreAddress

from ..configuration.conftest import Site

_AS_THEY_ARE = ("object", "history", "change", "foreign_kind", "plan", "store", "unconfirmed", "sqlite_sequence")
"""Tables that are equal on all hosts, row ids and order included."""
_DERIVED = ("link", "holding", "claim")
"""Tables that are equal on all hosts but for their order."""


Run = Callable[[Callable[["Hosts"], None]], None]
"""Runs a test with two hosts, in the namespace of their etcd."""


class _Site(Site):
    """As a session: what others committed is known before a line."""

    def save(self, kind: str, tenant: str = "admin", **fields: Any) -> Saved:
        self.configuration.follow()
        return super().save(kind, tenant, **fields)


class Hosts:
    """The hosts of one cluster, which begins with the first one's fresh store. To be used in the members' namespace."""

    def __init__(self, folder: Path, address: StoreAddress, count: int = 2) -> None:
        self.folders = [folder / f"host{index}" for index in range(count)]
        self.address = address
        shared.seed(self.folders[0], address, None, Author())
        self.open = [SharedConfiguration.join(folder, address) for folder in self.folders]
        self.sites = [_Site(configuration) for configuration in self.open]

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, *error: object) -> None:
        for configuration in self.open:
            configuration.close()

    def save(self, index: int, name: str, **fields: Any) -> int:
        """Save a pool on a host. Returns the commit's number."""
        return self.sites[index].save("pool", name=name, **fields).version

    def equal(self) -> None:
        """See that all hosts hold the same, when each has caught up, and that the history has no gap."""
        for configuration in self.open:
            configuration.catch_up()
        first, *others = [dump(folder) for folder in self.folders]
        for other in others:
            assert other == first
        numbers = [row[0] for row in first["history"]]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))


def dump(folder: Path) -> dict[str, list[Any]]:
    """All that a host's store holds but for what waits for its own audit log, by table."""
    with closing(sqlite3.connect(folder / "config.db")) as stored:
        found = {
            name: stored.execute(f"SELECT rowid, * FROM {name} ORDER BY rowid").fetchall() for name in _AS_THEY_ARE
        }
        return found | {name: sorted(stored.execute(f"SELECT * FROM {name}").fetchall()) for name in _DERIVED}
