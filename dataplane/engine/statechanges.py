"""When the states of services, pools and servers last changed: a state in one word, and the time since which it is
true. A server is stored here only once its state changes: an engine starts with thousands."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dataplane import plan
from dataplane.engine import operstate, subjects
from dataplane.engine.operstate import DISABLED, DOWN, UNKNOWN, UP
from dataplane.events import kinds
from dataplane.events.model import Tell, untold
from dataplane.plan.index import Members, ServiceIndex

if TYPE_CHECKING:
    from dataplane.engine.pools import Pools

Word = Callable[[plan.Service, plan.Server, bytes], str]
"""The state of a pool's server, which is at an address, in one word."""


class Since(NamedTuple):
    """A state, and when it began."""

    word: str  # one of `operstate`'s
    at: float  # seconds since the epoch


@dataclass(slots=True)
class _Pool:
    """A pool as it was when it was followed last."""

    came: float  # seconds since the epoch
    service: plan.Service  # one of its services
    members: Members  # its servers
    servers: dict[bytes, Since] = field(default_factory=dict)  # those whose state is not as it began

    def word(self, address: bytes) -> str:
        """A server's state until now, "" of one that was no member."""
        if since := self.servers.get(address):
            return since.word
        at = bisect_left(self.members.addresses, address)
        if self.members.addresses[at : at + 1] != (address,):
            return ""
        if not self.service.pool_enabled or not self.members.servers[at].enabled:
            return DISABLED
        return UNKNOWN if self.service.monitors else UP


