"""The forwarder's process: started, taken over from a former engine, and started again when it dies.

It is no part of the engine's process: it goes on when that is killed. What it forwards by lies in files, so that
another one of it goes on where the first was killed.
"""

from __future__ import annotations

import base64
import logging
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dataplane.drivers.dpdk import program
from dataplane.drivers.dpdk.control import Control, Event, Lost
from dataplane.drivers.dpdk.program import Options
from dataplane.errors import DriverError
from dataplane.runtime import locks
from dataplane.runtime.worker import Worker

log = logging.getLogger("avi-se")

CONTROL, LOG, LOCK = "control", "forwarder.log", "forwarder.lock"
"""In the folder of the maps. A forwarder has the lock from its first moment to its last; its number stands there."""
STARTS, WITHIN = 3, 10.0
"""A forwarder that died is started again at most STARTS times in WITHIN seconds."""
START_PATIENCE = 30.0
"""Seconds that its start may take: PCI cards are slow."""
END_PATIENCE = 2
"""Seconds in which it may end by itself."""
_LOOK = 0.005


@dataclass(frozen=True, slots=True)
class Port:
    """A device of DPDK's for an interface."""

    index: int  # of the interface
    name: str  # of the interface
    device: str  # DPDK's name of it
    where: str = ""  # the kernel's interface that it stands on, where it does
    more: str = ""  # further arguments of the device
    queues: int = 1
    mtu: int = 1500
    xsks: str = ""  # where the map of AF_XDP sockets is pinned
    first: int = 0  # the place in that map of its first queue's socket
    twin: str = ""  # the interface by which its other frames come to the host
    receives: bool = True

    def request(self) -> dict[str, object]:
        """The request to the forwarder for this port."""
        told = asdict(self)
        words = [f"iface={told.pop('where')}" if self.where else "", told.pop("more")]
        return told | {"arguments": ",".join(filter(None, words))}

    def is_as(self, other: Port | None) -> bool:
        """Whether another one is the same, but for the name that its interface has now."""
        return other is not None and replace(other, name=self.name, where=self.where) == self


