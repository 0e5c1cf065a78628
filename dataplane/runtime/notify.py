"""What the process tells systemd of itself (sd_notify(3)): ready, alive, reloading, stopping.

Where nobody asked for it, nothing is told. What the process starts inherits neither the socket nor the watchdog.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """The socket that systemd gave the process; none outside a unit of `Type=notify`."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        there = os.environ if environment is None else environment
        self._address = there.pop("NOTIFY_SOCKET", "")
        limit, whose = there.pop("WATCHDOG_USEC", ""), there.pop("WATCHDOG_PID", "")
        mine = whose in ("", str(os.getpid()))
        self.alive_every = int(limit) / 2_000_000 if self._address and mine and limit.isdecimal() else None
        """Seconds between two `alive`, half of what systemd allows; None where nobody waits for it."""

    def ready(self, status: str) -> None:
        """Tell that the process does its work. status: one line for people."""
        self._tell(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Tell that the process's loop goes round."""
        self._tell("WATCHDOG=1")

    def reloading(self) -> None:
        """Tell that the process reads everything anew; `ready` follows."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the process ends."""
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            try:
                told.sendto(text.encode(), address)
            except OSError:  # whoever asked for it is gone; forwarding goes on
                pass