class StateChanges:
    """Told of all that may have changed a state. clock: seconds since the epoch; tell: hears of states of services and
    pools, and of servers that are switched off and on; why a server is down, others tell."""

    def __init__(self, index: ServiceIndex, clock: Callable[[], float] = time.time, tell: Tell = untold) -> None:
        self._index, self._clock, self._tell = index, clock, tell
        self._known: dict[str, _Pool] = {}
        self._pools: dict[str, Since] = {}
        self._services: dict[str, Since] = {}

    def follow(self, pools: Iterable[str], word: Word) -> None:
        """These pools of the plan came, changed or went."""
        for uuid in pools:
            service = next(iter(self._index.of_pool(uuid)), None)
            if service is None:
                self._known.pop(uuid, None)
                self._pools.pop(uuid, None)
                continue
            members, known = self._index.members(uuid), self._known.get(uuid)
            if known is None:
                self._known[uuid] = _Pool(self._clock(), service, members)
                continue
            for address in _touched(known, service, members):
                at = bisect_left(members.addresses, address)
                before, now = known.word(address), word(service, members.servers[at], address)
                if before == now:
                    continue
                known.servers[address] = Since(now, self._clock())
                if before and known.service.pool_enabled and service.pool_enabled:
                    self._switched(uuid, address, before, now)
            for address in known.servers.keys() - set(members.addresses):
                del known.servers[address]
            known.service, known.members = service, members

    def put(self, uuids: Iterable[str], pools: Pools) -> None:
        """The states of these pools and their services may have changed."""
        for uuid in uuids:
            services, servers = self._index.of_pool(uuid), bool(self._index.members(uuid).servers)
            of_pool = []
            for service in services:
                settled, up = pools.is_settled(service), pools.is_up(service)
                word = operstate.pool_word(service, servers=servers, settled=settled, up=up)
                self.service(service.key, operstate.service_word(service, word))
                of_pool.append(word)
            self.pool(uuid, operstate.best(of_pool))

    def server(self, pool: str, address: bytes, word: Word) -> None:
        """A server's state became known, or unknown."""
        known = self._known.get(pool)
        if known is None:
            return
        at = bisect_left(known.members.addresses, address)
        if known.members.addresses[at : at + 1] == (address,):  # else it is leaving
            self._note(known, address, word(known.service, known.members.servers[at], address))

    def pool(self, uuid: str, word: str) -> None:
        """A pool's state."""
        if _note(self._pools, uuid, word, self._clock) and word in _OF_POOL:
            about, name = subjects.member(self._index, uuid)
            self._tell(_OF_POOL[word], about, f"{name} is {word}{self._why(uuid, word)}")

    def service(self, key: str, word: str) -> None:
        """A service's state, by its key in the plan."""
        if _note(self._services, key, word, self._clock) and word in _OF_SERVICE:
            service = self._index.services[key]
            about, name = subjects.service(service)
            self._tell(_OF_SERVICE[word], about, f"{name} is {word}{self._why(service.pool_uuid, word)}")

    def forget_service(self, key: str) -> None:
        """A service is gone."""
        self._services.pop(key, None)

    def of_server(self, pool: str, address: bytes) -> float | None:
        """When a server's state last changed, in seconds since the epoch. A state that never changed has the time at
        which its pool came. None: there is no such pool."""
        known = self._known.get(pool)
        if known is None:
            return None
        since = known.servers.get(address)
        return known.came if since is None else since.at

    def of_pool(self, uuid: str) -> float | None:
        """When a pool's state last changed. None: it has none yet."""
        since = self._pools.get(uuid)
        return None if since is None else since.at

    def word_of_service(self, key: str) -> str:
        """A service's state in one word; "": it has none yet."""
        since = self._services.get(key)
        return "" if since is None else since.word

    def states(self, uuid: str) -> list[Since]:
        """The states of a pool's servers by address, each with its time. Empty: there is no such pool."""
        known = self._known.get(uuid)
        if known is None:
            return []
        return [known.servers.get(one) or Since(known.word(one), known.came) for one in known.members.addresses]

    def of_service(self, key: str) -> float | None:
        """When a service's state last changed. None: it has none yet."""
        since = self._services.get(key)
        return None if since is None else since.at

    def _why(self, pool: str, word: str) -> str:
        """Of what is down."""
        service = next(iter(self._index.of_pool(pool)), None)
        if word != DOWN or service is None:
            return ""
        if not service.pool_enabled:
            return ": its pool is disabled"
        states = self.states(pool)
        needed = f", {service.servers_needed} are needed" if service.servers_needed > 1 else ""
        return f": {sum(one.word == UP for one in states)} of {len(states)} servers are up{needed}"

    def _switched(self, pool: str, address: bytes, before: str, now: str) -> None:
        if (before == DISABLED) != (now == DISABLED):
            about, name = subjects.member(self._index, pool, address)
            if now == DISABLED:
                self._tell(kinds.SERVER_DISABLED, about, f"{name} is disabled")
            else:
                self._tell(kinds.SERVER_ENABLED, about, f"{name} is enabled again, and {now}")

    def _note(self, known: _Pool, address: bytes, word: str) -> None:
        if known.word(address) != word:
            known.servers[address] = Since(word, self._clock())


def _touched(known: _Pool, service: plan.Service, members: Members) -> Iterable[bytes]:
    """The members whose state a change of the plan may have changed."""
    before = known.service
    if (before.pool_enabled, before.monitors) != (service.pool_enabled, service.monitors):
        return members.addresses
    if known.members is members:
        return ()
    were = dict(zip(known.members.addresses, (server.enabled for server in known.members.servers), strict=True))
    now = zip(members.addresses, members.servers, strict=True)
    return [address for address, server in now if were.get(address) is not server.enabled]


def _note(states: dict[str, Since], key: str, word: str, clock: Callable[[], float]) -> bool:
    """Returns whether it is another state."""
    known = states.get(key)
    if known is not None and known.word == word:
        return False
    states[key] = Since(word, clock())
    return True


_OF_POOL = {UP: kinds.POOL_UP, DOWN: kinds.POOL_DOWN, DISABLED: kinds.POOL_DISABLED}
_OF_SERVICE = {
    UP: kinds.VIRTUALSERVICE_UP,
    DOWN: kinds.VIRTUALSERVICE_DOWN,
    DISABLED: kinds.VIRTUALSERVICE_DISABLED,
}
