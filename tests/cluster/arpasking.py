"""Asks a segment for VIPs again and again, as clients whose caches have run out, and notes who answers each time."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from dataplane.lab.standstill import Witness
from dataplane.vip import arp
from tests.netns import Namespace

EVERY = 0.05
"""Seconds between two requests for a VIP; answers are waited for as long."""
GAP = 2 * EVERY + 0.5
"""Seconds without an answer that a VIP may cost whose engine hands it over, on a machine full of tests; one that others
find dead costs a second."""
SILENCE = 2.0
"""Seconds without heartbeats after which the engines of most tests are taken for dead: twice the usual, as one process
may be given no processor for a second."""


class Asking:
    """`with Asking(namespace, vips) as asking: …`, on the namespace's eth0."""

    def __init__(self, there: Namespace, vips: Iterable[str]) -> None:
        self._vips = [socket.inet_aton(vip) for vip in vips]
        _, self._mac = there.link("eth0")
        self._wire = there.run(self._opened)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._machine = Witness()
        self.rounds: list[tuple[float, dict[bytes, frozenset[bytes]]]] = []  # when, and by VIP who answered

    def __enter__(self) -> Asking:
        self._machine.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._thread.join()
        self._machine.__exit__()
        self._wire.close()

    def answering(self, vip: str) -> frozenset[bytes]:
        """The MAC addresses that answered last."""
        return self.rounds[-1][1].get(socket.inet_aton(vip), frozenset()) if self.rounds else frozenset()

    def last(self, vip: str, rounds: int) -> list[frozenset[bytes]]:
        """Who answered in each of the last rounds."""
        return [answers.get(socket.inet_aton(vip), frozenset()) for _, answers in self.rounds[-rounds:]]

    def longest(self, vip: str, count: int) -> float:
        """The longest time, in seconds, in which so many answered for a VIP: 0, or 2 for two and more. What the machine
        stood still is no part of it."""
        address, longest, begun = socket.inet_aton(vip), 0.0, 0.0
        for when, answers in self.rounds:
            number = min(2, len(answers.get(address, ())))
            begun = (begun or when) if number == count else 0.0
            if begun and (took := when + EVERY - begun) > longest:
                longest = max(longest, EVERY, took - self._machine.stood(begun, when + EVERY))
        return longest

    def late(self, begun: float, ended: float | None = None) -> float:
        """Seconds that a death between two times (of time.monotonic; now is the later one by default) may take longer
        than its heartbeats say: those that the machine stood still, and once more those of the heartbeats, as engines
        that stood still give all others their full time again."""
        stood = self._machine.stood(begun, ended)
        return stood + SILENCE if stood else 0.0

    def first(self, vip: str, mac: bytes, after: float) -> float | None:
        """When somebody answered first after a time (of time.monotonic)."""
        address = socket.inet_aton(vip)
        return next((when for when, answers in self.rounds if when > after and mac in answers.get(address, ())), None)

    def _opened(self) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        made.bind(("eth0", arp.ETH_P_ARP))
        return made

    def _ask(self) -> None:
        while not self._ending.is_set():
            when, answers = time.monotonic(), dict[bytes, set[bytes]]()
            for vip in self._vips:
                with suppress(OSError):
                    self._wire.send(arp.request(self._mac, arp.NOBODY, vip))
            while (left := when + EVERY - time.monotonic()) > 0:
                if not select.select([self._wire], [], [], left)[0]:
                    break
                with suppress(OSError):
                    frame, (_, _, kind, _, _) = self._wire.recvfrom(128)
                    packet = arp.parse(frame) if kind != socket.PACKET_OUTGOING else None
                    if packet is not None and packet.operation == arp.REPLY and packet.target == arp.NOBODY:
                        answers.setdefault(packet.sender, set()).add(packet.mac)
            self.rounds.append((when, {vip: frozenset(macs) for vip, macs in answers.items()}))
