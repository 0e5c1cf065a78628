"""The XDP program as a decider: frames in and out through BPF_PROG_TEST_RUN, no packet on any wire.

A test run receives on the loopback interface of the namespace, index 1: a world is put with the receiving interface's
index and that one's exchanged.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

from dataplane import bpf, decision, xdpdriver
from dataplane.bpf import Map, Object
from dataplane.forwarding import Counters, Interface, Tally
from dataplane.xdptables import NAMES, KernelTables
from tests.packets.world import World

LOOPBACK = 1


class LoopbackEgress(Map):
    """`egress` with the loopback interface in every place: the world's interfaces need not exist."""

    def update(self, key: bytes, value: bytes) -> None:
        super().update(key, LOOPBACK.to_bytes(4, "little"))


class Ran(NamedTuple):
    """action: as decision.Verdict's, with "sent" for what leaves; redirected: by another interface."""

    action: str
    frame: bytes
    redirected: bool


_ACTIONS = {bpf.XDP_PASS: decision.HOST, bpf.XDP_DROP: decision.DROPPED, bpf.XDP_TX: "sent", bpf.XDP_REDIRECT: "sent"}


def expected(verdict: decision.Verdict, interface: Interface) -> Ran:
    """A verdict of the reference as a test run shows it."""
    if verdict.action in (decision.FORWARDED, decision.ANSWERED):
        return Ran("sent", verdict.frame, verdict.interface != interface.index)
    return Ran(verdict.action, b"", False)


class KernelDecider:
    """The program with maps of its own. Close it."""

    def __init__(self) -> None:
        with Object(xdpdriver.OBJECT) as loaded:
            loaded.load()
            self._maps = {name: loaded.map(name) for name in NAMES}
            self._program = loaded.program(xdpdriver.PROGRAM)
        self._maps["egress"] = LoopbackEgress(os.dup(self._maps["egress"].fd))
        self.tables = KernelTables(self._maps)

    def readopt(self) -> None:
        """Forget all that user space knows and read it from the maps."""
        self._maps = {name: type(one)(os.dup(one.fd)) for name, one in self._maps.items()}
        self.tables.close()
        self.tables = KernelTables(self._maps)

    def run(self, frame: bytes) -> Ran:
        """What the program does with a frame of at least 14 bytes."""
        ran = self._program.test_run(frame)
        action = _ACTIONS[ran.result]
        return Ran(action, ran.data if action == "sent" else b"", ran.result == bpf.XDP_REDIRECT)

    def counted(self, frame: bytes) -> tuple[Ran, Counters]:
        """A frame's run, and what it added to the counters."""
        before = self.tables.counters()
        ran = self.run(frame)
        return ran, difference(self.tables.counters(), before)

    def close(self) -> None:
        self.tables.close()
        self._program.close()


def difference(after: Counters, before: Counters) -> Counters:
    """What was added, without zeros."""
    return Counters(
        after.answered - before.answered,
        {k: n - before.dropped.get(k, 0) for k, n in after.dropped.items() if n != before.dropped.get(k, 0)},
        {k: _less(t, before.services.get(k)) for k, t in after.services.items() if t != before.services.get(k)},
        {k: _less(t, before.servers.get(k)) for k, t in after.servers.items() if t != before.servers.get(k)},
    )


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
