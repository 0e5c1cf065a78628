"""What a server must pass, and that equal checks are one."""

import socket

import pytest

from dataplane.health.probes.check import Check
from dataplane.health.requirements import Requirement
from tests.health.monitors import monitor

VIP = socket.inet_aton("10.9.0.100")


REQUIREMENTS = [
    ("all pass", "++", 0, True),
    ("one does not", "+-", 0, False),
    ("one is not known", "+?", 0, None),
    ("one is not known, one fails", "-?", 0, False),
    ("enough pass", "+--", 1, True),
    ("enough may pass", "-?-", 1, None),
    ("too few can pass", "+--?", 3, False),
    ("more are needed than there are", "++", 9, True),
    ("of more than there are one fails", "+-", 9, False),
]


@pytest.mark.parametrize(
    ("states", "needed", "verdict"), [row[1:] for row in REQUIREMENTS], ids=[row[0] for row in REQUIREMENTS]
)
def test_min_health_monitors_up(states: str, needed: int, verdict: bool | None) -> None:
    known = [{"+": True, "-": False, "?": None}[state] for state in states]
    assert Requirement((), needed).verdict(known) is verdict


def test_equal_checks_are_one() -> None:
    one, other = (Check(VIP, b"\n\t\0\2", 80, monitor(request="x")) for _ in range(2))
    assert len({one: None, other: None}) == 1
