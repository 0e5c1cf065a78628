"""Watches the way back to clients: reads what the driver counts of sampled TCP flows, and names servers whose answers
do not arrive. `wayback` is the rule."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dataplane.engine import wayback
from dataplane.engine.wayback import NO_FLOWS, Sample
from dataplane.errors import DriverError
from dataplane.events import kinds
from dataplane.events.model import THIS_ENGINE, Subject, Tell
from dataplane.forwarding import poolnames
from dataplane.forwarding.driver import Driver
from dataplane.forwarding.values import HandshakeTally, ServiceKey

LOOK_EVERY = 2.0
"""Seconds between two looks."""
SPAN, SPANS = 20.0, 15
"""Seconds that are forgotten together, and how many such spans are remembered: five minutes."""

NOBODY = b""
"""In a server's place: a whole pool."""
Server = tuple[str, bytes]
"""A pool's uuid in the plan, and a server's address."""
Key = Server | ServiceKey


class Window:
    """Counts of the last minutes, made from totals that only grow."""

    def __init__(self) -> None:
        self.sums: dict[Key, Sample] = {}
        self._spans: deque[dict[Key, Sample]] = deque([{}])
        self._streaks: dict[Key, int] = {}
        self._begun = -SPAN
        self._totals: Mapping[Key, Sample] | None = None

    def add(self, totals: Mapping[Key, Sample], now: float) -> None:
        """Add totals of a moment. The first ones are the beginning. now: seconds of a steady clock."""
        if now - self._begun >= SPAN:
            self._begun = now
            self._spans.append({})
            while len(self._spans) > SPANS:
                for key, seen in self._spans.popleft().items():
                    self._take_out(key, seen)
        before, self._totals = self._totals, totals
        for key, total in totals.items() if before is not None else ():
            grown = total.minus(before.get(key, NO_FLOWS)) if before else total
            if grown == NO_FLOWS:
                continue
            if min(grown) < 0:  # it began anew
                grown = total
            self.sums[key] = self.sums.get(key, NO_FLOWS).plus(grown)
            self._spans[-1][key] = self._spans[-1].get(key, NO_FLOWS).plus(grown)
            self._streaks[key] = 0 if grown.repeated else self._streaks.get(key, 0) + grown.answered

    def streak(self, key: Key) -> int:
        """How many flows were answered since the last one that was not."""
        return self._streaks.get(key, 0)

    def forget(self, key: Key) -> None:
        """Begin again: what was counted before does not count."""
        self.sums.pop(key, None)
        for span in self._spans:
            span.pop(key, None)

    def _take_out(self, key: Key, seen: Sample) -> None:
        left = self.sums[key].minus(seen)
        if left == NO_FLOWS:
            del self.sums[key]
            self._streaks.pop(key, None)
        else:
            self.sums[key] = left


class Told(NamedTuple):
    """What is reported of a server or of a pool."""

    seen: Sample
    words: str


class HandshakeWatch:
    """Looks about every other second, in a thread of its own. tell: hears of events; name: of a pool, or of
    its server, for an event: the object and its words; clock: seconds of a steady clock."""

    def __init__(
        self,
        driver: Driver,
        tell: Tell,
        name: Callable[[str, bytes], tuple[Subject, str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver, self._tell, self._name, self._clock = driver, tell, name, clock
        self._window = Window()
        self._told: dict[Server, Told] = {}
        self._fault = ""

    async def run(self) -> None:
        """Look, for ever. Only what is counted from now on matters."""
        while True:
            looking = asyncio.ensure_future(asyncio.to_thread(self.look))
            try:
                self.take(await asyncio.shield(looking))
                self._fault = ""
            except DriverError as exc:  # what is forwarded does not depend on it
                if str(exc) != self._fault:
                    text = f"whether clients get answers is not looked at: {exc}"
                    self._tell(kinds.DRIVER_FAULT, THIS_ENGINE, text)
                self._fault = str(exc)
            finally:  # nobody closes what the thread reads
                await asyncio.wait((looking,))
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> dict[Server, Told]:
        """What is to be reported now, by server; of a whole pool by NOBODY in a server's place."""
        counted, window = self._driver.handshakes(), self._window
        totals: dict[Key, Sample] = {key: _sample(tally) for key, tally in counted.services.items()}
        for (name, server), tally in counted.servers.items():
            member = poolnames.parts(name).uuid, server
            totals[member] = totals.get(member, NO_FLOWS).plus(_sample(tally))
        window.add(totals, self._clock())
        for named, told in self._told.items():
            if named[1] != NOBODY and wayback.mended(told.seen.share, window.streak(named)):
                window.forget(named)
        pools: defaultdict[str, dict[Server, Sample]] = defaultdict(dict)
        for key, seen in list(window.sums.items()):
            if not isinstance(key, ServiceKey):
                pools[key[0]][key] = seen
        judged = {uuid: of for uuid, of in pools.items() if sum(s.unanswered for s in of.values()) >= wayback.FLOWS}
        return self._judged(judged) if judged else {}

    def _judged(self, pools: Mapping[str, Mapping[Server, Sample]]) -> dict[Server, Told]:
        clients: defaultdict[Server, set[bytes]] = defaultdict(set)
        for (name, server), found in self._driver.unanswered_clients().items():
            clients[poolnames.parts(name).uuid, server] |= found
        told = {}
        for uuid, servers in pools.items():
            named = wayback.named(servers, lambda key: len(clients[key]))
            named |= {key for key in self._told.keys() & servers.keys() if wayback.still(servers[key])}
            for key in named:
                example = socket.inet_ntoa(min(clients[key], default=bytes(4)))
                told[key] = Told(servers[key], wayback.words(servers[key], example))
            if not named and wayback.everywhere(servers, lambda key: len(clients[key])):
                whole = wayback.together(servers.values())
                told[uuid, NOBODY] = Told(whole, wayback.words_everywhere(whole))
        return told

    def take(self, found: dict[Server, Told]) -> None:
        """Report what a look found."""
        before, self._told = self._told, found
        for key in found.keys() - before.keys():
            kind = kinds.SERVER_UNANSWERED if key[1] else kinds.POOL_UNANSWERED
            about, name = self._name(*key)
            self._tell(kind, about, f"{name}: {found[key].words}")
        for key in before.keys() - found.keys():
            kind = kinds.SERVER_ANSWERED if key[1] else kinds.POOL_ANSWERED
            about, name = self._name(*key)
            self._tell(kind, about, f"{name}: new connections are not seen to go unanswered any more")

    def words(self, pool: str, server: bytes = NOBODY) -> str:
        """What an operator must know of a server, or of the servers of a whole pool together."""
        told = self._told.get((pool, server))
        return told.words if told is not None else ""

    def seen(self, pool: str, server: bytes) -> str:
        """What was seen of a server's answers; "": nothing was."""
        seen = self._window.sums.get((pool, server), NO_FLOWS)
        return f"{seen.answered} of {seen.known} TCP connections looked at were answered" if seen.known else ""

    def share(self, key: Key) -> float | None:
        """The part of a server's or service's new flows of the last minutes that got no answer. None: not known."""
        seen = self._window.sums.get(key)
        return seen.share if seen is not None and seen.known else None


def _sample(tally: HandshakeTally) -> Sample:
    return Sample(tally.begun, tally.answered, tally.unanswered, tally.late)
