"""What programs read has numbers as numbers. What the appliance itself has as text stays so."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.output import render
from avi_shell.output.result import Result
from avi_shell.session.session import Session
from avi_shell.session.source import from_file
from tests import numbers

from .conftest import VIRTUAL_SERVICE
from .pretender import pretending

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.transcript"))


def as_text(result: Result) -> Iterator[str]:
    """Numbers that stand as text in a result for programs; lines that were piped are text."""
    told = json.loads(render.as_json(result))
    del told["command"]
    return numbers.as_text({} if result.pipes else told)


def test_a_number_as_text_is_found() -> None:
    told = {"a": [{"b": "12"}, {"b": 12, "c": "1.5 k", "d": "10.0.0.1"}], "e": "33.3 %", "f": "1,024", "g": "pool-1"}
    assert list(numbers.as_text(told)) == ["a[0].b: '12'", "a[1].c: '1.5 k'", "e: '33.3 %'", "f: '1,024'"]


def test_no_transcript_tells_a_number_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for number, path in enumerate(TRANSCRIPTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        with closing(Configuration.in_memory()) as configuration:
            session = Session(configuration, folder)
            for _, line in from_file(str(path)):
                found += [f"{path.name}: {line}: {place}" for place in as_text(session.run(line))]
    assert not found, "\n".join(found)


def test_lists_and_differences_tell_numbers(tmp_path: Path) -> None:
    with closing(Configuration.open(tmp_path)) as configuration:
        session = Session(configuration, tmp_path)
        assert all(session.run(line).ok for line in VIRTUAL_SERVICE.splitlines())
        uuid = session.run("show virtualservice vs1").data["uuid"]
        with pretending(tmp_path, uuid):
            shown = session.run("show virtualservice")
            live = session.run("show virtualservice vs1 live count 1")
        assert [*as_text(shown), *as_text(live)] == []
        assert shown.live is not None
        (row,) = shown.live
        told = {name: row[name] for name in ("servers_up", "servers", "packets_per_second", "flows_per_second")}
        assert told == {"servers_up": 2, "servers": 3, "packets_per_second": 1001.0, "flows_per_second": 64.0}
        session.run("configure virtualservice vs1 delay_fairness")
        session.run("services port 8080")
        session.run("save")
        changed = session.run("show diff").data
        assert {"path": "delay_fairness", "old": False, "new": True} in changed
        session.run("cancel")
        history = session.run("show history")
        assert list(as_text(history)) == []
        assert isinstance(history.data[0]["time"], float)
