"""The XDP program as a decider: frames in and out through BPF_PROG_TEST_RUN, no packet on any wire.

A test run receives on the loopback interface of the namespace, index 1: a world is put with the receiving interface's
index and that one's exchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import starmap
from typing import TypeVar

from dataplane.drivers.maps import flowentries
from dataplane.drivers.maps.flowentries import FlowEntry
from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.xdp.testrun import LOOPBACK, Ran, Trial
from dataplane.forwarding import decision
from dataplane.forwarding.handshakes import Opening, TcpFlow
from dataplane.forwarding.tracking import Flow
from dataplane.forwarding.values import Counters, HandshakeTally, Interface, Tally
from tests.packets.world import World

K = TypeVar("K")
CUTS = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 18)
"""Whether a test run takes a frame's first piece as small as it is asked to. Others fill a page."""
HEADERS = 200
"""Bytes that a first piece has at least: all that the program looks at is within."""

__all__ = ("LOOPBACK", "KernelDecider", "Ran", "difference", "expected", "received_on")


def expected(verdict: decision.Verdict, interface: Interface) -> Ran:
    """A verdict of the reference as a test run shows it. What is more than one frame, user space sends."""
    if verdict.action in (decision.FORWARDED, decision.ANSWERED):
        return Ran("sent", verdict.frames, verdict.interface != interface.index, len(verdict.frames) > 1)
    return Ran(verdict.action)


class KernelDecider(Trial):
    """The program, with all that tests want to see of its maps."""

    room = 1 << 12  # the kernel takes a tenth of a second of processor time for an engine's 131,072 counters
    _identified = False  # an outer header was since the last `forget`

    def run(self, frame: bytes, first: int = 0) -> Ran:
        """Trial.run."""
        ran = super().run(frame, first)
        self._identified |= any(map(is_tunnelled, ran.frames))
        return ran

    def readopt(self) -> None:
        """Forget all that user space knows and read it from the maps."""
        self._maps = {name: type(one)(os.dup(one.fd)) for name, one in self._maps.items()}
        self._slow.close()
        self.tables.close()
        self._start()

    def forget(self) -> None:
        """Forget all that was remembered of packets."""
        for name in ("elder", "young", "fragments", "openings"):
            for key, _ in self._maps[name].items():
                self._maps[name].delete(key)
        if self._identified:
            forget_identifications(self._maps)
            self._identified = False
        self._state.update(bytes(4), bytes(self._state.value_size))

    def remembered(self) -> tuple[dict[Flow, FlowEntry], dict[Flow, FlowEntry]]:
        """What `elder` and `young` hold."""
        elder, young = (
            {(entry := flowentries.read(*item)).flow: entry for item in self._maps[name].items()}
            for name in ("elder", "young")
        )
        return elder, young

    def openings(self) -> dict[TcpFlow, Opening]:
        """The sampled flows that were not answered yet."""
        return dict(starmap(flowentries.read_opening, self._maps["openings"].items()))

    def deafen(self) -> None:
        """Have nobody listen to what the program hands over."""
        self._slow.close()
        self._handed_over.close()

    def counted(self, frame: bytes, first: int = 0) -> tuple[Ran, Counters]:
        """A frame's run, and what it added to the counters. first: bytes in its first piece."""
        before = self.tables.counters()
        ran = self.run(frame, first)
        return ran, difference(self.tables.counters(), before)


def is_tunnelled(frame: bytes) -> bool:
    """Whether its header is an outer one: what it carries is IP-in-IP or GRE."""
    start = 18 if frame[12:14] == b"\x81\x00" else 14
    return frame[start - 2 : start] == b"\x08\x00" and frame[start + 9 : start + 10] in (b"\x04", b"\x2f")


def forget_identifications(maps: Mapping[str, HeldMap]) -> None:
    """Have the outer headers to every server be identified from the first number on."""
    taken, used = maps["identifications"], maps["used_identifications"]
    held = taken.read(taken.max_entries)
    size = len(held) // taken.max_entries
    for place in {found.start() // size for found in re.finditer(rb"[^\0]+", held)}:
        taken.update(place.to_bytes(4, "little"), bytes(size))
        used.update(place.to_bytes(4, "little"), bytes(size * used.copies))


def difference(after: Counters, before: Counters) -> Counters:
    """What was added, without zeros."""
    return Counters(
        after.answered - before.answered,
        _fewer(after.dropped, before.dropped),
        {k: _less(t, before.services.get(k)) for k, t in after.services.items() if t != before.services.get(k)},
        {k: _less(t, before.servers.get(k)) for k, t in after.servers.items() if t != before.servers.get(k)},
        {
            key: fewer
            for key, drops in after.service_drops.items()
            if (fewer := _fewer(drops, before.service_drops.get(key, {})))
        },
        _fewer_handshakes(after.service_handshakes, before.service_handshakes),
        _fewer_handshakes(after.server_handshakes, before.server_handshakes),
    )


def _fewer_handshakes(after: Mapping[K, HandshakeTally], before: Mapping[K, HandshakeTally]) -> dict[K, HandshakeTally]:
    return {k: _less_handshakes(t, before.get(k, HandshakeTally())) for k, t in after.items() if t != before.get(k)}


def _less_handshakes(after: HandshakeTally, before: HandshakeTally) -> HandshakeTally:
    return HandshakeTally(*(getattr(after, name) - getattr(before, name) for name in HandshakeTally.__slots__))


def _fewer(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {reason: n - before.get(reason, 0) for reason, n in after.items() if n != before.get(reason, 0)}


def _less(after: Tally, before: Tally | None) -> Tally:
    return after if before is None else Tally(after.packets - before.packets, after.bytes - before.bytes)


def received_on(world: World, interface: Interface) -> World:
    """The world with an interface in the loopback's place."""

    def index(old: int) -> int:
        return {interface.index: LOOPBACK, LOOPBACK: interface.index}.get(old, old)

    return replace(
        world,
        interfaces=tuple(replace(one, index=index(one.index)) for one in world.interfaces),
        pools=tuple(
            replace(
                pool,
                targets=tuple(
                    target if target.interface is None else replace(target, interface=index(target.interface))
                    for target in pool.targets
                ),
            )
            for pool in world.pools
        ),
    )
