"""Traffic to the VIPs while something happens to the engines: connections that are held, and numbered datagrams."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from tests.netns import Namespace
from tests.polling import until

FLOWS = 32
"""Of datagrams, to each VIP."""
FIRST_PORT = 10_000
PATIENCE = 40.0
"""Seconds for which a connection may stall: it is not broken then."""
LATE = 20
"""Tenths of a second in which nothing comes back, and nothing will: a busy machine may take as long."""
ROUND = 0.5
"""Seconds between two words on a connection."""


class Held:
    """Connections from a namespace to each VIP, of which every one echoes a line, round after round."""

    def __init__(self, here: Namespace, vips: Sequence[str], port: int) -> None:
        self._here, self._vips, self._port = here, vips, port
        self._holders: list[subprocess.Popen[str]] = []
        self._next = FIRST_PORT
        self.count = 0
        self.broken: list[str] = []
        """What broke those that do not come back."""

    def open(self, count: int) -> None:
        """Have so many be held to each VIP, and none of before."""
        self.close()
        for vip in self._vips:
            holder = _holder(self._here, vip, self._port)
            self._holders.append(holder)
            _say(holder, "open", self._next, count)
            self._next += count
        found = [server for holder in self._holders for server in _heard(holder)]
        refused = [server for server in found if server.startswith("!")]
        assert not refused, f"{len(refused)} of {len(found)} connections: {refused[:3]}"
        self.count, self.broken = len(found), []

    def ping(self) -> None:
        """Say a line on each, and hear its echo."""
        for holder in self._holders:
            _say(holder, "ping")
        found = [server for holder in self._holders for server in _heard(holder)]
        self.broken = [server.removeprefix("!") for server in found if server.startswith("!")]

    def close(self) -> None:
        """Hold none."""
        for holder in self._holders:
            with holder:
                holder.terminate()
        self._holders.clear()


class Datagrams:
    """Numbered datagrams of several flows to each VIP, which servers send back past the engines."""

    def __init__(self, here: Namespace, vips: Sequence[str], port: int, interval: float) -> None:
        self.sent, self.back = 0, set[int]()
        self._ending, self._all_sent, self._interval = False, False, interval
        self._flows = [(vip, port) for vip in vips for _ in range(FLOWS)]
        self._sockets = here.run(lambda: [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in self._flows])
        self._threads = [threading.Thread(target=job, daemon=True) for job in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    @property
    def lost(self) -> int:
        """How many did not come back, of those that were sent until the end."""
        return self.sent - len(self.back)

    def flow(self, datagrams: int = 200) -> None:
        """Wait until so many more came back."""
        wanted = len(self.back) + datagrams
        until(lambda: len(self.back) >= wanted, lambda: f"{len(self.back)} of {self.sent} came back", 40)

    def end(self) -> None:
        """Send no more, and wait for the last ones."""
        self._ending = True
        self._threads[0].join()
        self._all_sent = True
        self._threads[1].join()
        for one in self._sockets:
            one.close()

    def _send(self) -> None:
        while not self._ending:
            flow = self.sent % len(self._flows)
            with suppress(OSError):  # an ICMP error of a moment without a route
                self._sockets[flow].sendto(b"%d" % self.sent, self._flows[flow])
            self.sent += 1
            time.sleep(self._interval)

    def _receive(self) -> None:
        idle = 0
        with selectors.DefaultSelector() as waiting:
            for one in self._sockets:
                waiting.register(one, selectors.EVENT_READ)
            while not self._all_sent or (self.lost and idle < LATE):
                ready = waiting.select(0.1)
                idle = 0 if ready or not self._all_sent else idle + 1
                for key, _ in ready:
                    with suppress(OSError):
                        self.back.add(int(key.fileobj.recv(64).split()[1]))  # type: ignore[union-attr]


class Traffic:
    """Datagrams, and words on the connections that are held, all the while. interval: seconds between two datagrams."""

    def __init__(self, here: Namespace, vips: Sequence[str], port: int, held: Held, interval: float) -> None:
        self._held, self._ending = held, threading.Event()
        self._datagrams = Datagrams(here, vips, port, interval)
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many datagrams did not come back."""
        return self._datagrams.lost

    @property
    def sent(self) -> int:
        """How many datagrams there were."""
        return self._datagrams.sent

    def flow(self) -> None:
        """Wait until everybody was answered meanwhile."""
        self._datagrams.flow()

    def end(self) -> None:
        """Send no more; what is held is heard once more."""
        self._datagrams.end()
        self._ending.set()
        self._thread.join()
        self._held.ping()

    def _talk(self) -> None:
        while not self._ending.wait(ROUND):
            self._held.ping()


def _holder(here: Namespace, vip: str, port: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.lab.holder", vip, str(port), str(PATIENCE)]
    argv = ["nsenter", f"--net={here.path}", *words]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _say(holder: subprocess.Popen[str], *words: object) -> None:
    assert holder.stdin is not None
    print(*words, file=holder.stdin, flush=True)


def _heard(holder: subprocess.Popen[str]) -> list[str]:
    assert holder.stdout is not None
    return list(json.loads(holder.stdout.readline()).values())
