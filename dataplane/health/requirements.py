"""What every pool member must pass for each VIP, and which pools a check belongs to: equal checks of several pools are
run once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from dataplane import plan
from dataplane.health.probes.check import Check
from dataplane.plan import MONITOR_EXTERNAL


class Change(NamedTuple):
    """How the checks that are to be run have changed."""

    new: dict[Check, bool | None]  # wanted by some pool now, and by none before; True: counts as up until it is known
    gone: list[Check]  # wanted by no pool any more


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a server must pass for one port of a VIP."""

    checks: tuple[Check, ...]  # one for each monitor
    needed: int = 0  # how many of the checks must be up; 0: all

    def verdict(self, states: Iterable[bool | None]) -> bool | None:
        """Whether it is met; None: not known yet. states: whether each of its checks is up."""
        known = list(states)
        needed = min(self.needed, len(known)) or len(known)
        if known.count(True) >= needed:
            return True
        return None if len(known) - known.count(False) >= needed else False


_Members = Mapping[bytes, tuple[Requirement, ...]]
"""By address."""
_OfVips = Mapping[bytes, _Members]
"""By VIP."""
_NOBODY: _Members = {}
_NONE: _OfVips = {}


class Requirements:
    """Requirements by pool member, and pools by check."""

    def __init__(self) -> None:
        self._requirements: dict[str, _OfVips] = {}
        self._users: dict[Check, tuple[str, ...]] = {}

    def follow(
        self,
        pool: str,
        services: Iterable[plan.Service],
        met: Callable[[Iterable[Requirement]], bool] = lambda requirements: False,
    ) -> Change:
        """Take over what a pool's services require of its members. A pool without services is gone.

        met: whether requirements are met that were there before. A server that met them stays up for the VIP, on the
        same port and path, until its new checks have found something: with other settings of a monitor, no server is
        up otherwise, and the VIP is down.
        """
        before, now = self._requirements.pop(pool, _NONE), _required(services)
        if now:
            self._requirements[pool] = now
        if before == now:
            return Change({}, [])
        old, new = _checks(before), _checks(now)
        change = Change({}, [])
        proven = _proven(before, met) if new.keys() - old.keys() else frozenset()
        for check in new:
            if check in old:
                continue
            users = self._users.get(check, ())
            if not users:
                change.new[check] = (check.vip, check.server, check.port, check.mode) in proven or None
            self._users[check] = (*users, pool)
        for check in old:
            if check in new:
                continue
            users = tuple(user for user in self._users[check] if user != pool)
            if users:
                self._users[check] = users
            else:
                del self._users[check]
                change.gone.append(check)
        return change

    def of(self, pool: str, server: bytes, vip: bytes | None = None) -> tuple[Requirement, ...]:
        """What a pool member must pass: for a VIP, or for all."""
        of_vips = self._requirements.get(pool, _NONE)
        if vip is not None:
            return of_vips.get(vip, _NOBODY).get(server, ())
        if len(of_vips) == 1:
            (members,) = of_vips.values()
            return members.get(server, ())
        return tuple(chain.from_iterable(members.get(server, ()) for members in of_vips.values()))

    def vips(self, pool: str) -> Collection[bytes]:
        """The VIPs for which a pool's members have requirements."""
        return self._requirements.get(pool, _NONE).keys()

    def users(self, check: Check) -> Iterable[str]:
        """The pools that a check belongs to."""
        return self._users.get(check, ())

    def servers(self, pool: str) -> Collection[bytes]:
        """The members of a pool that have requirements."""
        return next(iter(self._requirements.get(pool, _NONE).values()), _NOBODY).keys()


def _required(services: Iterable[plan.Service]) -> _OfVips:
    """The requirements of every member that has some, by VIP: one for each port, equal ones once."""
    found: dict[bytes, dict[bytes, dict[Requirement, None]]] = {}
    for service in services:
        if not service.monitors:
            continue
        vip, monitors = socket.inet_aton(service.vip), tuple(map(_content, service.monitors))
        members = found.setdefault(vip, {})
        for server in service.servers:
            address = socket.inet_aton(server.address)
            checks = tuple(Check(vip, address, m.port or server.port, m, service.mode) for m in monitors)
            members.setdefault(address, {})[Requirement(checks, service.monitors_needed)] = None
    return {
        vip: {address: tuple(requirements) for address, requirements in members.items()}
        for vip, members in found.items()
    }


def _proven(before: _OfVips, met: Callable[[Iterable[Requirement]], bool]) -> frozenset[tuple[bytes, bytes, int, str]]:
    """The VIPs, servers, ports and modes of which servers met their requirements."""
    return frozenset(
        (check.vip, check.server, check.port, check.mode)
        for members in before.values()
        for requirements in members.values()
        if met(requirements)
        for requirement in requirements
        for check in requirement.checks
    )


def _checks(required: _OfVips) -> dict[Check, None]:
    return {
        check: None
        for members in required.values()
        for requirements in members.values()
        for requirement in requirements
        for check in requirement.checks
    }


def _content(monitor: plan.Monitor) -> plan.Monitor:
    """A monitor without its name, so that equal ones are run once. A script is told the name, so there it counts."""
    return monitor if monitor.type == MONITOR_EXTERNAL else replace(monitor, name="")
