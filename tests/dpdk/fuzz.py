"""The fuzzer on the decision as the DPDK driver's forwarder has it: built by the forwarder's compiler and flags.

python -m tests.dpdk.fuzz [--frames N] [--seconds S] [--seed X]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from dataplane.drivers.dpdk import program

FORWARDER = Path(program.__file__).parent / "forwarder"


def fuzz(folder: Path, frames: int, seed: int, seconds: float) -> subprocess.CompletedProcess[str]:
    """Build the decision in a folder and run the fuzzer on it."""
    subprocess.run(["make", "-s", "-C", FORWARDER, "decision", f"OUT={folder}"], check=True)
    words = ["--frames", str(frames), "--seconds", str(seconds), "--seed", str(seed), "--decider", "native"]
    return subprocess.run(
        [sys.executable, "-m", "tests.xdp.fuzz", *words, "--library", folder / "decision.so"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.dpdk.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = fuzz(Path(folder), options.frames, options.seed, options.seconds)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
