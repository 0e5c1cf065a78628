"""Operational states and their reasons, in the words that operators read: pure functions of what an engine knows.

A state is one word: up, down, disabled, unknown (a server that is not checked yet), initializing (a pool or service
that waits for its servers' first results). Everybody who shows a state takes it from here, so that no two views differ.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dataplane import plan, wording
from dataplane.forwarding.transition import Life

UP, DOWN, DISABLED, UNKNOWN, INITIALIZING = "up", "down", "disabled", "unknown", "initializing"

_NAMED = 4
"""Servers named for one reason, and reasons given, before the rest is counted."""


class State(NamedTuple):
    """A state and why it is so; no reason where the state says it all."""

    word: str  # one of those above
    reason: str = ""  # in words for an operator, who reads them after the word: they do not repeat it


class Seen(NamedTuple):
    """What an engine knows of a server."""

    monitored: bool  # monitors look at it
    up: bool  # they say so
    known: bool  # they said something yet
    why: str = ""  # it is not up, or what is to be known of one that is
    failing: bool = False  # some monitors fail
    fault: str = ""  # why nothing can be sent to it at all, "" = it can
    unresolved: bool = False  # nobody answers ARP for it or for the next hop towards it


IDLE = 10.0
"""Seconds without a packet after which a flow counts as idle: it has ended, or it is silent."""


class Flows(NamedTuple):
    """A disabled server's tracked flows that live."""

    live: int  # how many
    idle: int = 0  # those of them without a packet for IDLE seconds
    last: float = 0.0  # seconds since the last packet of any


class Grace(NamedTuple):
    """What is left to a disabled server."""

    seconds: float  # that it serves its flows on, 0 = none, plan.FOR_EVER
    given: bool  # it had a graceful time at all
    flows: Flows | None  # those seen since that still live, None where none are tracked


NO_GRACE = Grace(0, given=False, flows=None)


def server(planned: plan.Server, pool_enabled: bool, seen: Seen, grace: Grace) -> State:
    """A pool member's state. grace: asked of a disabled one only."""
    if not pool_enabled:
        return State(DISABLED, "its pool is disabled")
    found = _health(seen)
    if planned.enabled:
        return found
    if found.word == DOWN:
        return State(DISABLED, f"it is down too ({found.reason})")
    return State(DISABLED, _grace(grace))


def _health(seen: Seen) -> State:
    if seen.fault:
        return State(DOWN, seen.fault)
    if not seen.monitored:
        unresolved = "no reply to ARP for it" if seen.unresolved else ""
        return State(UP, "; ".join(text for text in ("not monitored", unresolved, seen.why) if text))
    if seen.up:
        return State(UP, f"enough monitors pass; others: {seen.why}" if seen.failing else seen.why)
    return State(DOWN, seen.why) if seen.known else State(UNKNOWN, "not checked yet")


def _grace(grace: Grace) -> str:
    if not grace.seconds:
        return "its graceful time is over" if grace.given else "its flows moved at once"
    how_long = "for ever" if grace.seconds < 0 else f"for {duration(grace.seconds)} more"
    remain = ""
    if grace.flows is not None:
        live, idle, last = grace.flows
        remain = f", {wording.counted(live, 'flow')} {wording.fits(live, 'remains', 'remain')} of those tracked"
        if idle:
            remain += f": {idle} idle for {duration(IDLE)} or more (ended or silent), {live - idle} in use"
            remain += f", the last packet {duration(last)} ago"
    return f"it serves its flows {how_long}{remain}"


def pool_word(service: plan.Service, *, servers: bool, settled: bool, up: bool) -> str:
    """A pool's state without its reason. servers: it has some; else as for `pool`."""
    if not service.pool_enabled:
        return DISABLED
    if servers and not settled:
        return INITIALIZING
    return UP if servers and up else DOWN


def best(words: Iterable[str]) -> str:
    """The best of the states that a pool has for each of its services."""
    found = set(words)
    return next(word for word in (UP, INITIALIZING, DOWN, DISABLED) if word in found)


