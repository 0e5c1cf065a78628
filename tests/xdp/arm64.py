"""The native decision compiled for Arm, run by an emulator, on maps that this process writes: packet table and fuzzer.

It shows that the source does the same there, and finds the same structures in the maps. It cannot show the order in
which another processor sees stores: the emulator keeps this one's.

python -m tests.xdp.arm64 [--frames N] [--seed X]
"""

from __future__ import annotations

import argparse
import random
import struct
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from dataplane.forwarding.handshakes import SAMPLED_BELOW
from dataplane.native.decision.library import FOLDER
from dataplane.native.decision.worker import HEADROOM, SLOW, SLOW_FRAME_SIZE, Decided
from tests.packets.cases import CASES
from tests.packets.world import WORLD

from .decider import received_on
from .fuzz import Fuzz, Mismatch
from .nativedecider import NativeDecider
from .test_packets import test_case

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
_ASKED, _TOLD = struct.Struct("=QIIII"), struct.Struct("=III")
_NO_TIME = 1
"""Nanoseconds: the decision would ask the clock at 0."""


class RemoteWorker:
    """A Worker in an emulated process."""

    def __init__(self, program: Path, folder: Path, *, listens: bool = True) -> None:
        words = [EMULATOR, str(program), str(folder), str(int(listens))]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def sample(self, below: int) -> None:
        """Worker.sample."""
        self._write(_ASKED.pack(0, below, 0, 0, 0))

    def decide(self, frame: bytes, interface: int, now: int = 0) -> Decided:
        """Worker.decide."""
        self._write(_ASKED.pack(now or _NO_TIME, len(frame), interface, HEADROOM, 0) + frame)
        verdict, length, egress = _TOLD.unpack(self._read(_TOLD.size))
        return Decided(verdict, self._read(length + (SLOW_FRAME_SIZE if verdict == SLOW else 0)), egress)

    def end(self) -> None:
        """Worker.end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        found = self._process.stdout.read(size)
        if len(found) != size:
            raise RuntimeError(f"the emulated process ended with {self._process.wait()}")
        return found


class EmulatedDecider(NativeDecider):
    """The native decision in an emulated process."""

    def __init__(self, program: Path, flows: int = 1 << 12, sampled_below: int = SAMPLED_BELOW) -> None:
        self._program, self._held = program, tempfile.TemporaryDirectory()
        super().__init__(flows, sampled_below, folder=Path(self._held.name))

    def _made_worker(self, *, listens: bool = True) -> RemoteWorker:
        return RemoteWorker(self._program, Path(self._held.name), listens=listens)

    def close(self) -> None:
        """End."""
        super().close()
        self._held.cleanup()


def build(folder: Path) -> Path:
    """The program that decides. Raises CalledProcessError."""
    program = folder / "decideserver"
    sources = [Path(__file__).with_name("decideserver.c"), FOLDER / "native.c"]
    options = ["-O2", "-std=gnu11", "-fno-strict-aliasing", "-static", f"-I{FOLDER / 'kernel'}", "-w"]
    subprocess.run([COMPILER, *options, *sources, "-o", program], check=True)
    return program


def packet_table(make: partial[EmulatedDecider]) -> int:
    """Every case. Returns how many. Raises AssertionError."""
    deciders = {interface.index: make() for interface in WORLD.interfaces}
    try:
        for interface in WORLD.interfaces:
            received_on(WORLD, interface).put(deciders[interface.index].tables)
        for row in CASES:
            test_case(row, dict(deciders))
    finally:
        for decider in deciders.values():
            decider.close()
    return len(CASES)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.xdp.arm64", description=__doc__.split("\n\n")[0])
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make = partial(EmulatedDecider, build(Path(folder)))
        print(f"{packet_table(make)} packets of the table agree", flush=True)
        print(f"seed {options.seed}", flush=True)
        fuzz = Fuzz(options.seed, {"arm64": make})
        try:
            fuzz.run(options.frames, 3600)
        except Mismatch as exc:
            print(exc, file=sys.stderr)
            return 1
        finally:
            fuzz.close()
        print(f"{fuzz.frames} frames agree (arm64, emulated)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
