"""The changes of the tables of all pools, kept for engines that begin later."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dataplane import plan
from dataplane.forwarding.translate import PoolMember
from dataplane.plan import history, index
from dataplane.plan.history import Held

_SHARING, _SERVING = struct.Struct("=4sIq"), struct.Struct("=4sq")


class _Packed(NamedTuple):
    """A `Held` in 16 to 28 bytes a server: as objects it takes ten times as much, for every server of a plan."""

    since: float
    servers: bytes  # address, weight, generation of each
    serving: bytes | None  # address and generation of each; None: they are the same ones

    @classmethod
    def of(cls, held: Held) -> _Packed:
        """The same, packed."""
        servers = (_SHARING.pack(socket.inet_aton(address), weight, life) for address, weight, life in held.servers)
        serving = (_SERVING.pack(socket.inet_aton(address), life) for address, life in held.serving)
        return cls(held.since, b"".join(servers), b"".join(serving))

    @property
    def held(self) -> Held:
        """As objects."""
        servers = [(socket.inet_ntoa(one), weight, life) for one, weight, life in _SHARING.iter_unpack(self.servers)]
        serving = [(one, life) for one, _, life in servers]
        if self.serving is not None:
            serving = [(socket.inet_ntoa(one), life) for one, life in _SERVING.iter_unpack(self.serving)]
        return Held(self.since, tuple(servers), tuple(serving))


class _Members(NamedTuple):
    """The members that share a table. Most tables never change: the first ones are packed when they do."""

    since: float
    service: plan.Service  # whose servers the members are
    usable: bytes  # for each server, by address, whether it shares the table
    serving: bytes  # whether it may go on with flows

    @property
    def packed(self) -> _Packed:
        """The same, packed."""
        listed = index.members(self.service)
        each = list(zip(listed.servers, listed.addresses, self.usable, self.serving, strict=True))
        servers = b"".join([_SHARING.pack(at, server.weight, server.generation) for server, at, one, _ in each if one])
        serving = b"".join([_SERVING.pack(at, server.generation) for server, at, _, one in each if one])
        return _Packed(self.since, servers, None if self.usable == self.serving else serving)


class PoolHistory:
    """By the driver's names of pools. `note` is called by threads, by one for a pool at a time."""

    def __init__(self) -> None:
        self._firsts: dict[str, _Members] = {}
        self._changes: dict[str, list[_Packed]] = {}

    def recall(self, changes: Mapping[str, Sequence[Held]]) -> set[str]:
        """Take over what other engines saw before this one began. Returns the pools that go on from there: those that
        did not change here."""
        names = {name for name in changes if len(self._changes.get(name, ())) < 2}
        for name in sorted(names):
            try:
                self._changes[name] = [_Packed.of(held) for held in changes[name]]
                self._firsts.pop(name, None)
            except (OSError, struct.error):  # etcd holds no address there, or a number that no plan has
                names.remove(name)
        return names

    def note(self, name: str, now: float, service: plan.Service, members: Sequence[PoolMember]) -> None:
        """These are a pool's members from now on: the servers of a service, by address."""
        shares, serves = bytes([one.usable for one in members]), bytes([one.serves for one in members])
        now_on = _Members(now, service, shares, serves)
        if name not in self._changes and name not in self._firsts:
            self._firsts[name] = now_on
            return
        packed = now_on.packed
        if name in self._firsts:
            self._changes[name] = [self._firsts.pop(name).packed]
        before = self._changes[name]
        if before[-1].servers != packed.servers:
            before.append(packed)
            del before[: -history.MOST]

    def forget(self, name: str) -> None:
        """A pool is gone."""
        self._firsts.pop(name, None)
        self._changes.pop(name, None)

    def changed(self) -> list[str]:
        """The pools whose tables changed."""
        return [name for name, held in list(self._changes.items()) if len(held) > 1]

    def young(self, name: str, oldest: float) -> list[Held]:
        """A pool's changes since a time, and first the one that was in force then. Empty: nothing changed."""
        changes = self._changes.get(name, ())
        return history.young([one.held for one in changes], oldest) if len(changes) > 1 else []
