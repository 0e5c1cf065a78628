"""A short run of the fuzzer on the decision as the forwarder has it (`make fuzz`: a million frames)."""

from pathlib import Path

from tests.dpdk import fuzz


def test_random_frames_agree(tmp_path: Path) -> None:
    done = fuzz.fuzz(tmp_path, 2000, 7, 60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2000 frames agree" in done.stdout
