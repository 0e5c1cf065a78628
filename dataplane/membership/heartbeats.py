"""Heartbeats between the engines of a group, by UDP, and whom this engine does not hear.

A thread of its own sends and listens, so that an event loop that is busy for a second is nobody's death. It sends no
more when the loop has stood still for longer: an engine that hangs is to be taken for dead.

Where a process has ended and its host lives, that host's kernel refuses the datagrams (ICMP, port unreachable): whose
kernel forwards on is not silent then, for as long as one waits for its process to be started again. So long, counted
from its last heartbeat, what it left answers ARP; its VIPs have another owner no sooner. One whose loop hangs answers
no more when it beats no more.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from dataplane.membership import heartbeat
from dataplane.membership.heartbeat import Heartbeat
from dataplane.placement import hearing
from dataplane.placement.hearing import Hearing, Timing

HANGS = 10.0
"""Seconds after which an event loop that stands still is taken to hang."""
RESTART = 30.0
"""Seconds in which a process that has ended is to be started again, where its kernel forwards on."""
_REFUSED = 2.5
"""Seconds for which a refusal counts: kernels send one a second."""
_OFFSETS = 20
"""Heartbeats by which clocks are compared."""

Epochs = Mapping[bytes, int]
"""By VIP, the epoch of the place by which an engine answers ARP for it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another engine of the group."""

    own: str  # this engine's address that datagrams to it come from; "" for any
    address: str  # that they go to
    forwards_on: bool = False  # its kernel forwards on when its process has ended


@dataclass(frozen=True, slots=True)
class Told:
    """What the engine wants told, and whom it wants heard."""

    name: str  # the engine's
    secret: bytes = b""  # the cluster's; without it nothing is said or believed
    peers: Mapping[str, tuple[Peer, ...]] = field(default_factory=dict)  # by engine, each path to it
    timing: Timing = field(default_factory=Timing)
    epochs: Epochs = field(default_factory=dict)  # its own
    carrier: bool = True  # a link of its has a carrier: else it hears nobody, which says nothing of them
    heirs: bool = False  # others have its VIPs when it is taken for dead


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard."""

    silent: frozenset[str] = frozenset()  # the engines that are not
    ended: frozenset[str] = frozenset()  # those whose process has ended, and whose kernel forwards on
    epochs: Mapping[str, Epochs] = field(default_factory=dict)  # what each engine told
    fault: str = ""  # why nothing can be sent or heard, in words


