"""The control socket of a forwarder: requests and their answers, and events in between. One JSON datagram each."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dataplane.errors import DriverError

LARGEST = 1 << 20
PATIENCE = 20.0
"""Seconds that an answer may take: a device is made in most of them in milliseconds."""

Event = Mapping[str, Any]


class Lost(DriverError):
    """The forwarder is gone, or answers no more."""


class Control:
    """A connection. hello: what the forwarder said of itself. Raises Lost where nobody listens."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.connect(str(path))
            self.hello = self._received()
        except OSError as exc:
            self._socket.close()
            raise Lost(f"no forwarder listens on {path}: {exc.strerror or exc}") from exc
        except Lost:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For poll(2): readable while an event is there, and when the forwarder is gone."""
        return self._socket.fileno()

    @property
    def process(self) -> int:
        """The forwarder's process."""
        return int(self.hello["pid"])

    def ask(self, events: Callable[[Event], None], do: str, **fields: object) -> Mapping[str, Any]:
        """Make a request. events: gets what comes before the answer. Raises DriverError where it is refused, Lost."""
        until = time.monotonic() + PATIENCE
        try:
            self._socket.send(json.dumps({"do": do, **fields}).encode())
        except OSError as exc:
            raise Lost(f"the forwarder takes no request: {exc.strerror}") from exc
        while time.monotonic() < until:
            told = self._received()
            if "event" in told:
                events(told)
            elif "error" in told:
                raise DriverError(f"the forwarder refuses: {told['error']}")
            else:
                return dict(told["done"])
        raise Lost("the forwarder does not answer")

    def event(self) -> Event:
        """The next event. Raises Lost."""
        return self._received()

    def close(self) -> None:
        """End; the forwarder goes on."""
        self._socket.close()

    def _received(self) -> Mapping[str, Any]:
        try:
            text = self._socket.recv(LARGEST)
        except OSError as exc:
            raise Lost(f"the forwarder does not answer: {exc.strerror or exc}") from exc
        if not text:
            raise Lost("the forwarder has ended")
        told: Mapping[str, Any] = json.loads(text)
        return told
