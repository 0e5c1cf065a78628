"""The process of a service engine: its lock, its start, its signals, its end, and the loop that follows the plan.

SIGTERM and SIGINT stop it and everything it forwards. SIGHUP ends the process alone: with XDP the kernel forwards on,
and the next `avi-se run` of the same name takes over without losing a packet, as it does after a crash. SIGUSR1 has it
read the whole plan again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane import plan, statedir
from dataplane.client import instance
from dataplane.daemon import eventhook, leftovers, observing, ownname, speaking
from dataplane.daemon.capturing import Capturing
from dataplane.daemon.enginerates import EngineRates
from dataplane.daemon.following import Following
from dataplane.daemon.joining import Joining
from dataplane.daemon.requests import Requests
from dataplane.daemon.speaking import Speaking
from dataplane.daemon.undoing import Undoing
from dataplane.drivers import registry, selection
from dataplane.engine.engine import Engine
from dataplane.errors import DataplaneError, EngineError, NetworkError, PlanError
from dataplane.events import eventfile, kinds
from dataplane.events.events import Events
from dataplane.events.model import THIS_ENGINE
from dataplane.forwarding.devices import How, parse
from dataplane.forwarding.driver import Driver
from dataplane.kernel.registry import removed
from dataplane.network.settings import KernelSettings, elsewhere
from dataplane.network.state import Network
from dataplane.plan.source import PlanSource
from dataplane.plan.storesource import StoreSource
from dataplane.runtime import endsignals, tasks
from dataplane.runtime.notify import Notifier
from dataplane.vip.gratuitous import GratuitousArp
from dataplane.vip.record import SUFFIX, VipRecord

log = logging.getLogger("avi-se")

GARBAGE = 50_000
"""Objects made between two looks for garbage: probes make thousands a second, and leave next to none in circles."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `avi-se run`."""

    state: Path  # the state directory
    name: str  # the engine's
    # empty for all Ethernet links that are up, have an address, and are not held by another engine
    interfaces: Sequence[str] = ()
    driver: str | None = None  # None for what the service engine group says
    # options that name a cluster whose configuration the host shares; empty where the state directory knows
    store: Sequence[str] = ()
    metrics: tuple[str, int] | None = None  # the address and port on which Prometheus finds them
    hook: eventhook.Wanted | None = None  # what is run on events


async def serve(settings: Settings) -> None:
    """Run an engine until a signal ends it. Raises DataplaneError where it cannot start."""
    run = settings.state / "run"
    try:
        statedir.prepare(settings.state)
        statedir.prepare(run)
        with ownname.held(run, settings.name), closing(StoreSource(settings.state)) as source:
            if not settings.store and not (settings.state / statedir.SHARED).exists():
                ownname.only_this_host(run)
            await Daemon(settings, source).run()
    except PermissionError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        raise EngineError(
            f"a service engine may not run here: {where}{exc.strerror}",
            remedy=f"run it as root ({registry.capabilities()})",
        ) from exc


def _free(network: Network, name: str) -> tuple[str, ...]:
    """The interfaces that an engine (its name among all on this machine) takes when none are named: those that another
    one forwards on are left to it. Raises NetworkError where none are left."""
    held = {i: selection.holder(name, network.link(i).index) for i in network.usable()}
    for interface, other in held.items():
        if other is not None:
            log.info("interface %s is left alone: it is held by %s", interface, other)
    free = tuple(interface for interface, other in held.items() if other is None)
    if free:
        return free
    for interface, other in held.items():
        if other is not None:
            raise NetworkError(f"no interface is free: {interface} is held by {other}", remedy=other.remedy)
    raise NetworkError("no Ethernet interface is up and has an IPv4 address", remedy="--interface names one")


def _shared(first: plan.Plan) -> plan.Common:
    """What the engines share, of a whole plan. Raises PlanError where it cannot be read."""
    if "" in first.damaged:  # which services are this engine's is not known
        raise PlanError(
            f"what the engines share cannot be read: {first.damaged['']}",
            remedy="save a service engine group again in avi-shell",
        )
    return first.common or plan.Common()


async def clean(state: Path, name: str) -> list[str]:
    """Remove what an engine left that does not run any more. Returns what was done, in words. Raises EngineError,
    DriverError where it runs."""
    run, record = state / "run", leftovers.record(state, name)
    statedir.check(state)
    with ownname.held(run, name) if run.is_dir() else nullcontext():
        done = speaking.end(speaking.folder(run, name))  # while what it forwards with is there
        done += removed(await leftovers.remove(instance(state, name), record))
        for path in (run / f"{name}.sock",):
            if path.exists():
                path.unlink()
                done.append(f"removed socket {path}")
    if elsewhere(record):
        done.append("left settings: they are of another network namespace; run this there, too")
    return done


