"""The fuzzer on the decision as the DPDK driver's forwarder has it: built by the forwarder's compiler and flags.

python -m tests.dpdk.fuzz [--frames N] [--seconds S] [--seed X]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dataplane.drivers.dpdk import program
from tests.xdp import checked

FORWARDER = Path(program.__file__).parent / "forwarder"


def fuzz(folder: Path, frames: int, seed: int, seconds: float) -> subprocess.CompletedProcess[str]:
    """Build the decision in a folder and run the fuzzer on it."""
    subprocess.run(["make", "-s", "-C", FORWARDER, "decision", f"OUT={folder}"], check=True)
    words = ["--frames", str(frames), "--seconds", str(seconds), "--seed", str(seed), "--decider", "native"]
    return subprocess.run(
        [sys.executable, "-m", "tests.xdp.fuzz", *words, "--library", folder / "decision.so"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(checked.run("tests.dpdk.fuzz", __doc__.split("\n")[0], fuzz, 1_000_000))
