"""The changes of the tables of all pools, kept for engines that begin later."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from dataplane.forwarding.translate import PoolMember
from dataplane.plan import history
from dataplane.plan.history import Held


class PoolHistory:
    """By the driver's names of pools. `note` is called by threads, by one for a pool at a time."""

    def __init__(self) -> None:
        self._changes: dict[str, list[Held]] = {}

    def recall(self, changes: Mapping[str, Sequence[Held]]) -> set[str]:
        """Take over what other engines saw before this one began. Returns the pools that go on from there: those that
        did not change here."""
        names = {name for name in changes if len(self._changes.get(name, ())) < 2}
        self._changes.update({name: list(changes[name]) for name in names})
        return names

    def note(self, name: str, now: float, members: Sequence[PoolMember]) -> None:
        """These are a pool's members from now on."""
        addresses = [socket.inet_ntoa(member.address) for member in members]
        paired = list(zip(addresses, members, strict=True))
        held = Held(
            now,
            tuple((address, m.server.weight, m.server.generation) for address, m in paired if m.usable),
            tuple((address, m.server.generation) for address, m in paired if m.serves),
        )
        before = self._changes.setdefault(name, [])
        if not before or before[-1].servers != held.servers:
            before.append(held)
            del before[: -history.MOST]

    def forget(self, name: str) -> None:
        """A pool is gone."""
        self._changes.pop(name, None)

    def changed(self) -> list[str]:
        """The pools whose tables changed."""
        return [name for name, held in list(self._changes.items()) if len(held) > 1]

    def young(self, name: str, oldest: float) -> list[Held]:
        """A pool's changes since a time, and first the one that was in force then. Empty: nothing changed."""
        return history.young(self._changes.get(name, ()), oldest)