class Daemon:
    """One run of an engine."""

    def __init__(self, settings: Settings, source: PlanSource) -> None:
        self._settings = settings
        self._instance = instance(settings.state, settings.name)
        self._record = leftovers.record(settings.state, settings.name)
        self._speaks_in = speaking.folder(settings.state / "run", settings.name)
        self._source = source
        self._joining = Joining(settings.state, settings.name, self._instance, joins=bool(settings.store))
        self._events = Events(settings.name)
        self._engine: Engine | None = None
        self._reason = ""
        self._leaves = True  # the engines of other hosts hear of its end at once
        self._notifier = Notifier()
        self._reloading = False  # the plan is read anew, and somebody waits for it
        self._stop: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Start, follow, stop."""
        asyncio.get_running_loop().set_exception_handler(self._unexpected)
        endsignals.take_over(self._end)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._reload)
        try:
            async with eventhook.hooked(self._events, self._settings.hook):
                self._keep_events()
                try:
                    await self._joining.begin()
                    await self._serve()
                except DataplaneError as exc:
                    if self._engine is None:
                        self._events.note(kinds.ENGINE_NOT_STARTED, THIS_ENGINE, f"it did not start: {exc.what}")
                    raise
                finally:
                    await self._joining.close(leave=self._leaves)
        finally:
            self._events.close()

    def _keep_events(self) -> None:
        """Remember what earlier runs told, and write down what this one tells."""
        path = self._settings.state / f"{self._settings.name}{eventfile.SUFFIX}"
        before = eventfile.read(path)
        self._events.keep(eventfile.EventFile(path), before)
        ends = (kinds.ENGINE_STARTED.name, kinds.ENGINE_STOPPED.name, kinds.ENGINE_FAILED.name)
        last = next((event for event in reversed(before) if event.kind in ends), None)
        if last is not None and last.kind == kinds.ENGINE_STARTED.name:
            self._events.tell(kinds.ENGINE_DIED, THIS_ENGINE, "the run before this one ended without a word")

    async def _serve(self) -> None:
        network = Network(self._network_changed)
        gc.disable()  # what a start makes stays: to look through it again and again is much of its time
        try:
            await network.start()
        except BaseException:
            gc.enable()
            raise
        try:
            engine = await self._started(network)
            if engine is None:
                return
            gc.freeze()
            gc.set_threshold(GARBAGE)
            gc.enable()
            speaker = Speaking(engine, self._speaks_in)
            speaker.follow()
            undoing = Undoing(self._settings.state, self._source, engine.events)
            following = Following(self._settings.state, self._settings.store, engine.events)

            def beside() -> dict[str, Any]:
                membership = self._joining.report()
                return {"bgp": speaker.report(), "following": following.report(), "membership": membership}

            capturing = Capturing(engine, self._settings.state)
            rates = EngineRates(engine.driver.counters_in_pieces, lambda: len(engine.services) + engine.index.size)
            requests = Requests(
                engine, self._reason, self._source.wake, lambda: self._source.unconfirmed, beside, capturing, rates
            )
            self._joining.answer = requests.answer
            jobs = [tasks.forever(job) for job in (engine.run(), self._follow(engine, speaker, requests))]
            joining = self._joining.run(engine, speaker.report)
            # Whatever becomes of these, forwarding goes on.
            jobs += [tasks.once(job) for job in (undoing.run(), following.run(), joining, self._tell_alive())]
            jobs.append(tasks.once(rates.run()))
            ends = engine.driver.ends_with_process()
            ended = f"forwarding ended with it: {ends}" if ends else "the kernel forwards on"
            keep = True  # where something failed, what the kernel forwards by itself is not the worse for it
            try:
                socket = self._settings.state / "run" / f"{self._settings.name}.sock"
                async with requests.listening(socket), observing.served(engine, self._settings.metrics):
                    self._notifier.ready(self._says())
                    keep = await self._stop
                    await capturing.close()
                    if ends or not keep:
                        await self._joining.leave()
            finally:
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)
                self._leaves = bool(ends) or not keep
                try:
                    if ends or not keep:  # routers are told first: what they still send is forwarded meanwhile
                        await engine.vips.retire()
                finally:
                    await engine.close(keep=keep)
            self._events.tell(kinds.ENGINE_STOPPED, THIS_ENGINE, f"stopped{f'; {ended}' if keep else ''}")
        finally:
            gc.enable()
            await network.close()

    async def _started(self, network: Network) -> Engine | None:
        """The engine; None where a signal ended the start, and with it what this engine or a former run of it made."""
        start = asyncio.ensure_future(self._start(network))
        try:
            await asyncio.wait((start, self._stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not start.done():
                start.cancel()
        try:
            return await start
        except asyncio.CancelledError:
            if not self._stop.done():
                raise
        keep = await self._stop
        if not keep:
            await asyncio.to_thread(speaking.end, self._speaks_in)
            await leftovers.remove(self._instance, self._record)
        log.info("stopped while starting")
        return None

    def _kept(self, driver: Driver) -> bool:
        """Whether what the kernel forwards stays when a start fails: what it did before is not ours to end, unless a
        signal says so."""
        if self._stop.done() and not self._stop.exception():
            return self._stop.result()
        return bool(driver.adopted().pools)

    async def _start(self, network: Network) -> Engine:
        common = await self._source.common()
        # A thread reads the plan while the kernel looks through the program: each takes a tenth of a second and more.
        reading = asyncio.ensure_future(self._source.read())
        engine: Engine | None = None
        driver: Driver | None = None
        try:
            common = common or _shared(await reading)
            driver, interfaces, wanted = await self._chosen(network, common)
            first = await reading
            _shared(first)
            record = KernelSettings(self._record)
            announced = VipRecord(self._settings.state / f"{self._settings.name}{SUFFIX}")
            self._joining.follow(first)
            arp = GratuitousArp()
            engine = Engine(
                self._settings.name, interfaces, driver, network, [arp], record, announced, self._joining, self._events
            )
            self._joining.recall(engine)
            await engine.start(first)
        except BaseException:
            reading.cancel()
            if engine is not None:
                await engine.close(keep=self._kept(engine.driver))
            elif driver is not None:
                driver.close(keep=self._kept(driver))
            raise
        self._engine = engine
        for note in driver.notes():
            engine.events.tell(kinds.DRIVER_NOTE, THIS_ENGINE, note)
        chosen = f"driver {driver.name} ({self._reason})"
        if driver.name != wanted.entries[0].name:
            engine.events.tell(kinds.DRIVER_FALLBACK, THIS_ENGINE, chosen)
            chosen = f"driver {driver.name}"  # the reason is told once
        started = f"service engine {engine.name}: {chosen} on {', '.join(interfaces)}"
        engine.events.tell(kinds.ENGINE_STARTED, THIS_ENGINE, started)
        return engine

    async def _chosen(self, network: Network, common: plan.Common) -> tuple[Driver, tuple[str, ...], registry.Wanted]:
        """The driver, the interfaces that it has, and which drivers were wanted. Raises DataplaneError."""
        settings, name = self._settings, self._instance
        devices = {device.name: device for device in map(parse, settings.interfaces)}
        interfaces = tuple(devices) or _free(network, name)
        group = common.engines.get(settings.name, "Default-Group")
        use, pmd = common.drivers.get(group, 0), common.pmds.get(group, 0)
        cards = any(device.whole for device in devices.values())
        wanted = registry.candidates(settings.driver) if settings.driver else registry.numbered(use, pmd, cards=cards)
        how = How(devices, common.workers.get(group, 0), common.queues.get(group, 1))
        made = selection.prepare(wanted, name, how)
        try:
            await network.heard_of(made)
            indices = {interface: network.to_serve(interface).index for interface in interfaces}
            driver, self._reason = selection.choose(wanted, name, settings.state, indices, how)
        except BaseException:
            selection.unprepare(made)
            raise
        return driver, interfaces, wanted

    async def _follow(self, engine: Engine, speaker: Speaking, requests: Requests) -> None:
        while True:
            try:
                change, before = await self._source.newer(engine.mark), engine.mark
                with engine.events.because_of(change.mark.version):
                    engine.apply(change)
                    self._joining.applied(engine)
                    engine.refresh()
                    if engine.mark != before:
                        commit = f"the configuration of commit {engine.mark.version} is applied"
                        engine.events.tell(kinds.CONFIGURATION_APPLIED, THIS_ENGINE, commit)
                speaker.follow()
                await requests.applied()
                if self._reloading:
                    self._reloading = False
                    self._notifier.ready(self._says())
            except DataplaneError as exc:
                engine.events.tell(kinds.CONFIGURATION_REFUSED, THIS_ENGINE, f"the plan was not applied: {exc}")

    async def _tell_alive(self) -> None:
        """The loop goes round: told as often as who started the process wants to hear it."""
        while self._notifier.alive_every is not None:
            self._notifier.alive()
            await asyncio.sleep(self._notifier.alive_every)

    def _says(self) -> str:
        """What it does, in a line."""
        assert self._engine is not None
        return f"driver {self._engine.driver.name}, plan {self._engine.mark.version}"

    def _reload(self) -> None:
        """Read the whole plan again, as if the store were another one (SIGUSR1)."""
        self._reloading = True
        self._notifier.reloading()
        self._source.reread()

    def _network_changed(self) -> None:
        if self._engine is not None:
            self._engine.network_changed()

    def _end(self, signum: int) -> None:
        if not self._stop.done():
            self._notifier.stopping()
            self._stop.set_result(signum == signal.SIGHUP)

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Something that nobody expected was raised in a callback or a task. It is told; and it ends the engine with an
        error where nothing would be right without it (`tasks`), so that whoever watches the process starts another."""
        exc, what = context.get("exception"), context["message"]
        fatal = bool(context.get("fatal")) or (exc is not None and not isinstance(exc, Exception))
        if not isinstance(exc, DataplaneError):
            log.error("unexpected error: %s", what, exc_info=exc)
            exc = EngineError(f"unexpected error: {what}: {exc!r}")
        if fatal and not self._stop.done():
            self._events.tell(kinds.ENGINE_FAILED, THIS_ENGINE, exc.what)
            self._stop.set_exception(exc)
        elif not fatal and self._engine is not None:
            self._events.tell(kinds.ENGINE_FAULT, THIS_ENGINE, exc.what)