def pool(service: plan.Service, servers: Mapping[str, State], *, settled: bool, up: bool) -> State:
    """A pool's state. servers: by address; settled: their first results are in; up: what its forwarding does."""
    word = pool_word(service, servers=bool(servers), settled=settled, up=up)
    if word == DISABLED:
        return State(word, "switched off in the configuration")
    if not servers:
        return State(word, "it has no servers")
    if word == INITIALIZING:
        waiting = [address for address, state in servers.items() if state.word == UNKNOWN]
        return State(word, "waiting for the first monitor results" + (f": {_some(waiting)}" if waiting else ""))
    if word == DOWN:
        return State(word, _too_few(service, servers) or f"no server is up: {listing(servers)}")
    if not any(state.word == UP for state in servers.values()):
        return State(word, f"no server takes new flows: {listing(servers)}")
    return State(word)


def of_vips(states: Mapping[str, State]) -> State:
    """A pool's state by those that it has for its VIPs: the best, and for which VIPs it is another."""
    word, found = best(state.word for state in states.values()), list(dict.fromkeys(states.values()))
    if len(found) == 1:
        return found[0]
    others = [f"{s.word} for VIP {vip}" + (f": {s.reason}" if s.reason else "") for vip, s in states.items()]
    mine = [state.reason for state in found if state.word == word and state.reason]
    return State(word, "; ".join([*mine, *(o for o, s in zip(others, states.values(), strict=True) if s.word != word)]))


def service_word(planned: plan.Service, pool: str) -> str:
    """A service's state without its reason, by its pool's."""
    if not planned.enabled:
        return DISABLED
    return DOWN if pool == DISABLED else pool


def service(planned: plan.Service, its_pool: State, servers: Mapping[str, State], against: str = "") -> State:
    """A service's state, by its pool's. against: who else claims its VIP, what the engine misses in the kernel."""
    word = service_word(planned, its_pool.word)
    if word == DISABLED:
        return State(word, "switched off in the configuration")
    if its_pool.word == DISABLED:
        return State(word, "its pool is disabled")
    if word == DOWN:
        few, none = _too_few(planned, servers), f"no server of its pool is up: {listing(servers)}"
        down = (f"its pool: {few}" if few else none) if servers else "its pool has no servers"
        return State(word, "; ".join(text for text in (against, down) if text))
    return State(word, "; ".join(text for text in (against, its_pool.reason) if text))


def _too_few(planned: plan.Service, servers: Mapping[str, State]) -> str:
    """That some servers are up and the pool needs more, "" where that is not so."""
    up, needed = sum(state.word == UP for state in servers.values()), planned.servers_needed
    if not 0 < up < needed:
        return ""
    rest = listing(servers)
    return f"{up} up, min_servers_up needs {needed}" + (f": {rest}" if rest else f" of {len(servers)} configured")


def listing(servers: Mapping[str, State]) -> str:
    """Which servers are not up, and why; those of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for address, state in servers.items():
        if state.word != UP:
            reason = f"disabled: {state.reason}" if state.word == DISABLED else state.reason
            by_reason.setdefault(reason, []).append(address)
    parts = [f"{_some(addresses)} {reason}" for reason, addresses in by_reason.items()]
    left = sum(len(addresses) for addresses in list(by_reason.values())[_NAMED:])
    return "; ".join(parts[:_NAMED]) + (f"; and {left} more" if left else "")


def _some(addresses: Sequence[str]) -> str:
    more = len(addresses) - _NAMED
    return ", ".join(addresses[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def duration(seconds: float) -> str:
    """A time as people say it: "4 min 12 s", "2 h 5 min"; rounded up, so that it is 0 s only when it is over."""
    whole = int(-(-seconds // 1))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    words = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if n]
    return " ".join(words[:2]) or "0 s"


def counted(lingering: Iterable[tuple[int, Life, int]]) -> Mapping[Life, Flows]:
    """The flows that live, by member."""
    now, ages = time.monotonic_ns(), defaultdict[Life, list[float]](list)
    for _, life, seen in lingering:
        ages[life].append(max(0.0, (now - seen) / 1e9))
    return {life: Flows(len(of), sum(age >= IDLE for age in of), min(of)) for life, of in ages.items()}
