"""A dead man's switch for ARP: whatever forwards on without this process answers ARP for its VIPs only for a limited
time."""

from __future__ import annotations

import threading

from dataplane.forwarding.driver import Tables


class DeadManSwitch:
    """Between the thread that sets the time and an engine's driver, which comes and goes. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._driver: Tables | None = None

    def connect(self, driver: Tables) -> None:
        """Set the times on this driver from now on."""
        with self._lock:
            self._driver = driver

    def disconnect(self) -> None:
        """The driver is about to end. It is not called after this has returned."""
        with self._lock:
            self._driver = None

    def answer_until(self, time: int) -> None:
        """Answer ARP until then (`Tables.answer_until`). Without a driver nothing is done."""
        with self._lock:
            if self._driver is not None:
                self._driver.answer_until(time)
