"""What a server must pass, and that equal checks are one."""

import socket
from dataclasses import replace

import pytest

from dataplane import plan
from dataplane.health.probes.check import Check
from dataplane.health.requirements import Requirement, Requirements
from tests.dataplane.test_plan import SERVICE
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


MONITORED = replace(SERVICE, monitors=(plan.Monitor("m", plan.MONITOR_TCP),))


def changed(**fields: object) -> plan.Service:
    """The service with other settings of its monitor."""
    return replace(MONITORED, monitors=(replace(MONITORED.monitors[0], **fields),))  # type: ignore[arg-type]


CHANGES = [
    ("another setting", changed(failed_checks=7), {True}),
    (
        "one monitor more",
        replace(MONITORED, monitors=(*MONITORED.monitors, plan.Monitor("p", plan.MONITOR_PING))),
        {True},
    ),
    ("another port", changed(port=8080), {None}),
    ("another VIP", replace(MONITORED, vip="10.0.0.77"), {None}),
    ("another path", replace(MONITORED, mode="ipip"), {None}),
    ("another server", replace(MONITORED, servers=(plan.Server("10.0.0.98", 80),)), {None}),
    ("no monitor before", changed(failed_checks=7), {None}),
]


@pytest.mark.parametrize(("what", "after", "believed"), CHANGES, ids=[row[0] for row in CHANGES])
@pytest.mark.parametrize("was_up", [True, False])
def test_a_server_that_was_up_stays_up_until_its_changed_checks_have_found_something(
    what: str, after: plan.Service, believed: set[bool | None], was_up: bool
) -> None:
    required = Requirements()
    before = replace(MONITORED, monitors=()) if what == "no monitor before" else MONITORED
    assert set(required.follow("p", [before]).new.values()) <= {None}
    new = required.follow("p", [after], lambda requirements: was_up).new
    assert set(new.values()) == (believed if was_up else {None})
