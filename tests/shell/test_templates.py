"""The TextFSM templates of `examples/automation` read every list that the shell prints."""

import pytest
from textfsm import TextFSMError, clitable

from avi_shell.configuration.configuration import Configuration
from avi_shell.output.render import text_lines
from avi_shell.session.session import Session
from avi_shell.views.gathering import Engines, Reports
from grammar.schema import SEGMENTS
from tests.shell.conftest import ROOT, VIRTUAL_SERVICE

TEMPLATES = ROOT / "examples" / "automation" / "textfsm"


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session with an object of every kind that has a list of its own shape, and of some others."""
    session = Session(Configuration.in_memory(), tmp_path_factory.mktemp("state"))
    names = ['configure pool "two words"', "save", "configure serviceengine se-1", "save"]
    for line in [*VIRTUAL_SERVICE.splitlines(), *names]:
        done = session.run(line)
        assert done.ok, done.error
    return session


def parsed(session: Session, command: str, width: int | None = None) -> list[dict[str, str]]:
    """What netmiko makes of a command's output: the index names the template."""
    table = clitable.CliTable("index", str(TEMPLATES))
    shown = "\n".join(text_lines(session.run(command).parts, width))
    table.ParseCmd(shown, {"Command": command, "Platform": "generic"})
    return [dict(zip(table.header.values, row.values, strict=True)) for row in table]


@pytest.mark.parametrize("kind", SEGMENTS)
def test_a_list_is_read(furnished: Session, kind: str) -> None:
    command = f"show {kind}"
    data = furnished.run(command).data
    rows = parsed(furnished, command)
    assert [row["NAME"] for row in rows] == sorted(document["name"] for document in data)
    if rows and "UUID" in rows[0]:
        assert {row["UUID"] for row in rows} == {document["uuid"] for document in data}


def test_lists_of_a_shape_of_their_own(furnished: Session) -> None:
    (service,) = parsed(furnished, "show virtualservice")
    assert (service["IP_ADDRESS"], service["SERVICES"], service["PARENT"]) == ("10.1.1.100", "80", "-")
    pools = parsed(furnished, "show pool")
    assert [(pool["NAME"], pool["SERVERS_UP"], pool["CLOUD"]) for pool in pools] == [
        ("p1", "", "Default-Cloud"), ("two words", "", "Default-Cloud"),
    ]  # fmt: skip
    (engine,) = parsed(furnished, "show serviceengine")
    assert engine["SE_GROUP"] == "Default-Group"


def test_what_comes_now_below_a_list_is_not_of_it(furnished: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    (service,) = furnished.run("show virtualservice").data
    place = {"vip": "10.1.1.100", "protocol": "tcp", "port": 80, "port_end": 80, "pool": "p1", "pool_uuid": "p"}
    pool = {"uuid": "p", "state": "up", "servers": [{"state": "up"}, {"state": "down"}]}
    rates = {"services": {"10.1.1.100/tcp/80-80": {"packets": 12.34, "bytes": 0.0, "flows": 2.0}}, "servers": {}}
    report = {"name": "se-1", "services": [{"uuid": service["uuid"], "state": "up"} | place], "pools": [pool]}

    def answers(self: Engines, request: str, *given: object, **arguments: object) -> Reports:
        made = Reports([report | {"rates": rates}])
        made.silent = {}
        return made

    monkeypatch.setattr(Engines, "answers", answers)
    (listed,) = furnished.run("show virtualservice").live or []
    assert [listed[name] for name in ("servers_up", "servers", "packets_per_second", "flows_per_second")] == [
        1, 2, 12.34, 2.0,
    ]  # fmt: skip
    (row,) = parsed(furnished, "show virtualservice")
    assert (row["NAME"], row["OPER_STATE"]) == ("vs1", "OPER_UP")


def test_a_template_does_not_guess(furnished: Session) -> None:
    """A table that was broken to fit a terminal is none that can be read: it says so, instead of losing names."""
    with pytest.raises(TextFSMError):
        parsed(furnished, "show pool", width=40)


def test_every_template_is_in_the_index() -> None:
    index = (TEMPLATES / "index").read_text()
    assert {path.name for path in TEMPLATES.glob("*.textfsm")} == {
        line.split(",")[0] for line in index.splitlines() if ".textfsm" in line
    }
