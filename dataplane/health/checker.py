"""Runs the checks of servers, remembers their states, and tells why a server is down.

A check is one monitor of one server for one VIP. Its probes (`probes`) travel the data's path; `scheduler` decides when
they run. Equal checks of several pools are run once. A dead server is down after failed_checks × send_interval +
receive_timeout at the latest.

When a VIP falls silent, a second look (`diagnosis.examiner`) asks the server at its own address, among other things: a
server that answers there lacks the VIP, one that does not is dead. A verdict never waits for the look.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from dataplane.errors import NetworkError
from dataplane.health.checkstate import VIP_MISSING, CheckState
from dataplane.health.probes.check import Check, FindRoute, Outcome, Probe, ProbeFailed, ProbeRoute, Run
from dataplane.health.requirements import Requirement
from dataplane.health.scheduler import BURST, Entry, Scheduler, running_limit
from dataplane.network import tunnels
from dataplane.network.reachability import NO_FAULT, Fault
from dataplane.plan import L2
from dataplane.runtime import tasks
from dataplane.runtime.histogram import Histogram

LOOK_EVERY = 5.0
"""Seconds between two looks at one server, at least. Routers limit how many unreachable messages they send: the looks
must leave some for the probes."""

DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: bounds of the buckets that probes are counted in by how long they took."""

LOOKS = 25
"""Looks begun a second, at all servers: when hundreds fall silent at once, the others' probes must stay on time."""


class LookResult(NamedTuple):
    """What a second look found."""

    answers: bool  # the server answers at its own address
    cause: Fault = NO_FAULT  # why its VIP is silent; NO_FAULT if the look cannot tell


Look = Callable[[Check], Awaitable[LookResult]]
"""Looks at the server of a check whose VIP is silent."""

Explain = Callable[[Check, float], Fault]
"""Why a run of a check that began at that time (time.monotonic()) cannot have reached its server, or why its answer
cannot have reached this host; else NO_FAULT."""


@dataclass(slots=True, eq=False)
class _Host:
    """What is known about a server as a host."""

    watches: dict[Check, _Watch] = field(default_factory=dict)  # the checks of this server
    answers: bool | None = None  # it answers at its own address; None until it was asked
    causes: dict[tuple[bytes, str], Fault] = field(default_factory=dict)  # why VIPs are silent, by VIP and mode
    looked: float = float("-inf")  # when the last look began (time.monotonic()); infinite while one is queued
    task: asyncio.Task[None] | None = None  # the look that runs


@dataclass(slots=True, eq=False)
class _Watch:
    """A check that is followed."""

    check: Check  # what is run
    state: CheckState  # what is known about it
    probe: Probe  # runs the check
    host: _Host  # its server
    durations: Histogram  # of its monitor's type
    entry: Entry = field(init=False)  # in the schedule
    route: ProbeRoute = ProbeRoute(0, b"")  # of its probes
    generation: int = -1  # of routes, when `route` was found: another one now means that it is out of date
    heard: bool = True  # the last outcome came from the VIP, good or bad
    finding: bool = False  # a run is finding the route
    running: set[_Running] = field(default_factory=set)  # runs that have not ended

    def unchanged(self) -> bool:
        """Whether a good answer tells nothing new: the last result was one, too."""
        state, host = self.state, self.host
        return bool(
            self.heard and state.up and not state.streak and not state.reason and host.answers and not host.causes
        )


class _Running:
    """One run of a check. It is called with its outcome. began: time.monotonic()."""

    __slots__ = ("_ended", "began", "run", "watch")

    def __init__(self, watch: _Watch, ended: Callable[[_Running, Outcome], None]) -> None:
        self.watch = watch
        self.began = time.monotonic()
        self.run: Run | None = None
        self._ended = ended

    def __call__(self, outcome: Outcome) -> None:
        self._ended(self, outcome)


