"""Health of servers: which checks run, what is counted of their probes, and why a server is down.

A check is one monitor of one server for one VIP; its probes (`probes`) travel the data's path. `schedule` says when
they run. Equal checks of several pools are one. A dead server is down after failed_checks × send_interval +
receive_timeout at the latest.

When the VIP is silent, a second look (`examination`) asks the server on its own address, and what else tells why: a
server that answers there and not for the VIP lacks the VIP; one that does not is dead. The look never delays a verdict.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dataplane.errors import NetworkError
from dataplane.health.probes.check import Check, Outcome, Probe, ProbeFailed, Run
from dataplane.health.scheduler import Entry, Scheduler, room
from dataplane.plan import L2, L3_GRE, MONITOR_UDP, Monitor
from dataplane.runtime import tasks

LOOK_EVERY = 5.0
"""Seconds between two looks at one server's own address at least. Routers limit how often they say
that there is no way: looks must not use up what they would say of the probes."""

LOOKS = 25
"""Looks begun a second, of all servers: where hundreds fall silent at once, the others' probes keep their times."""

Route = Callable[[Check], Awaitable[tuple[int, bytes]]]
"""Check → (socket mark, the engine's own address towards its server), true until `doubt`; raises NetworkError where
there is no way."""


class LookResult(NamedTuple):
    """What a second look found. answers: whether the server answers on its own address; cause: why its VIP is silent,
    in words for an operator, "" where the look cannot tell."""

    answers: bool
    cause: str = ""


Look = Callable[[Check], Awaitable[LookResult]]
"""Looks at the server of a check whose VIP is silent."""

Explain = Callable[[Check, float], str]
"""What is known against the way of a check that began then (time.monotonic()); else nothing."""


@dataclass(slots=True)
class State:
    """What is known of a check. up None: not known yet; streak: results in a row that disagree with `up`; silent: the
    last failure was that nothing was heard from the VIP."""

    up: bool | None
    reason: str = "not checked yet"
    streak: int = 0
    probes: int = 0
    failures: int = 0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Requirement:
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


@dataclass(slots=True, eq=False)
class _Host:
    """What is known of a server's own address. looked: when the last look began (time.monotonic()), infinite while one
    is waited for; causes: why its VIPs are silent, by VIP and mode, until one is heard of again."""

    watches: dict[Check, _Watch] = field(default_factory=dict)
    answers: bool | None = None
    causes: dict[tuple[bytes, str], str] = field(default_factory=dict)
    looked: float = float("-inf")
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Watch:
    """A check that is followed. way: mark and source address, believed while `found` is the count of doubts; heard: the
    last outcome came from the VIP, good or bad."""

    check: Check
    state: State
    probe: Probe
    host: _Host
    entry: Entry
    way: tuple[int, bytes] = (0, b"")
    found: int = -1
    heard: bool = True
    finding: bool = False
    running: set[_Running] = field(default_factory=set)


class _Running:
    """One run of a check, called with its outcome. began: time.monotonic()."""

    __slots__ = ("_ended", "began", "run", "watch")

    def __init__(self, watch: _Watch, ended: Callable[[_Running, Outcome], None]) -> None:
        self.watch = watch
        self.began = time.monotonic()
        self.run: Run | None = None
        self._ended = ended

    def __call__(self, outcome: Outcome) -> None:
        self._ended(self, outcome)


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
    silent = monitor.type == MONITOR_UDP and not monitor.response
    return float(monitor.receive_timeout * (monitor.successful_checks if silent else 1))


