"""What the XDP program itself costs a frame, without any wire: BPF_PROG_TEST_RUN beside an empty program."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from dataplane.bpf import Program
from dataplane.forwarding import Interface
from tests.packets.cases import frame, udp
from tests.packets.world import mac
from tests.xdp.decider import KernelDecider

from .measure import Effort, Samples
from .xdp import REPEAT, put

RUNS = 60
"""Of one round, of which the fastest counts: so short that most are not interrupted."""


def frame_cost(effort: Effort) -> Iterator[Samples]:
    """Line "L2": nanoseconds of one 64-byte frame, those of an empty program taken off."""
    decider = KernelDecider()
    runs, repeat = effort.times(RUNS, 3), effort.times(REPEAT, 2000)
    try:
        first, second = Interface(1, "lo", mac(1), 1500), Interface(2, "other", mac(2), 1500)
        put(decider.tables, first, second, lambda _: first.mac)  # so that the frame that leaves could come in again
        sent = frame(udp(data=bytes(18)), dst=first.mac)
        assert decider.run(sent).redirected
        own = decider._program
        with empty() as nothing:
            pairs = [
                [min(program.test_run(sent, repeat=repeat).duration for _ in range(runs)) for program in (own, nothing)]
                for _ in range(effort.rounds)
            ]
    finally:
        decider.close()
    note = f"whole: {min(ours for ours, _ in pairs)} ns; the same frame again and again"
    yield Samples("L2", "ns", [max(ours - without, 1) for ours, without in pairs], note=note)


def empty() -> Program:
    """`return XDP_TX`."""
    code = ((0xB7, 0, 3), (0x95, 0, 0))
    return Program.load("empty", b"".join(struct.pack("<BBhi", op, register, 0, value) for op, register, value in code))
