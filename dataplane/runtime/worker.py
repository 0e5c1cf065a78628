"""A driver's thread: one turn after the other until its end.

A turn that raises something unexpected is told, and the next one goes on: one frame that meets a mistake of ours must
not stop all others. When turn after turn raises, the thread ends, and whoever asks for its faults hears that.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable

from dataplane.errors import DriverError
from dataplane.wording import counted

log = logging.getLogger("avi-se")

MOST = 20
"""Turns in a row that may raise."""
AGAIN = 60.0
"""Seconds after which the same fault is told again."""
_KINDS = 100
"""Different faults that are remembered."""


class Worker:
    """A thread. turn: waits for something to do and does it, again and again."""

    def __init__(self, name: str, turn: Callable[[], None]) -> None:
        self._name, self._turn = name, turn
        self._ending = False
        self._broken: Exception | None = None
        self._seen: dict[str, int] = {}
        self._told: dict[str, tuple[float, int]] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it takes turns."""
        return self._thread.is_alive()

    def end(self, wake: Callable[[], None]) -> None:
        """Take no turn any more; returns when the last one is over. wake: ends its waiting."""
        self._ending = True
        wake()
        if self._thread.ident is not None:
            self._thread.join()

    def fault(self, exc: Exception) -> None:
        """Note an unexpected error of a turn; the next turn goes on."""
        where = traceback.extract_tb(exc.__traceback__)[-1:]
        at = "".join(f" at {frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in where)
        text = f"{type(exc).__name__}{f': {exc}' if str(exc) else ''}{at}"
        if text not in self._seen:
            if len(self._seen) >= _KINDS:
                return
            log.error("%s: unexpected error", self._name, exc_info=exc)
        self._seen[text] = self._seen.get(text, 0) + 1

    def faults(self) -> list[str]:
        """The faults since the last call, in words. Raises DriverError when the thread has ended by itself."""
        found, now = [], time.monotonic()
        for text, number in list(self._seen.items()):
            when, before = self._told.get(text, (float("-inf"), 0))
            if number > before and now - when >= AGAIN:
                self._told[text] = now, number
                found.append(f"{self._name}: unexpected error, {counted(number - before, 'time')}: {text}")
        if self._broken is not None:
            raise DriverError(f"{self._name} has ended: {type(self._broken).__name__}: {self._broken}")
        return found

    def _run(self) -> None:
        failed = 0
        while not self._ending:
            try:
                self._turn()
                failed = 0
            except Exception as exc:
                self.fault(exc)
                failed += 1
                if failed == MOST:
                    self._broken = exc
                    return