class HealthChecker:
    """Runs checks and remembers their states; `changed(check)` is called when a check went up or down, and when a look
    told a new reason.

    probe: makes what runs a check; probes: how many outcomes were counted.
    """

    def __init__(
        self,
        route: Route,
        probe: Callable[[Check], Probe],
        look: Look,
        changed: Callable[[Check], None],
        explain: Explain = lambda _check, _: "",
    ) -> None:
        self._route = route
        self._probe = probe
        self._look = look
        self._changed = changed
        self._explain = explain
        self._watches: dict[Check, _Watch] = {}
        self._hosts: dict[bytes, _Host] = {}
        self._doubts = 0
        self._looks: deque[_Watch] = deque()
        self._next_look: asyncio.TimerHandle | None = None
        self.probes = 0
        self.schedule = Scheduler(room())

    def follow(self, new: Mapping[Check, bool | None], gone: Iterable[Check] = ()) -> None:
        """Run these checks, too, and those that are gone no more. The value is what to believe of a new one until it is
        known (None: nothing)."""
        for check in gone:
            self._stop(self._watches.pop(check))
        for check, believed in new.items():
            if check not in self._watches:
                self._start(check, believed)

    @property
    def checks(self) -> int:
        """How many are run."""
        return len(self._watches)

    def doubt(self) -> None:
        """The ways of probes may have changed: ask for each again."""
        self._doubts += 1

    def state(self, check: Check) -> State:
        """What is known of a check that is followed."""
        return self._watches[check].state

    def passing(self) -> list[Check]:
        """The checks that are up."""
        return [check for check, watch in self._watches.items() if watch.state.up]

    def reason(self, check: Check) -> str:
        """Why a check is not up, in words for an operator."""
        watch = self._watches[check]
        answers = watch.host.answers
        cause = watch.host.causes.get((check.vip, check.mode))
        if cause and not watch.heard:
            return cause
        if not watch.state.silent or answers is None:
            return watch.state.reason
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

    def up(self, requirements: Iterable[Requirement]) -> bool:
        """Whether all that is demanded of a server is met; a server of which nothing is counts as up."""
        return all(self._verdict(requirement) for requirement in requirements)

    def known(self, requirements: Iterable[Requirement]) -> bool:
        """Whether a server's state is known: up, or down."""
        verdicts = [self._verdict(requirement) for requirement in requirements]
        return False in verdicts or None not in verdicts

    def hasten(self, servers: Iterable[bytes]) -> None:
        """Probe at once those of some servers that are down: what was in their way is gone."""
        for server in servers:
            for watch in self._hosts[server].watches.values() if server in self._hosts else ():
                if watch.state.up is False:
                    self.schedule.hasten(watch.entry)

    async def close(self) -> None:
        """Stop every check."""
        tasks: list[Any] = [host.task for host in self._hosts.values() if host.task is not None]
        runs = [running.run for watch in self._watches.values() for running in watch.running]
        tasks += [run for run in runs if isinstance(run, asyncio.Task)]
        self.follow({}, list(self._watches))
        self.schedule.close()
        if self._next_look is not None:
            self._next_look.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _verdict(self, requirement: Requirement) -> bool | None:
        return requirement.verdict(self._watches[check].state.up for check in requirement.checks)

    def _start(self, check: Check, believed: bool | None) -> None:
        state = State(believed, "was up before the engine restarted" if believed else "not checked yet")
        host = self._hosts.setdefault(check.server, _Host())
        entry = self.schedule.add(lambda: self._run(watch), check.monitor.send_interval)
        watch = _Watch(check, state, self._probe(check), host, entry)
        self._watches[check] = host.watches[check] = watch

    def _stop(self, watch: _Watch) -> None:
        self.schedule.remove(watch.entry)
        for running in watch.running:
            if running.run is not None:
                running.run.cancel()
            self.schedule.ended()
        watch.running.clear()
        host = watch.host
        del host.watches[watch.check]
        if not host.watches:
            del self._hosts[watch.check.server]
            if host.task is not None:
                host.task.cancel()

    def _run(self, watch: _Watch) -> None:
        if watch.finding:  # the run before has not found its way yet: this one is missed
            self.schedule.ended()
            return
        running = _Running(watch, self._ended)
        watch.running.add(running)
        if watch.found == self._doubts:
            self._probe_by(running)
        else:
            running.run = tasks.once(self._find(running))

    async def _find(self, running: _Running) -> None:
        """Find the way, then run."""
        watch, doubts = running.watch, self._doubts
        watch.finding = True
        try:
            watch.way = await self._route(watch.check)
        except NetworkError as exc:
            self._over(running)
            self._hear(watch, str(exc), silent=False, heard=False)
            return
        except Exception:  # the check has its next turn all the same
            self._over(running)
            raise
        finally:
            watch.finding = False
        watch.found = doubts
        self._probe_by(running)

    def _probe_by(self, running: _Running) -> None:
        """Start the probe on the way that was found."""
        try:
            running.run = running.watch.probe.start(*running.watch.way, running)
        except Exception:  # the check has its next turn all the same
            self._over(running)
            raise

    def _over(self, running: _Running) -> None:
        if running in running.watch.running:
            running.watch.running.remove(running)
            self.schedule.ended()

    def _ended(self, running: _Running, outcome: Outcome) -> None:
        self._over(running)
        watch = running.watch
        if isinstance(outcome, ProbeFailed):
            against = self._explain(watch.check, running.began) if outcome.silent else ""
            silent = outcome.silent and not against
            self._hear(watch, against or outcome.reason, silent=silent, heard=not outcome.silent)
        else:
            reason = "" if outcome else self._explain(watch.check, running.began)
            self._hear(watch, reason, silent=False, heard=outcome)

    def _hear(self, watch: _Watch, reason: str, *, silent: bool, heard: bool) -> None:
        """Count a result. reason "": it passed."""
        state, monitor = watch.state, watch.check.monitor
        self.probes += 1
        passed = not reason
        fell_silent, watch.heard = watch.heard and not heard and not passed, heard or passed
        if fell_silent:
            watch.host.answers = None  # what was heard before says nothing of now
        if heard:
            watch.host.answers = True
            if watch.host.causes:
                watch.host.causes.pop((watch.check.vip, watch.check.mode), None)
        elif not passed:
            self._ask(watch)
        if not passed or state.up is not False or state.streak + 1 >= monitor.successful_checks:
            state.reason, state.silent = reason, silent
        changed = count(state, monitor, passed)
        if changed:
            self._changed(watch.check)
        elif passed and state.up is None and monitor.quickstart:
            self.schedule.hasten(watch.entry)

    def _ask(self, watch: _Watch) -> None:
        """Have a server's own address looked at, if nobody does."""
        host = watch.host
        if host.task is None and time.monotonic() >= host.looked + LOOK_EVERY:
            host.looked = math.inf
            self._looks.append(watch)
            if self._next_look is None:
                self._look_next()

    def _look_next(self) -> None:
        """Begin the look that has waited longest."""
        self._next_look = None
        while self._looks:
            watch = self._looks.popleft()
            host = watch.host
            if watch.entry.stopped or watch.heard:
                host.looked = -math.inf
                continue
            host.looked = time.monotonic()
            host.task = tasks.once(self._look_at(watch.check, host))
            self._next_look = asyncio.get_running_loop().call_later(1 / LOOKS, self._look_next)
            return

    async def _look_at(self, check: Check, host: _Host) -> None:
        key = check.vip, check.mode
        before = host.answers, host.causes.get(key)
        try:
            host.answers, cause = await self._look(check)
        except OSError:
            host.answers, cause = None, ""
        finally:
            host.task = None
        if cause:
            host.causes[key] = cause
        else:
            host.causes.pop(key, None)
        if (host.answers, host.causes.get(key)) != before:
            for watch in host.watches.values():
                if watch.state.silent and watch.state.up is False:
                    self._changed(watch.check)


def text(address: bytes) -> str:
    """An address as people write it."""
    return socket.inet_ntoa(address)
