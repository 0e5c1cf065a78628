"""Health of servers: which checks run, what is counted of their probes, and why a server is down.

A check is one monitor of one server for one VIP; its probes (`probes`) travel the data's path. `schedule` says when
they run. Equal checks of several pools are one. A dead server is down after failed_checks × send_interval +
receive_timeout at the latest.

When the VIP is silent, a second look (`probes.hosts`) asks the server on its own address: a server that answers there
and not for the VIP lacks the VIP; one that does not is dead. The look never delays a verdict.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from .errors import NetworkError
from .plan import L2, L3_GRE, Monitor
from .probes.check import UDP, Check, ProbeFailed
from .schedule import Entry, Schedule, room

LOOK_EVERY = 5.0
"""Seconds between two looks at one server's own address at least. Routers limit how often they say
that there is no way: looks must not use up what they would say of the probes."""

Route = Callable[[Check], Awaitable[tuple[int, bytes]]]
"""Check → (socket mark, the engine's own address towards its server); raises NetworkError where there is no way."""

Probe = Callable[[Check, int, bytes], Awaitable[bool]]
"""Runs one probe by a mark, from an address: whether the server was heard (else its silence passes). Raises
ProbeFailed."""

Look = Callable[[Check], Awaitable[bool]]
"""Whether a check's server answers on its own address."""

Explain = Callable[[Check, float], str]
"""What is known against the way of a check that began then (time.monotonic()); else nothing."""


@dataclass(slots=True)
class State:
    """What is known of a check. up None: not known yet; streak: results in a row that disagree with `up`; silent: the
    last failure was that nothing was heard from the VIP; followed: results count."""

    up: bool | None
    reason: str = "not checked yet"
    streak: int = 0
    probes: int = 0
    failures: int = 0
    silent: bool = False
    followed: bool = True


@dataclass(frozen=True, slots=True)
class Demand:
    """What a server must pass for one VIP and port. needed: how many of the checks, 0 = all."""

    checks: tuple[Check, ...]
    needed: int = 0

    def verdict(self, states: Iterable[bool | None]) -> bool | None:
        """Whether it is met, by the states of its checks; None = not known yet."""
        known = list(states)
        needed = min(self.needed, len(known)) or len(known)
        if known.count(True) >= needed:
            return True
        return None if len(known) - known.count(False) >= needed else False


@dataclass(slots=True)
class _Host:
    """What is known of a server's own address. looked: when the last look began (time.monotonic())."""

    answers: bool | None = None
    looked: float = float("-inf")
    task: asyncio.Task[None] | None = None


def count(state: State, monitor: Monitor, passed: bool) -> bool:
    """Count one result; whether `up` changed. Of what is not known yet one failure tells enough: without a good answer
    a server is not used."""
    state.probes += 1
    state.failures += not passed
    if passed == state.up:
        state.streak = 0
        return False
    state.streak += 1
    needed = monitor.successful_checks if passed else 1 if state.up is None else monitor.failed_checks
    if state.streak < needed:
        return False
    state.up, state.streak = passed, 0
    return True


def settled_after(monitor: Monitor) -> float:
    """Seconds until a monitor's first verdict at the latest, of a server whose answers are quick."""
    if not monitor.quickstart:
        return float((monitor.successful_checks - 1) * monitor.send_interval + monitor.receive_timeout)
    silent = monitor.type == UDP and not monitor.response
    return float(monitor.receive_timeout * (monitor.successful_checks if silent else 1))


class Health:
    """Runs checks and remembers their states; `changed(server)` is called when a check went up or down, and when a look
    told a new reason."""

    def __init__(
        self,
        route: Route,
        probe: Probe,
        look: Look,
        changed: Callable[[bytes], None],
        explain: Explain = lambda _check, _: "",
    ) -> None:
        self._route = route
        self._probe = probe
        self._look = look
        self._changed = changed
        self._explain = explain
        self._states: dict[Check, State] = {}
        self._entries: dict[Check, Entry] = {}
        self._hosts: dict[bytes, _Host] = {}
        self.schedule = Schedule(room())

    def follow(self, wanted: Mapping[Check, bool | None]) -> None:
        """Run exactly these checks; the value is what to believe of a new one until it is known (None: nothing)."""
        for check in self._entries.keys() - wanted.keys():
            self.schedule.remove(self._entries.pop(check))
            self._states.pop(check).followed = False
        for check, believed in wanted.items():
            if check not in self._entries:
                self._start(check, believed)
        servers = {check.server for check in wanted}
        for server in self._hosts.keys() - servers:
            task = self._hosts.pop(server).task
            if task is not None:
                task.cancel()
        for server in servers - self._hosts.keys():
            self._hosts[server] = _Host()

    def state(self, check: Check) -> State:
        """What is known of a check that is followed."""
        return self._states[check]

    def reason(self, check: Check) -> str:
        """Why a check is not up, in words for an operator."""
        state = self._states[check]
        answers = self._hosts[check.server].answers
        if not state.silent or answers is None:
            return state.reason
        if not answers:
            return "server does not answer"
        if check.mode == L2:
            return "server answers, VIP does not: VIP missing on its loopback?"
        tunnel = "GRE" if check.mode == L3_GRE else "IP-in-IP"
        return f"server answers, VIP does not: the server does not decapsulate {tunnel}, or VIP missing there?"

    def host_answers(self, server: bytes) -> bool | None:
        """Whether a server answers on its own address, as last heard; None = nobody asked yet."""
        host = self._hosts.get(server)
        return None if host is None else host.answers

    def up(self, demands: Iterable[Demand]) -> bool:
        """Whether all that is demanded of a server is met; a server of which nothing is counts as up."""
        return all(self._verdict(demand) for demand in demands)

    def known(self, demands: Iterable[Demand]) -> bool:
        """Whether a server's state is known: up, or down."""
        verdicts = [self._verdict(demand) for demand in demands]
        return False in verdicts or None not in verdicts

    async def close(self) -> None:
        """Stop every check."""
        looks = [host.task for host in self._hosts.values() if host.task is not None]
        for task in looks:
            task.cancel()
        await self.schedule.close()
        await asyncio.gather(*looks, return_exceptions=True)
        self._entries.clear()

    def _verdict(self, demand: Demand) -> bool | None:
        return demand.verdict(self._states[check].up for check in demand.checks)

    def _start(self, check: Check, believed: bool | None) -> None:
        state = State(believed, "was up before the engine restarted" if believed else "not checked yet")
        self._states[check] = state
        self._entries[check] = self.schedule.add(lambda: self._run(check, state), check.monitor.send_interval)

    async def _run(self, check: Check, state: State) -> None:
        began = time.monotonic()
        reason, silent, heard = "", False, True
        try:
            mark, source = await self._route(check)
            heard = await self._probe(check, mark, source)
            if not heard:
                reason = self._explain(check, began)
        except ProbeFailed as exc:
            against = self._explain(check, began) if exc.silent else ""
            reason, silent, heard = against or exc.reason, exc.silent and not against, not exc.silent
        except NetworkError as exc:
            reason, heard = str(exc), False
        if state.followed:  # cheaper than a look into a table of checks
            self._hear(check, state, reason, silent=silent, heard=heard)

    def _hear(self, check: Check, state: State, reason: str, *, silent: bool, heard: bool) -> None:
        """Count a result. reason "": it passed."""
        host = self._hosts[check.server]
        passed = not reason
        if heard:
            host.answers = True
        elif not passed:
            self._ask(check, host)
        if not passed or state.up is not False or state.streak + 1 >= check.monitor.successful_checks:
            state.reason, state.silent = reason, silent
        changed = count(state, check.monitor, passed)
        if changed:
            self._changed(check.server)
        elif passed and state.up is None and check.monitor.quickstart:
            self.schedule.hasten(self._entries[check])

    def _ask(self, check: Check, host: _Host) -> None:
        """Look at a server's own address, if nobody does."""
        now = time.monotonic()
        if host.task is None and now >= host.looked + LOOK_EVERY:
            host.looked = now
            host.task = asyncio.create_task(self._look_at(check, host))

    async def _look_at(self, check: Check, host: _Host) -> None:
        before = host.answers
        try:
            host.answers = await self._look(check)
        except OSError:
            host.answers = None
        finally:
            host.task = None
        states = [state for mine, state in self._states.items() if mine.server == check.server]
        if host.answers != before and any(state.silent and state.up is False for state in states):
            self._changed(check.server)


def text(address: bytes) -> str:
    """An address as people write it."""
    return socket.inet_ntoa(address)
