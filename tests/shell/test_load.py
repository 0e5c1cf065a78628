"""`load merge` and `load replace`: files of lines and exports, as one commit that is told first, or nothing of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import InvalidFile
from avi_shell.output import render
from avi_shell.session.session import Session
from tests.configuration.test_history import export, rows

from .conftest import VIRTUAL_SERVICE
from .test_transaction import refused, type_

LINES = VIRTUAL_SERVICE.splitlines()
OTHERS = """\
configure tenant t1
save
switchto tenant t1
configure pool p1 description "another tenant's"
save
switchto tenant admin
configure cloud c2
save
switchto cloud c2
configure pool p1 description "another cloud's"
save
switchto cloud *
configure networkprofile System-TCP-Fast-Path profile tcp_fast_path_profile session_idle_timeout 60
save
save
""".splitlines()
"""A tenant and a cloud with objects of the same name, and a default object with another value."""


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(*lines: str, name: str = "file") -> str:
        path = tmp_path / name
        path.write_text("\n".join(lines))
        return str(path)

    return write


def faults(session: Session, line: str) -> list[tuple[str, str]]:
    """Place and sentence of every fault of a line that is refused."""
    error = session.run(line).error
    assert isinstance(error, InvalidFile)
    return [(fault.path.rpartition("/")[2], render.message(fault)) for fault in error.faults]


def text(configuration: Configuration) -> list[str]:
    return transfer.running_config(configuration, "*")


def test_a_file_of_lines_is_one_commit_told_first(session: Session, file: Callable[..., str]) -> None:
    type_(session, "configure pool p1", "save", "configure pool p2", "save")
    told = type_(session, f"load merge {file(*LINES)}")
    objects = [row.split()[1:3] for row in told if row.startswith("| ")]
    assert objects[1:3] == [["NetworkProfile", "dsr"], ["Pool", "p1"]]
    assert "Successfully loaded" in told[-2]
    assert session.configuration.names("pool", "*") == ["p1", "p2"]
    last = session.configuration.history()[-1]
    assert (last.number, last.action) == (3, "load")


def test_what_is_there_already_makes_no_commit(session: Session, file: Callable[..., str]) -> None:
    type_(session, *LINES, *OTHERS)
    before = rows(session.configuration)
    for how in ("merge", "replace"):
        told = type_(session, f"load {how} {file(*text(session.configuration))}")
        assert told[0].endswith("already; nothing was changed.")
    assert rows(session.configuration) == before


def test_the_session_of_the_document_run_twice_is_run_once(session: Session) -> None:
    path = Path(__file__).parents[2] / "examples" / "l2_dsr.avi"
    for line in path.read_text().splitlines():
        assert session.run(line).error is None
    told = session.run(f"load merge {path}").parts
    assert told == [f"The configuration has all of {path} already; nothing was changed."]


@pytest.mark.parametrize("as_json", [True, False])
def test_replace_makes_what_an_empty_shell_makes_of_the_file(
    session: Session, file: Callable[..., str], as_json: bool, tmp_path: Path
) -> None:
    source = Session(Configuration.in_memory(), tmp_path)
    type_(source, *LINES, *OTHERS)
    whole = transfer.dumps(transfer.export(source.configuration)) if as_json else "\n".join(text(source.configuration))
    path = file(whole)
    for new in ("pool p1 description old", "pool gone", "tenant t9"):
        type_(session, f"configure {new}", "save")
    kept = session.configuration.find("pool", "p1", "admin")
    assert kept is not None
    type_(session, f"load replace {path}")
    assert text(session.configuration) == text(source.configuration)
    now = session.configuration.find("pool", "p1", "admin", "Default-Cloud")
    assert now is not None
    assert now["uuid"] == kept["uuid"]
    type_(session, f"load replace {file('# nothing')}")
    assert text(session.configuration) == []
    type_(session, "rollback 4")
    assert text(session.configuration) == text(source.configuration)


@pytest.mark.parametrize("how", ["merge", "replace"])
def test_an_export_is_loaded_with_the_notices_of_an_import(
    session: Session, file: Callable[..., str], how: str
) -> None:
    pool = {"name": "p1", "lb_algorithm": 1, "descripton": "a"}
    pool["servers"] = [{"ip": {"addr": "10.1.1.1", "type": "V4"}, "ratoi": 2}]
    path = file(json.dumps({"Pool": [pool], "WafPolicy": [{"name": "w"}]}))
    told = type_(session, f"load {how} {path}")
    imported = type_(Session(Configuration.in_memory(), session.directory), f"import configuration file {path}")
    noticed = [line for line in imported if "no field" in line or "without effect here" in line or "lb_alg" in line]
    assert [line.partition("; did you mean")[2] for line in noticed if "no field" in line] == [
        " description?",
        " ratio?",
    ]
    assert len(noticed) == 4
    assert told[:4] == noticed


def test_what_lines_cannot_say_stays(session: Session, file: Callable[..., str]) -> None:
    pool = {"name": "p1", "servers": [{"ip": {"addr": "10.1.1.1", "type": "V4"}, "nw_ref": "x"}], "created_by": "me"}
    peer = {"peer_ip": {"addr": "10.1.1.2", "type": "V4"}, "remote_as": 1, "md5_secret": "s"}
    vrf = {"name": "v2", "bgp_profile": {"local_as": 1, "ibgp": True, "peers": [peer]}}
    transfer.import_(session.configuration, {"Pool": [pool], "VrfContext": [vrf], "WafPolicy": [{"name": "w"}]})
    before = export(session.configuration)
    lines = type_(session, "show running_config")
    type_(session, "configure pool p2", "save", "configure pool p1 no enabled", "save")
    with pytest.raises(AssertionError):
        assert export(session.configuration) == before
    assert any("<sensitive>" in line for line in lines)
    type_(session, f"load merge {file(*lines)}", "delete pool p2", "configure pool p1 enabled", "save")
    assert export(session.configuration) == before
    type_(session, "configure pool p1 no enabled", "save", f"load replace {file(*lines)}")
    assert export(session.configuration) == before
    type_(session, "delete vrfcontext v2")
    assert faults(session, f"load merge {file(*lines)}")[0][1] == (
        "VrfContext v2: <sensitive> stands for a secret, and none is stored; the secret itself"
    )


class TestFaults:
    """All of a file at once, each at its line; nothing is changed."""

    def test_lines(self, session: Session, file: Callable[..., str]) -> None:
        type_(session, *LINES)
        before = rows(session.configuration)
        path = file(
            "configure pool p2 lb_algorithm nonsense",
            "servers ip 10.1.1.10 port 80",
            "save",
            "save",
            "configure virtualservice vs2 vsvip_ref v1 pool_ref p2",
            "services port 80",
            "save",
            "save",
            "configure pool p4",
            "servers ip 10.1.1.10 port 99999",
            "save",
            "configure vsvip v3",
            "vip ip_address 10.1.1.100",
            "save",
            "save",
            "configure virtualservice vs3 vsvip_ref v1",
            "pool_ref p2",
            "services port 80",
            "save",
            "save",
            "delete pool p2",
            "delete pool nosuch",
            '"never ends',
            "configure networkprofile n",
            '"nor does this',
            "cancel",
            "configure networkprofile np",
            "save",
            "configure virtualservice vs4 network_profile_ref np",
            "save",
            "configure pool p9",
        )
        found = faults(session, f"load merge {path}")
        assert [place for place, _ in found] == [f"file:{n}" for n in (1, 10, 22, 23, 25, 28, 31)]
        assert found[2][1] == "there is no pool 'nosuch' in tenant admin"
        assert found[3][1].startswith("a double quote opens here and does not close")
        assert found[6][1] == "pool p9 is still open: save or cancel is missing"
        assert rows(session.configuration) == before

    def test_between_objects(self, session: Session, file: Callable[..., str]) -> None:
        type_(session, *LINES)
        twice = VIRTUAL_SERVICE.replace(" vs1", " vs2").replace(" p1", " p2").replace(" v1", " v2")
        found = faults(session, f"load merge {file(*twice.splitlines())}")
        told = "VirtualService vs2: tcp port 80 of VIP 10.1.1.100 belongs to VirtualService vs1"
        assert [place for place, _ in found] == ["file:12"]
        assert found[0][1].startswith(told)
        # What is rehearsed in the wrong order is checked as a whole.
        moved = ["configure virtualservice vs1 services index 1 port 81", "save", "save"]
        type_(session, f"load merge {file(*twice.splitlines(), *moved)}")

    def test_an_export(self, session: Session, file: Callable[..., str]) -> None:
        path = file('{"Pool": [{"name": "p1", "servers": [{"port": "x"}]}, {"name": "p2", "lb_algorithm": "Q"}]}')
        found = faults(session, f"load replace {path}")
        assert [place for place, _ in found] == [
            "file: Pool[1].servers[1].ip",
            "file: Pool[1].servers[1].port",
            "file: Pool[2].lb_algorithm",
        ]

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("load", "the line ends after 'load', where more must follow"),
            ("load merge /nonexistent/file", "cannot read /nonexistent/file: No such file or directory"),
            ("load replace", "the line ends after 'replace', where more must follow"),
        ],
    )
    def test_the_line(self, session: Session, line: str, told: str) -> None:
        assert refused(session, line)[0].startswith(told)

    def test_a_tenant_replaces_nothing_of_others(self, session: Session, file: Callable[..., str]) -> None:
        type_(session, *OTHERS, "switchto tenant t1")
        assert refused(session, f"load replace {file()}") == [
            "load replace is about the objects of every tenant; switchto tenant admin"
        ]
        type_(session, f"load merge {file('configure pool p2', 'save')}")
        assert session.configuration.find("pool", "p2", "admin") is None

    def test_a_file_loads_no_other(self, session: Session, file: Callable[..., str]) -> None:
        path = file("load merge file")
        assert faults(session, f"load merge {path}") == [("file:1", "a file that is loaded loads no other")]


def test_a_person_is_asked(session: Session, file: Callable[..., str]) -> None:
    asked = []

    def ask(parts: object, question: str) -> bool:
        asked.append(question)
        return len(asked) > 1

    session.ask = ask
    line = f"load merge {file('configure pool p1', 'save')}"
    assert type_(session, line) == ["Nothing was changed."]
    assert session.configuration.history() == []
    type_(session, line)
    assert len(session.configuration.history()) == 1


def test_in_a_session_it_changes_the_session_alone(session: Session, file: Callable[..., str]) -> None:
    type_(session, *LINES, "configure session")
    told = type_(session, f"load replace {file('configure pool p2', 'save')}")[-1]
    assert told.endswith(": 5 changed objects, in the session alone.")
    assert session.stored.names("pool", "*") == ["p1"]
    type_(session, "commit session")
    assert session.configuration.names("pool", "*") == ["p2"]


def test_lines_that_only_show_do_nothing(session: Session, file: Callable[..., str], tmp_path: Path) -> None:
    target = tmp_path / "target"
    lines = (
        f"export configuration file {target}",
        f"show pool | save {target}",
        "show pool p1 server diagnose",
        "watch show pool",
        *("configure session", "configure pool p1", "save", "commit session", "exit", "configure pool p2"),
    )
    type_(session, f"load merge {file(*lines)}")
    assert session.configuration.names("pool", "*") == ["p1"]
    assert not target.exists()


@pytest.mark.parametrize("how", ["merge", "replace"])
def test_what_somebody_else_committed_while_it_was_asked_is_not_overwritten(
    session: Session, file: Callable[..., str], how: str
) -> None:
    def agree(*_: object) -> bool:
        session.configuration.save("pool", {"name": "theirs"}, "admin")
        return True

    session.ask = agree
    error = session.run(f"load {how} {file('configure pool p1', 'save')}").error
    assert error is not None
    assert render.message(error).startswith("somebody else committed meanwhile")
    assert session.configuration.names("pool", "admin") == ["theirs"]
