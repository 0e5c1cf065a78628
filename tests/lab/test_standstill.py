"""What the machine stood still is told by a witness, and laid to nobody's charge."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from dataplane.lab.requests import Answer
from dataplane.lab.standstill import Witness
from dataplane.lab.steady import Steady
from tests.polling import until

WITNESS = """
import sys, time
from dataplane.lab.standstill import Witness
with Witness() as machine:
    begun = time.monotonic()
    print("ready", flush=True)
    sys.stdin.readline()
    print(machine.stood(begun), machine.stood(begun, begun), flush=True)
"""
STOOD = 0.7
"""Seconds for which a process stands still."""


def test_a_standstill_is_seen_also_before_anybody_else_wakes() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WITNESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as a:
        assert a.stdin is not None
        assert a.stdout is not None
        assert a.stdout.readline() == "ready\n"
        a.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        print(file=a.stdin, flush=True)
        until(lambda: time.monotonic() > stopped + STOOD)
        a.send_signal(signal.SIGCONT)
        during, before = map(float, a.stdout.readline().split())
    assert during >= STOOD - 0.1
    assert before == 0.0


def test_of_processors_that_stand_still_at_once_the_time_counts_once() -> None:
    machine = Witness()
    machine._late = [(1.0, 2.0), (1.5, 3.0), (4.0, 5.0), (4.2, 4.5)]
    assert machine.stood(0.0, 10.0) == pytest.approx(3.0)
    assert machine.stood(1.8, 4.5) == pytest.approx(1.7)
    assert machine.stood(3.0, 4.0) == 0.0
    machine._looked = dict.fromkeys(os.sched_getaffinity(0), time.monotonic() - 20)
    assert machine.stood(time.monotonic() - 10) == pytest.approx(10.0, abs=1.0), "none has woken yet"


def test_an_answer_is_as_slow_as_it_was_but_for_the_standstill() -> None:
    lab: Any = None
    steady = Steady(lab)
    steady.answers = [Answer(1, "a", "", 10.0, 0.2), Answer(2, "b", "", 20.0, 1.7)]
    assert steady.slowest == 1.7
    steady._machine._late = [(20.1, 21.6)]
    assert steady.slowest == pytest.approx(0.2)