class HealthChecker:
    """Runs checks and remembers their states.

    find_route: finds the route of a check's probes; probe: makes what runs a check; look: takes a second look at a
    server; changed: called when a check went up or down, and when a look found a new reason; explain: tells why a run
    cannot have reached its server. `probes` counts the outcomes; `durations` and `failures` do so by type of monitor.
    `failing` are the addresses of servers of which any probe failed.
    """

    def __init__(
        self,
        find_route: FindRoute,
        probe: Callable[[Check], Probe],
        look: Look,
        changed: Callable[[Check], None],
        explain: Explain = lambda _check, _: NO_FAULT,
    ) -> None:
        self._find_route = find_route
        self._probe = probe
        self._look = look
        self._changed = changed
        self._explain = explain
        self._watches: dict[Check, _Watch] = {}
        self._hosts: dict[bytes, _Host] = {}
        self._generation = 0
        self._rests = False
        self._hear_run = self._ended  # one object for all runs
        self._looks: deque[_Watch] = deque()
        self._next_look: asyncio.TimerHandle | None = None
        self.probes = 0
        self.durations: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(DURATIONS))
        self.failures: Counter[str] = Counter()
        self.failing: set[bytes] = set()
        self.schedule = Scheduler(running_limit())

    def follow(self, new: Mapping[Check, bool | None], gone: Iterable[Check] = ()) -> None:
        """Begin to run new checks, and stop those that are gone. The value of a new check: whether it counts as up
        until its state is known; None: unknown."""
        for check in gone:
            self._stop(self._watches.pop(check))
        for check, believed in new.items():
            if check not in self._watches:
                self._start(check, believed)

    @property
    def checks(self) -> int:
        """How many checks are run."""
        return len(self._watches)

    def forget_routes(self) -> None:
        """Find the route of each check again before its next run: routes may have changed."""
        self._generation += 1

    def rest(self, rests: bool) -> bool:
        """Pause or resume the checks whose outcome is known. While they rest, what was found last stays so. When they
        resume, each runs at once, at the rate of first runs. Returns whether that is new."""
        if rests is self._rests:
            return False
        if not rests:
            loop = asyncio.get_running_loop()
            for number, watch in enumerate(self._watches.values()):
                loop.call_later(number / BURST, self.schedule.run_now, watch.entry)
        self._rests = rests
        return True

    def state(self, check: Check) -> CheckState:
        """The state of a check that is followed."""
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
            return cause.reason
        if not watch.state.silent or answers is None:
            return watch.state.reason
        if not answers:
            return "server does not answer"
        if check.mode == L2:
            return VIP_MISSING
        tunnel = tunnels.NAMES[check.mode]
        return f"server answers, VIP does not: the server does not decapsulate {tunnel}, or VIP missing there?"

    def remedy(self, check: Check) -> str:
        """The command on this host that mends why a check is not up; "" where there is none."""
        watch = self._watches[check]
        cause = watch.host.causes.get((check.vip, check.mode))
        return cause.remedy if cause and not watch.heard else watch.state.remedy

    def host_answers(self, server: bytes) -> bool | None:
        """Whether a server answers at its own address, as last heard; None: it was not asked yet."""
        host = self._hosts.get(server)
        return None if host is None else host.answers

    def up(self, requirements: Iterable[Requirement]) -> bool:
        """Whether a server meets all its requirements; one without requirements is up."""
        return all(self._verdict(requirement) for requirement in requirements)

    def known(self, requirements: Iterable[Requirement]) -> bool:
        """Whether it is known if a server meets its requirements."""
        verdicts = [self._verdict(requirement) for requirement in requirements]
        return False in verdicts or None not in verdicts

    def probe_now(self, servers: Iterable[bytes]) -> None:
        """Run at once the checks of these servers that are down: they can be reached again."""
        for server in servers:
            for watch in self._hosts[server].watches.values() if server in self._hosts else ():
                if watch.state.up is False:
                    self.schedule.run_now(watch.entry)

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
        state = CheckState(believed, "was up before its checks began" if believed else "not checked yet")
        host = self._hosts.setdefault(check.server, _Host())
        watch = _Watch(check, state, self._probe(check), host, self.durations[check.monitor.type])
        watch.entry = self.schedule.add(partial(self._run, watch), check.monitor.send_interval)
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
            self.failing.discard(watch.check.server)
            if host.task is not None:
                host.task.cancel()

    def _run(self, watch: _Watch) -> None:
        # The run before still finds its route, or what is known is enough for now: this one is left out.
        if watch.finding or (self._rests and watch.state.up is not None):
            self.schedule.ended()
            return
        running = _Running(watch, self._hear_run)
        watch.running.add(running)
        if watch.generation == self._generation:
            self._probe_by(running)
        else:
            running.run = tasks.once(self._find(running))

    async def _find(self, running: _Running) -> None:
        """Find the route, then run."""
        watch, generation = running.watch, self._generation
        watch.finding = True
        try:
            watch.route = await self._find_route(watch.check)
        except NetworkError as exc:
            self._over(running)
            self._hear(watch, Fault(str(exc), exc.remedy), silent=False, heard=False)
            return
        except Exception:  # the check has its next turn all the same
            self._over(running)
            raise
        finally:
            watch.finding = False
        watch.generation = generation
        self._probe_by(running)

    def _probe_by(self, running: _Running) -> None:
        """Start the probe by the route that was found."""
        try:
            running.run = running.watch.probe.start(*running.watch.route, running)
        except Exception:  # the check has its next turn all the same
            self._over(running)
            raise

    def _over(self, running: _Running) -> None:
        runs = running.watch.running
        if running in runs:
            runs.remove(running)
            running.run = None  # it holds this one, too: both are gone at once
            self.schedule.ended()

    def _ended(self, running: _Running, outcome: Outcome) -> None:
        self._over(running)
        watch = running.watch
        took = time.monotonic() - running.began
        watch.durations.observe(took)
        if outcome is True:
            watch.state.answered(took)
        if outcome is True and watch.unchanged():  # what nearly all are
            self.probes += 1
            watch.state.probes += 1
        elif isinstance(outcome, ProbeFailed):
            against = self._explain(watch.check, running.began) if outcome.silent else NO_FAULT
            silent = outcome.silent and not against.reason
            fault = against if against.reason else Fault(outcome.reason)
            self._hear(watch, fault, silent=silent, heard=not outcome.silent)
        else:
            fault = NO_FAULT if outcome else self._explain(watch.check, running.began)
            self._hear(watch, fault, silent=False, heard=outcome)

    def _hear(self, watch: _Watch, fault: Fault, *, silent: bool, heard: bool) -> None:
        """Count a result. fault: NO_FAULT if it passed; silent: the server itself may be dead; heard: the VIP was
        heard."""
        state, monitor = watch.state, watch.check.monitor
        self.probes += 1
        passed = not fault.reason
        if not passed:
            self.failures[monitor.type] += 1
            self.failing.add(watch.check.server)
        fell_silent, watch.heard = watch.heard and not heard and not passed, heard or passed
        if fell_silent:
            watch.host.answers = None  # what was heard before is out of date
        if heard:
            watch.host.answers = True
            if watch.host.causes:
                watch.host.causes.pop((watch.check.vip, watch.check.mode), None)
        elif not passed:
            self._ask(watch)
        if not passed or state.up is not False or state.streak + 1 >= monitor.successful_checks:
            state.reason, state.remedy, state.silent = fault.reason, fault.remedy, silent
        changed = state.count(monitor, passed=passed)
        if changed:
            self._changed(watch.check)
        elif passed and state.up is None and monitor.quickstart:
            self.schedule.run_now(watch.entry)

    def _ask(self, watch: _Watch) -> None:
        """Queue a look at a server, unless one is queued, runs, or began shortly before."""
        host = watch.host
        if host.task is None and time.monotonic() >= host.looked + LOOK_EVERY:
            host.looked = math.inf
            self._looks.append(watch)
            if self._next_look is None:
                self._look_next()

    def _look_next(self) -> None:
        """Begin the look that has been queued longest."""
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
            host.answers, cause = None, NO_FAULT
        finally:
            host.task = None
        if cause.reason:
            host.causes[key] = cause
        else:
            host.causes.pop(key, None)
        if (host.answers, host.causes.get(key)) != before:
            for watch in host.watches.values():
                if watch.state.silent and watch.state.up is False:
                    self._changed(watch.check)
