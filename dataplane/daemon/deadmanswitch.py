"""A dead man's switch for ARP: what forwards on without this process answers for its VIPs only for so long."""

from __future__ import annotations

import threading

from dataplane.forwarding.driver import Tables


class DeadManSwitch:
    """Between a thread that says for how long, and the driver of an engine that comes and goes. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._driver: Tables | None = None

    def connect(self, driver: Tables) -> None:
        """What is said from now on is for this driver."""
        with self._lock:
            self._driver = driver

    def disconnect(self) -> None:
        """The driver is about to end: it hears nothing after this has returned."""
        with self._lock:
            self._driver = None

    def answer_until(self, time: int) -> None:
        """Answer ARP until then (`Tables.answer_until`). Without a driver nothing is done."""
        with self._lock:
            if self._driver is not None:
                self._driver.answer_until(time)
