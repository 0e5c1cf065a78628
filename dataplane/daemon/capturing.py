"""Captures that operators ask an engine for: one at a time, each into a file of its own in the state directory."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataplane import plan
from dataplane.capture import recorder
from dataplane.capture.kept import Known, Surroundings, destination
from dataplane.capture.recorder import Order, Recorder
from dataplane.daemon.drops import KEPT, LastDrops
from dataplane.engine.engine import Engine
from dataplane.errors import DriverError, EngineError
from dataplane.events import kinds
from dataplane.events.model import THIS_ENGINE, Kind, Subject
from dataplane.forwarding import capture, translate
from dataplane.forwarding.capture import Capture, Captured, Ports, Wanted
from dataplane.forwarding.driver import Asked
from dataplane.forwarding.values import Counters, ServiceKey
from dataplane.runtime import tasks
from dataplane.runtime.turns import Turns

EVERY = 0.05
"""Seconds between two looks at what was captured."""
_FULL = capture.MOST


class Capturing:
    """The captures of an engine. state: its state directory. It is used in the engine's event loop."""

    def __init__(self, engine: Engine, state: Path) -> None:
        self._engine = engine
        self._folder = state / recorder.FOLDER / engine.name
        self._running: _Running | None = None
        self._last: dict[str, Recorder] = {}  # by what it is of
        self._beginning = asyncio.Lock()
        self.last_drops = LastDrops()

    async def begin(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Begin the capture that a request asks for, in the place of one of the same virtual service that runs. Returns
        its report. Raises EngineError."""
        of = str(fields["of"])
        async with self._beginning:
            if self._running is not None and self._running.recorder.order.of != of:
                raise EngineError(f"a capture of {_called(self._running.recorder.order.of)} runs: one at a time can")
            await self._end("another one began")
            wanted = _wanted(self._engine, fields)
            order = Order(of, fields["packets"], fields["seconds"], wanted.most, fields["pcapng"], fields["files"])
            begun = await self._begun(wanted, order)
            begun.fields = fields
            self._running = begun
            self._last[of] = begun.recorder
            begun.job = tasks.once(self._record(begun))
            self._tell(kinds.CAPTURE_BEGAN, f"a capture of {_called(of)} began: {begun.recorder.path}", fields)
            return begun.recorder.report()

    async def end(self, of: str) -> dict[str, Any]:
        """End the capture of a virtual service, "" of drops, if it runs. Returns the report of the last one; of none,
        an empty one."""
        async with self._beginning:
            if self._running is not None and self._running.recorder.order.of == of:
                await self._end("ended by an operator")
        last = self._last.get(of)
        return {} if last is None else last.report()

    def report(self, of: str) -> list[dict[str, Any]]:
        """The captures of a virtual service, "" of drops, that there are files of, the newest first: as
        `Recorder.report` has it, of those of former runs the file and its size alone."""
        last = self._last.get(of)
        found: list[dict[str, Any]] = [] if last is None else [last.report()]
        for path in reversed(recorder.files(self._folder, of)):
            if last is None or path != last.path:
                with suppress(OSError):
                    found.append({"of": of, "file": str(path), "running": False, "bytes": path.stat().st_size})
        return found

    async def drops(self, uuid: str, seconds: float) -> dict[str, Any]:
        """What was dropped of a virtual service's, or of all where its uuid is "". Frames that are dropped within some
        seconds are looked at, unless a capture of an operator's does so. Raises EngineError.

        {"name": the engine's, "dropped": {reason: packets}, "unsampled": why no frame could be looked at, "",
         "samples": as `LastDrops.report` has them}
        """
        engine = self._engine
        vips = frozenset(socket.inet_aton(one.vip) for one in engine.services.values() if one.uuid == uuid)
        if uuid and not vips:
            raise EngineError("this engine forwards nothing of that virtual service")
        keys = [translate.key(one) for one in engine.services.values() if one.uuid == uuid]
        counters = await Turns().last(engine.driver.counters_in_pieces(Asked(keys)))
        why = await self._sample(seconds) if seconds and any(counters.dropped.values()) else ""
        interfaces = {one.index: one.name for one in engine.interfaces.served()}
        samples = self.last_drops.report(interfaces, vips)
        return {"name": engine.name, "dropped": _dropped(counters, keys), "unsampled": why, "samples": samples}

    async def _sample(self, seconds: float) -> str:
        """Look at what is dropped. Returns why it cannot be, else ""."""
        async with self._beginning:
            if self._running is not None:
                return f"a capture of {_called(self._running.recorder.order.of)} runs"
            try:
                made = await asyncio.to_thread(self._engine.driver.capture, Wanted(drops=True, most=KEPT))
            except DriverError as exc:
                return exc.what
            try:
                until, seen = time.monotonic() + seconds, False
                while time.monotonic() < until and not seen:
                    await asyncio.sleep(EVERY)
                    taken = await asyncio.to_thread(made.take)
                    self.last_drops.note(taken)
                    seen = bool(taken)
            finally:
                await asyncio.shield(asyncio.to_thread(made.close))
        return ""

    async def close(self) -> None:
        """End what runs."""
        async with self._beginning:
            await self._end("the engine ended")

    async def _begun(self, wanted: Wanted, order: Order) -> _Running:
        try:
            running = await asyncio.to_thread(self._engine.driver.capture, wanted)
        except DriverError as exc:
            raise EngineError(f"no capture can begin: {exc.what}", remedy=exc.remedy) from exc
        try:
            return _Running(running, Recorder(self._folder, order))
        except BaseException:
            await asyncio.to_thread(running.close)
            raise

    async def _record(self, running: _Running) -> None:
        """Until there is enough."""
        try:
            while not running.recorder.ended:
                why = running.why
                await self._take(running)
                if why:
                    running.recorder.end(why)
                elif not running.recorder.ended:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(running.asked.wait(), EVERY)
        finally:
            running.recorder.end("it failed")
            if self._running is running:
                self._running = None
            await asyncio.shield(asyncio.to_thread(running.capture.close))
            told = running.recorder
            packets = f"{told.packets} packet{'s' * (told.packets != 1)}"
            self._tell(
                kinds.CAPTURE_ENDED,
                f"the capture of {_called(told.order.of)} has ended ({told.ended}), with {packets}",
                running.fields,
            )

    def _tell(self, kind: Kind, text: str, fields: Mapping[str, Any]) -> None:
        of = fields["of"]
        about = Subject("virtualservice", of, uuid=fields["virtualservice"]) if of else THIS_ENGINE
        self._engine.events.tell(kind, about, text)

    async def _take(self, running: _Running) -> None:
        taken, lost = await asyncio.to_thread(running.taken)
        self.last_drops.note(taken)
        around = _surroundings(self._engine, taken)
        await asyncio.to_thread(running.recorder.add, taken, lost, around)

    async def _end(self, why: str) -> None:
        running = self._running
        if running is not None and running.job is not None:
            running.why = why
            running.asked.set()
            await asyncio.wait([running.job])


class _Running:
    """A capture that runs."""

    def __init__(self, running: Capture, record: Recorder) -> None:
        self.capture, self.recorder = running, record
        self.job: asyncio.Task[None] | None = None
        self.fields: Mapping[str, Any] = {}  # of the request
        self.asked, self.why = asyncio.Event(), ""  # it is to end

    def taken(self) -> tuple[list[Captured], int]:
        """What came since the last call, and how many frames found no room so far."""
        return self.capture.take(), self.capture.lost()


def _wanted(engine: Engine, fields: Mapping[str, Any]) -> Wanted:
    """The driver's filter. Raises EngineError."""
    vips, ports = _ends(engine, fields["virtualservice"]) if fields["of"] else ((), ())
    return Wanted(
        vips=vips,
        ports=ports,
        clients=tuple((socket.inet_aton(first), socket.inet_aton(last)) for first, last in fields["clients"]),
        other_clients=fields["other_clients"],
        protocol=fields["protocol"],
        source=tuple(fields["source"]),
        destination=tuple(fields["destination"]),
        tcp_flags=fields["tcp_flags"],
        drops=not fields["of"],
        most=fields["size"] or _FULL,
    )


def _ends(engine: Engine, uuid: str) -> tuple[tuple[bytes, ...], tuple[Ports, ...]]:
    """The VIPs of a virtual service; and its ports, where other virtual services have some of the same VIPs."""
    services = [one for one in engine.services.values() if one.uuid == uuid]
    if not services:
        raise EngineError("this engine forwards nothing of that virtual service")
    keys = [translate.key(one) for one in services]
    vips = tuple(sorted({key.vip for key in keys}))
    if len(vips) > capture.MOST_VIPS:
        raise EngineError(f"it has {len(vips)} VIPs; of at most {capture.MOST_VIPS} packets can be captured")
    if all(one.uuid == uuid for vip in vips for one in engine.index.of_vip(vip)):
        return vips, ()
    ports = tuple(sorted({Ports(key.protocol, key.port, key.port_end) for key in keys}))
    if len(ports) > capture.MOST_PORTS:
        what = f"it shares a VIP with another virtual service, and has {len(ports)} ports"
        raise EngineError(f"{what}; packets to at most {capture.MOST_PORTS} can be told apart")
    return vips, ports


def _surroundings(engine: Engine, taken: Iterable[Captured]) -> Surroundings:
    """What explains these frames."""
    vips = {destination(one.frame)[0] for one in taken}
    return Surroundings(
        {vip: [_known(engine, one) for one in engine.index.of_vip(vip)] for vip in vips},
        {one.index: one.name for one in engine.interfaces.served()},
        time.time_ns() - time.monotonic_ns(),
    )


def _known(engine: Engine, service: plan.Service) -> Known:
    pool = engine.pools.values.get(engine.pools.name(service))
    return Known(translate.key(service), service.virtualservice, pool)


def _dropped(counters: Counters, keys: Collection[ServiceKey]) -> dict[str, int]:
    """By reason: of services, or of all where there are none."""
    if not keys:
        return {reason: count for reason, count in counters.dropped.items() if count}
    found = dict[str, int]()
    for key in keys:
        for reason, count in counters.service_drops.get(key, {}).items():
            found[reason] = found.get(reason, 0) + count
    return found


def _called(of: str) -> str:
    return of or "all drops"
