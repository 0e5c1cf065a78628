"""What commits say of themselves before they are stored: at a terminal, with `--impact`, and by `show impact`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.replanned import Replanned
from avi_shell.errors import Refused
from avi_shell.output.result import Part
from avi_shell.session.session import Session
from avi_shell.views import impact
from avi_shell.views.gathering import Engines, Reports

from .conftest import VIRTUAL_SERVICE, Run

GROW = ("configure pool p1", "servers ip 10.1.1.11 port 80", "save")


def served(session: Session) -> Session:
    for line in VIRTUAL_SERVICE.splitlines():
        assert session.run(line).ok
    return session


def test_an_edit_says_what_its_save_would_do_and_stores_nothing(session: Session) -> None:
    version = served(session).configuration.version()
    for line in GROW:
        session.run(line)
    told = session.run("show impact")
    (pool,) = told.data["pools"]
    assert (pool["begin"], 0 < pool["moved"] < pool["slots"]) == (("10.1.1.11",), True)
    assert "10.1.1.11 begins to receive. Connections that exist stay with their servers." in told.notices[0]
    assert "No service engine that forwards it answered" in told.notices[0]
    assert session.configuration.version() == version
    saved = session.run("save")
    assert (saved.ok, saved.foretold, saved.impact) == (True, "", None)  # nobody asked for it


def test_a_session_says_what_its_commit_would_do(session: Session) -> None:
    served(session)
    assert isinstance(session.run("show impact").error, Refused)
    for line in ("configure session", *GROW, "save"):
        session.run(line)
    session.foresees = True
    told = session.run("show impact")
    assert told.data["pools"][0]["begin"] == ("10.1.1.11",)
    assert session.run("configure tenant t1").impact is None
    assert session.run("save").impact is None  # it is stored nowhere yet
    assert session.run("commit session").impact == told.data
    assert session.run("delete virtualservice vs1").foretold.startswith("VIP 10.1.1.100 vanishes. Pool p1 is not used")
    session.run("configure tenant t2")
    assert session.run("save").impact is None
    session.run("configure pool p1")
    assert session.run("show impact").notices == ["Nothing that is forwarded would change."]


def test_who_is_asked_knows_what_it_does_before_the_answer(session: Session, tmp_path: Path) -> None:
    before = served(session).configuration.version()
    for line in (*GROW, "save"):
        session.run(line)
    session.foresees, heard = True, []

    def ask(told: Sequence[Part], question: str) -> bool:
        heard.append(str(told[-1]))
        return "yes" in answers.pop()

    session.ask = ask
    (tmp_path / "small.avi").write_text("configure pool p1\nservers ip 10.1.1.12 port 80\nsave\nsave\n")
    for line, effect in (
        (f"rollback {before}", "10.1.1.11 stops"),
        (f"load merge {tmp_path}/small.avi", "10.1.1.12 begins"),
    ):
        answers = ["yes", "no"]
        version = session.configuration.version()
        assert session.run(line).committed is None
        done = session.run(line)
        assert (done.error, done.committed, done.foretold) == (None, version + 1, ""), "it is told once"
        assert [effect in one for one in heard] == [True, True], heard
        heard.clear()
    session.run("configure pool p1 no enabled")
    assert session.run("save").foretold.startswith("Pool p1: ")


def test_what_would_be_refused_is(session: Session) -> None:
    for line in (*VIRTUAL_SERVICE.splitlines(), "configure pool p1 lb_algorithm lb_algorithm_round_robin"):
        session.run(line)
    refused = session.run("show impact").error
    assert refused is not None
    assert str(refused) == str(session.run("save").error)


def test_programs_ask_for_it_and_people_need_not(shell: Run, terminal: Any) -> None:
    done = shell("--impact", "-f", "-", stdin=VIRTUAL_SERVICE)
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "impact" in line]
    assert line.startswith("avi-shell: impact: VIP 10.1.1.100 appears. Pool p1 is new: 10.1.1.10 begins to receive.")
    lines = ("-c", "configure pool p1 no enabled", "-c", "save")
    for options, has in ((("--json", "--impact"), True), (("--json",), False)):
        told = json.loads(shell(*options, *lines).stdout.splitlines()[-1])
        assert ("impact" in told) == has
        shell("-c", "configure pool p1 enabled", "-c", "save")
    at = terminal()
    at.sendline("configure pool p1 no enabled")
    at.sendline("save")
    at.expect("Impact: Pool p1: 65,537 of 65,537 slots \\(100 %\\) move; 10.1.1.10 stops to receive.")
    at.expect("\\| name ")
    at.sendline("exit")
    assert at.finish() == 0


class Asked(Engines):
    """Engines of which one is silent."""

    def __init__(self) -> None:
        super().__init__(Configuration.in_memory(), Path("/state"))

    def answers(self, request: str, only: str = "", seconds: float = 0.0, **arguments: Any) -> Reports:
        assert (request, seconds) == ("impact", 0.3)
        up = {"10.1.1.100": [server for _, _, server in arguments["servers"]]}
        made = Reports(
            [
                {
                    "name": "se-1",
                    "pools": dict.fromkeys(arguments["pools"], up),
                    "flows": {},
                    "servers": [[*one, False, ""] for one in arguments["servers"]],
                }
            ]
        )
        made.silent = {"se-2": "Service engine se-2 does not answer within 0.3 s"}
        return made


def test_the_engines_have_one_deadline_and_who_is_silent_is_named(session: Session) -> None:
    for line in VIRTUAL_SERVICE.splitlines():
        session.run(line)
    with session.configuration.snapshot() as store:
        services = {key: one for key, one in store.whole_plan().services.items() if one is not None}
    told, data = impact.foretold(Asked(), Replanned({}, services))
    assert "10.1.1.10 is not prepared for VIP 10.1.1.100 by layer 2; prepare first: show pool p1 server-setup." in told
    assert told.endswith("Service engine se-2 does not answer within 0.3 s.")
    assert data is not None
    assert (data["service_engines"], list(data["silent"])) == (["se-1"], ["se-2"])
    assert impact.foretold(Asked(), Replanned(services, services)) == ("", None)
