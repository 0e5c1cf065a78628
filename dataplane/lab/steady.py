"""Makes requests all the time while something happens, each over its own connection."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from dataplane.lab.laboratory import Lab
from dataplane.lab.requests import Answer
from dataplane.lab.standstill import Witness

FIRST_PORT, AT_ONCE = 30_001, 100
INTERVAL = 0.01
"""Seconds between two requests."""
PATIENCE = 30.0
"""Seconds that a client waits for an answer, as browsers do at least."""


class Steady:
    """Makes requests inside `with Steady(lab) as steady: …`; then `steady.answers` has the answers in the requests'
    order."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._ending = lab, threading.Event()
        self.answers: list[Answer] = []
        self.stood = 0.0  # seconds for which the machine itself stood still meanwhile
        self._machine, self._begun = Witness(), time.monotonic()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Steady:
        self._begun = time.monotonic()
        self._machine.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self.stood = self._machine.stood(self._begun)
        self._machine.__exit__()

    @property
    def unanswered(self) -> int:
        """How many requests got no answer at all."""
        return sum(answer.server is None for answer in self.answers)

    @property
    def slowest(self) -> float:
        """Seconds that the slowest answer took, without those that the machine stood still."""
        still = self._machine.stood
        return max((one.took - still(one.at, one.at + one.took) for one in self.answers), default=0.0)

    def words(self) -> str:
        """The outcome in words, for people."""
        told = f"{len(self.answers)} requests, {self.unanswered} of them unanswered"
        stood = f"; the machine itself stood still for {self.stood:.1f} s" if self.stood else ""
        return f"{told}, the slowest took {self.slowest:.2f} s{stood}"

    def _ask(self) -> None:
        first = FIRST_PORT
        while not self._ending.is_set():
            words = ("--interval", str(INTERVAL), "--timeout", str(PATIENCE), "--at-once", str(AT_ONCE))
            self.answers += self._lab.ask(range(first, first + AT_ONCE), *words)
            first = FIRST_PORT if first > FIRST_PORT + 20 * AT_ONCE else first + AT_ONCE