class Heartbeats:
    """Methods are called by the engine's event loop. changed: is called by the thread, when something else is heard.
    answer_until: is called by it, with each heartbeat, with the time of the monotonic clock, in nanoseconds, until
    which ARP is answered for the engine's VIPs; 0: always."""

    def __init__(
        self, told: Told, changed: Callable[[Heard], None], answer_until: Callable[[int], None] = lambda time: None
    ) -> None:
        self._told, self._changed, self._answer_until = told, changed, answer_until
        self._touched = time.monotonic()
        self._sockets: dict[Peer, socket.socket] = {}
        self._listeners: dict[str, socket.socket] = {}  # by own address
        self._names: dict[Peer, str] = {}
        self._hearing = Hearing()
        self._last: dict[str, float] = {}  # when each engine's last heartbeat came
        self._refused: dict[str, float] = {}  # when its host refused one last
        self._epochs: dict[str, dict[bytes, tuple[int, float]]] = {}  # what it told, and when
        self._offsets: dict[str, deque[float]] = {}
        self._portion = 0
        self._fault = ""
        self._heard = Heard()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def tell(self, told: Told) -> None:
        """From now on say this, and listen to these. It also shows that the loop lives."""
        self._told = told
        self._touched = time.monotonic()

    def skews(self) -> dict[str, float]:
        """How many seconds each engine's clock is behind this one's."""
        return {name: heartbeat.skew(tuple(offsets)) for name, offsets in list(self._offsets.items())}

    def close(self) -> None:
        """End."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        due = looking = time.monotonic()
        try:
            while not self._ending.is_set():
                told, now = self._told, time.monotonic()
                self._follow(told)
                if now >= due:
                    beats = now - self._touched < HANGS
                    if told.secret and beats:
                        self._send(told)
                    until = now + RESTART if beats else self._touched + HANGS
                    self._answer_until(int(until * 1e9) if told.heirs else 0)
                    due = max(due + told.timing.period, now)
                arrived = self._receive(told, max(0.0, due - time.monotonic()))
                now = time.monotonic()
                if arrived or now >= looking:
                    self._look(told, arrived, now)
                    looking = now + told.timing.period / 2
        finally:
            for one in (*self._sockets.values(), *self._listeners.values()):
                one.close()

    def _follow(self, told: Told) -> None:
        """Have a socket for each path to each engine, and one on each own address for engines not known yet: what no
        socket took would be refused, as if this process had ended."""
        wanted = {path: name for name, paths in told.peers.items() for path in paths} if told.secret else {}
        self._names = wanted
        for path in self._sockets.keys() - wanted.keys():
            self._sockets.pop(path).close()
        fault, own = "", {path.own for path in wanted}
        for address in self._listeners.keys() - own:
            self._listeners.pop(address).close()
        for address in own - self._listeners.keys():
            try:
                self._listeners[address] = _bound(address)
            except OSError as exc:
                fault = f"{address or 'any address'}, UDP port {heartbeat.PORT}: {exc.strerror}"
        for path in wanted.keys() - self._sockets.keys():
            made = None
            try:
                made = _bound(path.own)
                made.connect((path.address, heartbeat.PORT))
                self._sockets[path] = made
            except OSError as exc:
                fault = f"from {path.own or 'any address'} to {path.address}, UDP port {heartbeat.PORT}: {exc.strerror}"
                if made is not None:
                    made.close()
        self._fault = fault

    def _send(self, told: Told) -> None:
        portions = heartbeat.portions(told.epochs)
        self._portion = (self._portion + 1) % len(portions)
        datagram = heartbeat.write(told.secret, Heartbeat(told.name, time.time(), portions[self._portion]))
        for path, there in self._sockets.items():
            try:
                there.send(datagram)
            except ConnectionRefusedError:
                self._refused[self._names[path]] = time.monotonic()
            except OSError:
                continue  # no route, or no carrier: it is not heard either

    def _receive(self, told: Told, seconds: float) -> set[str]:
        """The engines whose heartbeats come first within some seconds."""
        paths = {there: path for path, there in self._sockets.items()}
        every = [*paths, *self._listeners.values()]
        if not every:
            self._ending.wait(min(seconds, told.timing.period))
            return set()
        arrived = set()
        for there in select.select(every, [], [], seconds)[0]:
            with suppress(BlockingIOError):
                while True:
                    try:
                        datagram = there.recv(heartbeat.LARGEST)
                    except ConnectionRefusedError:
                        self._refused[self._names[paths[there]]] = time.monotonic()
                        continue
                    except BlockingIOError:
                        raise
                    except OSError:
                        break
                    beat = heartbeat.read(told.secret, datagram) if told.secret else None
                    if beat is not None and beat.name in told.peers:
                        arrived.add(beat.name)
                        self._take(beat)
        return arrived

    def _take(self, beat: Heartbeat) -> None:
        now = time.monotonic()
        self._last[beat.name] = now
        self._refused.pop(beat.name, None)
        self._offsets.setdefault(beat.name, deque(maxlen=_OFFSETS)).append(time.time() - beat.clock)
        self._epochs.setdefault(beat.name, {}).update({vip: (epoch, now) for vip, epoch in beat.epochs.items()})

    def _look(self, told: Told, arrived: set[str], now: float) -> None:
        self._last = {name: self._last.get(name, now) for name in told.peers}
        ended = frozenset(
            name
            for name, paths in told.peers.items()
            if any(path.forwards_on for path in paths)
            and now - self._refused.get(name, float("-inf")) < _REFUSED
            and now - self._last[name] < RESTART
        )
        there = arrived | ended if told.carrier else set(told.peers)
        self._hearing = hearing.look(self._hearing, told.peers.keys(), there, told.timing, now)
        silent = hearing.silent(self._hearing, told.timing)
        keeps = 2 * told.timing.silence
        epochs = {
            name: found
            for name, every in self._epochs.items()
            if name in told.peers
            and name not in silent
            and (found := {vip: epoch for vip, (epoch, when) in every.items() if now - when < keeps})
        }
        heard = Heard(silent, ended, epochs, self._fault)
        if heard != self._heard:
            self._heard = heard
            self._changed(heard)


def _bound(own: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((own, heartbeat.PORT))
    except OSError:
        made.close()
        raise
    return made
