"""Runs tcpdump on one port of a switch: it has every frame from the return of `wait` to `stop`."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

from dataplane.errors import LabError
from dataplane.lab.namespaces import Namespace, stop

PATIENCE = 30.0
LARGEST = 2048
"""Bytes kept of a frame, more than any frame here has. tcpdump's ring holds BUFFER divided by this many frames."""
BUFFER = 32768
"""Kilobytes of the ring."""


class Capture:
    """One capture. port: the interface; path: the file, written frame by frame."""

    def __init__(self, space: Namespace, port: str, path: Path, log: Path) -> None:
        self.port = port
        self.path = path
        self._log = log
        log.unlink(missing_ok=True)
        words = ["tcpdump", "-i", port, "-Z", "root", "-n", "-U", "--immediate-mode"]
        words += ["-s", str(LARGEST), "-B", str(BUFFER)]
        self._process = space.spawn([*words, "-w", str(path)], log)

    def wait(self) -> None:
        """Wait until it listens. Raises LabError with what it said when it does not."""
        deadline = time.monotonic() + PATIENCE
        while b"listening on" not in self._log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                stop(self._process)
                raise LabError(f"tcpdump on {self.port}: {self._log.read_text(errors='replace').strip()}")
            time.sleep(0.01)

    def holds(self, mark: bytes) -> bool:
        """Whether a frame with these bytes was captured."""
        return mark in self.path.read_bytes()

    def lost(self) -> int:
        """How many frames tcpdump lost, once it has ended. A capture that lost some proves nothing."""
        told = re.search(r"^(\d+) packets? dropped by kernel", self._log.read_text(errors="replace"), re.MULTILINE)
        if told is None:
            raise LabError(f"tcpdump on {self.port} did not end well: {self._log.read_text(errors='replace').strip()}")
        return int(told[1])

    def stop(self) -> None:
        """End tcpdump, which may have ended already."""
        stop(self._process, signal.SIGINT)
