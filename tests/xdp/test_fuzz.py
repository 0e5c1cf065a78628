"""A short differential run; `python -m tests.xdp.fuzz` is the long one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dataplane.forwarding import decision
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.handshakes import ANSWERED, ANSWERED_LATE, BEGUN, UNANSWERED
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flows

from . import checked
from .frames import random_frame
from .fuzz import Fuzz
from .worlds import random_world


@pytest.mark.root
@pytest.mark.parametrize("seed", [1, 2])
def test_program_and_reference_agree(seed: int) -> None:
    fuzz = Fuzz(seed)
    try:
        fuzz.run(frames=12_000, seconds=120)
    finally:
        fuzz.close()
    assert fuzz.frames >= 12_000
    assert {"", BEGUN, ANSWERED, ANSWERED_LATE, UNANSWERED} == fuzz.told


def test_no_access_is_beyond_a_frame_and_nothing_is_undefined(tmp_path: Path) -> None:
    done = checked.fuzz(tmp_path, frames=2000, seed=1, seconds=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2000 frames agree (native)" in done.stdout


@pytest.mark.root
def test_the_frames_reach_every_step() -> None:
    fuzz = Fuzz(0)
    seen: Counter[str] = Counter()
    try:
        for _ in range(40):
            world = random_world(fuzz.random)
            values, flows = LookupTables(), Flows()
            world.put(values)
            for _ in range(400):
                verdict = decision.decide(random_frame(fuzz.random, world), world.interfaces[0], values, flows)
                seen[verdict.reason or verdict.action] += 1
    finally:
        fuzz.close()
    never = {"too_big_rate_limited", "transmit_failed"}  # the one for want of a clock, the other is not the decision's
    assert {decision.HOST, decision.ANSWERED, decision.FORWARDED, *DROP_REASONS} - never <= seen.keys()
    assert seen[decision.FORWARDED] > seen.total() / 10