class Forwarder:
    """Runs and controls the forwarder's process. folder: of the maps, where its socket and its log are too; slow: gets
    the frames that are left to the engine; link: gets an interface's index and whether its device has a link now;
    ended: called when one has died, and before another one starts. Raises DriverError where none can be had."""

    def __init__(
        self,
        folder: Path,
        options: Options,
        slow: Callable[[bytes], None],
        link: Callable[[int, bool], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._options, self._slow, self._link, self._ended = folder, options, slow, link, ended
        self._lock = threading.RLock()
        self._ports: dict[int, Port] = {}
        self._told: dict[int, Mapping[str, Any]] = {}
        self._starts: deque[float] = deque(maxlen=STARTS + 1)
        self._news: deque[str] = deque()
        self._broken = ""
        self._counted: Mapping[str, Any] = {"ports": [], "unsuitable": 0, "limited": 0}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self.adopted = False
        self.restarts = 0
        """How often another one took its place."""
        self._control = self._begun()
        self._worker = Worker("the forwarder's control", self._turn)
        self._worker.start()

    @property
    def process(self) -> int:
        """Its process id."""
        return self._control.process

    @property
    def hello(self) -> Event:
        """What it said of itself."""
        return self._control.hello

    def ports(self) -> Mapping[int, Mapping[str, Any]]:
        """What it said of its ports, by the index of their interfaces."""
        return dict(self._told)

    def add(self, port: Port) -> Mapping[str, Any]:
        """Make a port, in the place of another one of this interface that is not the same. Returns what it says of it.
        Raises DriverError."""
        with self._lock:
            former = self._ports.get(port.index)
            there = self._told.get(port.index, {}).get("request")
            if port.is_as(former) or (former is None and there == {"do": "add", **port.request()}):
                self._ports[port.index] = port
                return self._told[port.index]
            self.remove(port.index)
            self._ports[port.index] = port
            try:
                self._told[port.index] = self._asked("add", **port.request())
            except Lost:  # the next one makes it
                self._told[port.index] = {}
            except DriverError as exc:
                del self._ports[port.index]
                raise DriverError(f"{exc.what} ({_last_words(self._folder / LOG)})") from exc
            return self._told[port.index]

    def remove(self, index: int) -> None:
        """Take a port away, if there is one."""
        with self._lock:
            self._ports.pop(index, None)
            if self._told.pop(index, None) is not None:
                with suppress(Lost):
                    self._asked("remove", index=index)

    def set_mtu(self, index: int, mtu: int) -> None:
        """A port's interface has this MTU now. Raises DriverError."""
        with self._lock, suppress(Lost):
            self._asked("mtu", index=index, mtu=mtu)

    def statistics(self) -> Mapping[str, Any]:
        """The statistics of all its ports, as it tells them; the last known ones while it is not there. A restarted one
        counts from zero."""
        with self._lock:
            with suppress(Lost):
                self._counted = self._asked("stats")
            return self._counted

    def faults(self) -> list[str]:
        """The faults since the last call. Raises DriverError when there is no forwarder any more."""
        told = self._worker.faults()
        while self._news:
            told.append(self._news.popleft())
        if self._broken:
            raise DriverError(self._broken)
        return told

    def close(self, *, keep: bool) -> None:
        """End. keep: the forwarder goes on."""
        self._worker.end(lambda: os.eventfd_write(self._wake, 1))
        os.close(self._wake)
        if not keep and not self._broken:
            process = self._control.process
            with suppress(DriverError):
                self._control.ask(self._event, "stop")
            self._control.close()
            end(process)
        else:
            self._control.close()

    def _begun(self) -> Control:
        """The forwarder that runs, if it is of these sources and options; else another one. Raises DriverError."""
        there = reached(self._folder)
        if isinstance(there, int):
            return self._started(there)
        fits = (
            there.hello["sources"] == program.sources()
            and there.hello["workers"] == self._options.workers
            and there.hello["frame"] == self._options.frame
        )
        if fits:
            self.adopted = True
            for told in there.hello["ports"]:
                self._told[told["index"]] = told
            return there
        log.info("the forwarder, process %d, has other sources or options: another one takes over", there.process)
        there.close()
        stop(self._folder)
        self._ended()
        return self._started()

    def _started(self, lock: int | None = None) -> Control:
        """A forwarder that is ready. lock: its lock, if it is had already. Raises DriverError."""
        if lock is None:
            found = reached(self._folder)
            if isinstance(found, Control):
                return found
            lock = found
        try:
            self._starts.append(time.monotonic())
            *better, last = program.memories(self._options)
            for memory in better:
                with suppress(DriverError):
                    return self._ready(memory, lock)
            return self._ready(last, lock)
        finally:
            os.close(lock)

    def _ready(self, memory: Sequence[str], lock: int) -> Control:
        """A forwarder on such memory that is ready. Raises DriverError."""
        control, written = self._folder / CONTROL, self._folder / LOG
        control.unlink(missing_ok=True)
        made = _spawned(program.command(self._folder, control, self._options, memory), written, lock)
        until = time.monotonic() + START_PATIENCE
        while True:
            with suppress(Lost):
                return Control(control)
            if _has_ended(made) or time.monotonic() > until:
                end(made)
                raise DriverError(f"the forwarder does not start: {_last_words(written)}")
            time.sleep(_LOOK)

    def _turn(self) -> None:
        waiting = select.poll()
        waiting.register(self._wake, select.POLLIN)
        if not self._broken:
            waiting.register(self._control, select.POLLIN)
        if self._wake in (fd for fd, _ in waiting.poll()):
            return
        with self._lock:  # an answer is not taken from whoever waits for it
            try:
                if select.select([self._control], [], [], 0)[0]:
                    self._event(self._control.event())
            except Lost:
                self._again()

    def _event(self, told: Event) -> None:
        if told["event"] == "slow":
            self._slow(base64.b64decode(told["frame"]))
        elif told["event"] == "link":
            self._link(told["index"], told["up"])
        elif told["event"] == "fault":
            self._news.append(str(told["what"]))

    def _asked(self, do: str, **fields: object) -> Mapping[str, Any]:
        return self._control.ask(self._event, do, **fields)

    def _again(self) -> None:
        """The forwarder is gone: start another one, which has the same ports."""
        began, former = time.monotonic(), self._control.process
        self._control.close()
        end(former)
        self._ended()
        often = len(self._starts) > STARTS and began - self._starts[0] < WITHIN
        try:
            if often:
                raise DriverError(f"it died {STARTS} times in {WITHIN:g} seconds: {_last_words(self._folder / LOG)}")
            self._control = self._started()
            self.restarts += 1
            for port in self._ports.values():
                self._told[port.index] = self._asked("add", **port.request())
        except DriverError as exc:
            self._broken = f"the forwarder, process {former}, ended, and there is no other: {exc.what}"
            return
        took = time.monotonic() - began
        self._news.append(f"the forwarder, process {former}, ended; another one took over {took:.1f} s later")


def end(process: int) -> None:
    """End a forwarder, and wait until it has ended. It first gets time to end by itself."""
    with suppress(ProcessLookupError):
        held = os.pidfd_open(process)
        try:
            ended = select.poll()
            ended.register(held, select.POLLIN)
            if not ended.poll(END_PATIENCE * 1000):
                signal.pidfd_send_signal(held, signal.SIGKILL)
                ended.poll()
        finally:
            os.close(held)
    with suppress(ChildProcessError):
        os.waitpid(process, 0)


def reached(folder: Path) -> Control | int:
    """The forwarder that runs on a folder; else the lock for a new one. Waits for one that is starting, and ends one
    that stands still. Raises DriverError."""
    until = time.monotonic() + START_PATIENCE
    while True:
        with suppress(Lost):
            return Control(folder / CONTROL)
        lock = locks.hold(folder / LOCK, os.O_RDWR | os.O_CREAT)
        if lock is not None:
            return lock
        if time.monotonic() > until:
            with suppress(OSError, ValueError):
                end(int((folder / LOCK).read_text("ascii")))
        time.sleep(_LOOK)


def stop(folder: Path) -> bool:
    """End the forwarder that runs on a folder, if one does. Returns whether one did."""
    if not (folder / LOCK).exists():
        return False
    there = reached(folder)
    if isinstance(there, int):
        os.close(there)
        return False
    with suppress(DriverError):
        there.ask(lambda event: None, "stop")
    there.close()
    end(there.process)
    return True


def is_there(folder: Path) -> bool:
    """Whether a forwarder runs on a folder."""
    try:
        Control(folder / CONTROL).close()
    except Lost:
        return False
    return True


def _spawned(command: list[str], written: Path, lock: int) -> int:
    """Start a process in a session of its own: what ends the engine does not end it. Its output goes into a file; it
    has the lock as LOCK_NUMBER. Returns its process id."""
    out = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(written), out, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        (os.POSIX_SPAWN_DUP2, lock, program.LOCK_NUMBER),
    )
    try:
        return os.posix_spawn(command[0], command, os.environ, file_actions=files, setsid=True)
    except OSError as exc:
        raise DriverError(f"the forwarder does not start: {exc.strerror}", remedy=program.BUILD) from exc


def _has_ended(process: int) -> bool:
    """Whether a process that this one started has ended."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _last_words(written: Path) -> str:
    """The lines of a log that say why the forwarder ended."""
    try:
        lines = [line for line in written.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return "it left no log"
    return "; ".join(lines[-2:]) or "it said nothing"
