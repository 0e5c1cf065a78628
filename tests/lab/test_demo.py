"""avi-lab as people run it: a session of the shell, a real engine, real servers, and the proof."""

import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from dataplane.lab import demo, evidence, inventory, topology
from dataplane.lab.__main__ import parser
from tests.drivers import PREFERRED, REFERENCE
from tests.lab import plans
from tests.lab.test_teardown import left

APPLIANCE = """\
networkprofile> profile
networkprofile profile> tcp_fast_path_profile
networkprofile profile:tcp_fast_path_profile> dsr_profile dsr_type dsr_type_l2
networkprofile profile:dsr_profile> save
networkprofile> save
"""


def avi_lab(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dataplane.lab", *words], capture_output=True, text=True)


def called(*words: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, whose programs are forked."""
    arguments, out = parser().parse_args(words), io.StringIO()
    with redirect_stdout(out):
        status = arguments.command(arguments)
    return subprocess.CompletedProcess(words, status, out.getvalue(), "")


@pytest.mark.parametrize("example", ["l2_dsr", "l3_dsr", "udp_echo"])
def test_a_shipped_example_proves_all_its_claims(example: str, driver: str) -> None:
    name = plans.lab_name()
    started = avi_lab if example == "l2_dsr" else called
    run = started("run", example, "--driver", driver, "--requests", "50", "--name", name)
    assert run.returncode == 0, run.stdout + run.stderr
    verdicts = [line.split()[0] for line in run.stdout.splitlines() if line.startswith(("OK ", "FAILED "))]
    assert verdicts == ["OK"] * 9
    assert f"driver {driver}" in run.stdout
    if example == "l2_dsr":
        assert APPLIANCE in run.stdout.replace("[admin:10-1-1-1]: ", "")
    assert left(name) == []


@pytest.mark.parametrize(
    ("example", "claims"),
    [
        (
            "bgp_ecmp",
            {
                "the router spread the flows over all engines, each flow over one": r"flows: se1 \d+, se2 \d+, se3 \d+",
                "se2, disabled, has no VIP any more, until it is enabled: nothing is lost": ".* 0 of them unanswered.*",
                "se2 withdraws the VIP before it ends: nothing is lost": ".* 0 of them unanswered.*",
                "a change is refused while etcd agrees to nothing": ".*etcd does not answer.*",
            },
        ),
        (
            "active_standby",
            {
                "se1 is active and forwarded all, the other one nothing": r"frames: se1 \d+, se2 0",
                "se1 stands by now: nothing moves back, nothing is lost": ".* 0 of them unanswered.*",
                "se2 has se1 take over before it ends: nothing is lost": ".* 0 of them unanswered.*",
            },
        ),
    ],
)
def test_a_group_of_engines_proves_all_its_claims(example: str, claims: dict[str, str]) -> None:
    name = plans.lab_name()
    words = ("run", example, "--driver", PREFERRED, "--requests", "60", "--name", name)
    run = called(*words)
    if run.returncode and "the machine itself stood still for" in run.stdout:  # it says that this proves nothing
        run = called(*words)
    assert run.returncode == 0, run.stdout + run.stderr
    told = run.stdout.splitlines()
    found = {line[7:]: below.strip() for line, below in pairwise(told) if line.startswith(("OK ", "FAILED "))}
    assert len(found) == 16
    for claim, facts in claims.items():
        assert re.fullmatch(facts, found[claim])
    assert left(name) == []


def test_the_session_is_the_appliance_s_word_for_word() -> None:
    """Its prompts, its missing space, its two saves; the placeholder is a name."""
    session = topology.load(topology.find("l2_dsr")).session.read_text()
    printed = (
        "[admin:10-X-X-X]: > configure networkprofile dsr-l2\n"
        "[admin:10-X-X-X]: networkprofile> profile\n"
        "[admin:10-X-X-X]: networkprofile profile> tcp_fast_path_profile\n"
        "[admin:10-X-X-X]: networkprofile profile:tcp_fast_path_profile>dsr_profile dsr_type dsr_type_l2\n"
        "[admin:10-X-X-X]: networkprofile profile:dsr_profile> save\n"
        "[admin:10-X-X-X]: networkprofile> save\n"
    )
    assert printed in session


def test_what_is_up_stays_until_down() -> None:
    name = plans.lab_name()
    try:
        up = avi_lab("up", "l2_dsr", "--driver", PREFERRED, "--name", name)
        assert up.returncode == 0, up.stdout + up.stderr
        client = f"/run/netns/{inventory.PREFIX}{name}-client"
        url = "http://10.10.10.100:80/"
        assert f"nsenter --net={client} curl {url}" in up.stdout
        asked = subprocess.run(
            ["nsenter", f"--net={client}", "curl", "--silent", url], capture_output=True, text=True, check=True
        )
        assert asked.stdout in {"server1\n", "server2\n", "server3\n"}
        status = [
            sys.executable,
            "-m",
            "dataplane",
            "status",
            "--json",
            "--state",
            str(inventory.folder(name) / "state"),
        ]
        told = json.loads(subprocess.run(status, capture_output=True, check=True).stdout)
        assert [service["virtualservice"] for service in told[0]["services"]] == ["dsr-vs"]
    finally:
        down = avi_lab("down", name)
    assert (down.returncode, left(name)) == (0, [])


def test_a_session_that_is_refused_ends_the_run_with_its_fault(tmp_path: Path) -> None:
    for kind in ("toml", "avi"):
        shutil.copy(topology.EXAMPLES / f"l2_dsr.{kind}", tmp_path)
    session = tmp_path / "l2_dsr.avi"
    session.write_text(session.read_text().replace("lb_algorithm_consistent_hash\n", "lb_algorithm_round_robin\n"))
    name = plans.lab_name()
    run = avi_lab("run", str(tmp_path / "l2_dsr.toml"), "--driver", REFERENCE, "--name", name)
    assert run.returncode == 1
    assert "avi-shell refused the session" in run.stderr
    assert "consistent" in run.stderr
    assert left(name) == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("run", "nothing"), 1, "there are active_standby, bgp_ecmp, l2_dsr, l3_dsr, udp_echo"),
        (("run", "l2_dsr", "--requests", "0"), 2, "expected 1 to 40000"),
        (("run", "l2_dsr", "--driver", "ebpf"), 2, "invalid choice"),
        (("run", "l2_dsr", "--name", "a-b"), 1, "expected up to 24 lower-case letters and digits"),
        (("walk", "l2_dsr"), 2, "invalid choice"),
    ],
)
def test_what_cannot_be_run_is_refused(words: tuple[str, ...], status: int, message: str) -> None:
    run = avi_lab(*words)
    assert (run.returncode, message in run.stderr) == (status, True), run.stderr


@pytest.mark.parametrize("tunnel", [None, ("10.0.0.2", "10.0.0.11")])
def test_on_a_narrow_terminal_addresses_of_the_proof_are_whole(tunnel: tuple[str, str] | None) -> None:
    shipped = topology.load(topology.find("l2_dsr"))
    macs = shipped.client.mac, shipped.engine.mac
    first = evidence.Frame(*macs, "10.10.10.50", "10.10.10.100", 20001, 80, 64, b"")
    drawn = demo._exchange(evidence.Seen([first], [replace(first, tunnel=tunnel)], [], []), shipped, 80)
    assert max(map(len, drawn.splitlines())) <= 80
    for whole in ("client → engine", *macs, "10.10.10.50:20001", *(tunnel or ())):
        assert f" {whole} " in drawn
