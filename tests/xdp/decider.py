"""The XDP program as a decider: frames in and out through BPF_PROG_TEST_RUN, no packet on any wire.

A test run receives on the loopback interface of the namespace, index 1: a world is put with the receiving interface's
index and that one's exchanged.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

from dataplane import bpf, decision, xdpdriver, xdpflows
from dataplane.bpf import Map, Object
from dataplane.flows import Flow
from dataplane.forwarding import Counters, Interface, Tally
from dataplane.xdpflows import FlowEntry
from dataplane.xdpslow import SlowPath
from dataplane.xdptables import NAMES, KernelTables
from tests.packets.world import World

LOOPBACK = 1


class LoopbackEgress(Map):
    """`egress` with the loopback interface in every place: the world's interfaces need not exist."""

    def update(self, key: bytes, value: bytes) -> None:
        super().update(key, LOOPBACK.to_bytes(4, "little"))


class Ran(NamedTuple):
    """action: as decision.Verdict's, with "sent" for what leaves; frames: what leaves; redirected: by another
    interface; slow: user space did it."""

    action: str
    frames: tuple[bytes, ...] = ()
    redirected: bool = False
    slow: bool = False


_ACTIONS = {bpf.XDP_PASS: decision.HOST, bpf.XDP_DROP: decision.DROPPED, bpf.XDP_TX: "sent", bpf.XDP_REDIRECT: "sent"}


def expected(verdict: decision.Verdict, interface: Interface) -> Ran:
    """A verdict of the reference as a test run shows it. What is more than one frame, user space sends."""
    if verdict.action in (decision.FORWARDED, decision.ANSWERED):
        return Ran("sent", verdict.frames, verdict.interface != interface.index, len(verdict.frames) > 1)
    return Ran(verdict.action)


class KernelDecider:
    """The program with maps of its own. Close it. flows: entries of `elder` and `young`."""

    def __init__(self, flows: int = 1 << 12) -> None:
        with Object(xdpdriver.OBJECT) as loaded:
            for name in ("elder", "young"):
                loaded.resize(name, flows)
            loaded.load()
            self._maps = {name: loaded.map(name) for name in NAMES}
            self._state, self._handed_over = loaded.map("data"), loaded.map(xdpdriver.SLOW)
            self._program = loaded.program(xdpdriver.PROGRAM)
        self._maps["egress"] = LoopbackEgress(os.dup(self._maps["egress"].fd))
        self._sent: list[tuple[int, bytes]] = []
        self._start()

    def _start(self) -> None:
        self.tables = KernelTables(self._maps)
        self._slow = SlowPath(Map(os.dup(self._handed_over.fd)), self.tables, lambda *sent: self._sent.append(sent))

    def readopt(self) -> None:
        """Forget all that user space knows and read it from the maps."""
        self._maps = {name: type(one)(os.dup(one.fd)) for name, one in self._maps.items()}
        self._slow.close()
        self.tables.close()
        self._start()

    def forget(self) -> None:
        """Forget all that was remembered of packets."""
        for name in ("elder", "young", "fragments"):
            for key, _ in self._maps[name].items():
                self._maps[name].delete(key)
        used = self._maps["identifications"].read(1000)
        self._maps["identifications"].write(bytes(len(used)))
        self._state.update(bytes(4), bytes(self._state.value_size))

    def remembered(self) -> tuple[dict[Flow, FlowEntry], dict[Flow, FlowEntry]]:
        """What `elder` and `young` hold."""
        elder, young = (
            {(entry := xdpflows.read(*item)).flow: entry for item in self._maps[name].items()}
            for name in ("elder", "young")
        )
        return elder, young

    def set_clock(self, now: int) -> None:
        """Nanoseconds, more than 0."""
        held = self._state.lookup(bytes(4)) or b""
        self._state.update(bytes(4), now.to_bytes(8, "little") + held[8:])

    def deafen(self) -> None:
        """Have nobody listen to what the program hands over."""
        self._slow.close()
        self._handed_over.close()

    def run(self, frame: bytes) -> Ran:
        """What the program does with a frame of at least 14 bytes."""
        ran = self._program.test_run(frame)
        action = _ACTIONS[ran.result]
        if action == "sent":
            return Ran(action, (ran.data,), ran.result == bpf.XDP_REDIRECT)
        if action != decision.DROPPED or self._handed_over.fd < 0 or not self._slow.take():
            return Ran(action)
        sent, self._sent[:] = list(self._sent), []
        if not sent:
            return Ran(decision.DROPPED, slow=True)
        return Ran("sent", tuple(frame for _, frame in sent), sent[0][0] != LOOPBACK, slow=True)

    def counted(self, frame: bytes) -> tuple[Ran, Counters]:
        """A frame's run, and what it added to the counters."""
        before = self.tables.counters()
        ran = self.run(frame)
        return ran, difference(self.tables.counters(), before)

    def close(self) -> None:
        for one in (self._slow, self.tables, self._program, self._state, self._handed_over):
            one.close()


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
