"""Events: folded, bounded, on disk after a crash, and in the log's three forms."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from dataplane.events import eventfile, events, journal, kinds, logformat, model
from dataplane.events.eventfile import EventFile
from dataplane.events.events import Events
from dataplane.events.journal import Journal
from dataplane.events.model import THIS_ENGINE, Severity, Subject
from tests.polling import until

SERVER = Subject("server", "10.0.0.11:80", "admin", "pool-1", "web")
VIP = Subject("vip", "10.0.0.100")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What `avi-se` logs, as it is."""
    written, logger = io.StringIO(), logging.getLogger("avi-se")
    handler = logging.StreamHandler(written)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_repeated_noise_is_folded_and_pushes_nothing_out() -> None:
    kept = Journal()
    kept.add(kinds.VIP_CLAIMED, VIP, "02:00 also announces it", 0.0, "se-1")
    for second in range(3_000):
        kept.add(kinds.SERVER_DOWN, SERVER, "it is down: refused", float(second), "se-1")
        kept.add(kinds.SERVER_UP, SERVER, "it is up", float(second), "se-1")
        kept.add(kinds.SERVER_IMPAIRED, SERVER, f"it lost {second} frames", float(second), "se-1")
        kept.add(kinds.SERVER_DOWN, SERVER._replace(name=f"{second}"), "it is down: refused", float(second), "se-1")
    told = kept.all()
    assert told[0].about == VIP
    assert len(told) == journal.MOST
    mine = [event for event in told if event.about == SERVER]
    assert len([event for event in mine if event.kind == "server_impaired"]) == journal.OF_ONE
    down, up = mine[-3], mine[-2]
    assert [(one.kind, one.count, one.at, one.last) for one in (down, up)] == [
        ("server_down", 3_000 - journal.FEW + 1, 2.0, 2_999.0),
        ("server_up", 3_000 - journal.FEW + 1, 2.0, 2_999.0),
    ]


def test_what_was_quiet_for_long_or_follows_from_a_commit_is_no_repetition() -> None:
    kept = Journal()
    for at in (0.0, 1.0, 2.0, 3.0 + journal.WINDOW):
        kept.add(kinds.SERVER_UP, SERVER, "it is up", at, "se-1")
    for commit in range(1, 6):
        kept.add(kinds.VIP_ANNOUNCED, VIP, "it is up", 5.0, "se-1", commit)
    assert [event.count for event in kept.all()] == [1] * 9


def test_what_repeats_what_a_commit_caused_is_not_counted_to_that_commit() -> None:
    kept = Journal()
    for commit in (20, 21, 22, None):
        kept.add(kinds.VIP_ANNOUNCED, VIP, "it is down", 5.0, "se-1", commit)
    assert [(event.count, event.commit) for event in kept.all()] == [(1, 20), (1, 21), (1, 22), (1, None)]


def test_events_of_one_kind_that_come_in_thousands_are_counted(log: io.StringIO) -> None:
    now = [1000.0]
    told = Events("se-1", lambda: now[0])
    heard: list[model.Event] = []
    told.heard.append(heard.append)
    for number in range(5000):
        told.tell(kinds.SERVER_UP, SERVER._replace(name=f"{number}"), f"server {number} is up")
    told.tell(kinds.VIP_ANNOUNCED, VIP, "the VIP is up")
    now[0] += events.TIME
    told.tell(kinds.SERVER_UP, SERVER, "server 5000 is up")
    last = [event.text for event in told.newest(3)]
    more = f"{5000 - events.AT_ONCE:,} more events of kind server_up; the last one: server 4999 is up"
    assert last == ["the VIP is up", more, "server 5000 is up"]
    assert len(heard) == len(log.getvalue().splitlines()) == events.AT_ONCE + 3
    assert told.counts["server_up"] == 5001


def test_events_are_on_disk_and_adopted(tmp_path: Path, log: io.StringIO) -> None:
    path, now = tmp_path / "se-1.events", [1000.0]
    told = Events("se-1", lambda: now[0])
    told.keep(EventFile(path), [])
    with told.because_of(7):
        told.tell(kinds.VIP_ANNOUNCED, VIP, "VIP 10.0.0.100 is up, announced")
    for _ in range(40):
        now[0] += 1
        told.tell(kinds.SERVER_DOWN, SERVER, "it is down: \33[31mrefused")
    told.close()
    assert path.stat().st_mode & 0o777 == 0o600
    found = eventfile.read(path)
    assert [(event.commit, event.count, event.engine) for event in found] == [
        (7, 1, "se-1"), (None, 1, "se-1"), (None, 1, "se-1"), (None, 38, "se-1"),
    ]  # fmt: skip
    assert found[-1].about == SERVER
    assert found[-1].text == "it is down: \\x1b[31mrefused"
    assert "38 times since" in found[-1].words
    lines = log.getvalue().splitlines()
    assert len(lines) == 1 + 2 + 6, "of the repeated ones each doubling is logged: 1, 2, 4, 8, 16, 32"
    assert lines[0].endswith("announced (commit 7)")
    later = Events("se-1", lambda: now[0])
    later.keep(EventFile(path), found)
    later.tell(kinds.SERVER_UP, SERVER, "it is up")
    later.close()
    assert [event.number for event in eventfile.read(path)] == [1, 2, 3, 4, 5]


def test_a_line_that_was_cut_off_is_left_out_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "se-1.events"
    event = Journal().add(kinds.VIP_ANNOUNCED, VIP, "up", 5.0, "se-1")
    line = json.dumps(event.data()).encode() + b"\n"
    spoilt = (line.replace(b"notice", b"loud"), line.replace(b'"at": 5.0', b'"at": NaN'), b"[]\n", b"\xff\n")
    for torn in (line[: len(line) // 2], *spoilt):
        path.write_bytes(line + torn)
        file = EventFile(path)
        file.put(Journal().add(kinds.VIP_WITHDRAWN, VIP, "down", 6.0, "se-1"))
        file.close()
        assert [one.text for one in eventfile.read(path)] == ["down"], "its number is that of the first one"


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    monkeypatch.setattr(eventfile, "LARGEST", 3_000)
    monkeypatch.setattr(journal, "MOST", 20)
    path, told = tmp_path / "se-1.events", Events("se-1")
    told.keep(EventFile(path), [])
    largest = 0
    for number in range(1000):
        told.tell(kinds.SERVER_DOWN if number % 2 else kinds.VIP_WITHDRAWN, VIP, f"{number} {'x' * 100}")
        told._floods.clear()
        if path.exists():
            largest = max(largest, path.stat().st_size)
    told.close()
    assert largest < 30_000
    assert [event.text.split()[0] for event in eventfile.read(path)][-20:] == [f"{n}" for n in range(980, 1000)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_takes_nothing_is_told_once_and_events_go_on(tmp_path: Path, log: io.StringIO) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    told = Events("se-1")
    file = EventFile(folder / "se-1.events")
    told.keep(file, [])
    folder.rename(tmp_path / "away")
    for text in ("one", "two", "three"):
        told.tell(kinds.VIP_ANNOUNCED, VIP, text)
        until(lambda: file.fault)
    why = f"events are not kept on disk: {folder}/se-1.events: No such file or directory"
    assert [event.text for event in told.all()] == ["one", "two", why, "three"]
    (tmp_path / "away").rename(folder)
    told.tell(kinds.VIP_ANNOUNCED, VIP, "four")
    told.close()
    assert [event.text for event in eventfile.read(folder / "se-1.events")] == ["one", "two", why, "three", "four"]


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    monkeypatch.setattr(eventfile, "PATIENCE", 0.05)
    monkeypatch.setattr(eventfile, "_WAITING", 5)
    hangs, path = Event(), tmp_path / "se-1.events"
    monkeypatch.setattr(EventFile, "_append", lambda self, lines: hangs.wait(20))
    told = Events("se-1")
    told.keep(EventFile(path), [])
    for number in range(20):
        told.tell(kinds.VIP_ANNOUNCED, VIP, f"{number}")
    slow = [event.text for event in told.all() if event.kind == "events_not_kept"]
    assert slow == ["events are not kept on disk: the disk is too slow"]
    assert len(told.all()) == 21
    told.close()
    hangs.set()


_WRITER = """
import sys
from pathlib import Path
from threading import Event
from dataplane.events import eventfile, events, journal, kinds
from dataplane.events.model import Subject
eventfile.LARGEST, journal.MOST, events.AT_ONCE = 100_000, 100, 10**9
path = Path(sys.argv[1])
told = events.Events("se-1")
told.keep(eventfile.EventFile(path), eventfile.read(path))
for number in range(10**9):
    told.tell(kinds.VIP_ANNOUNCED, Subject("vip", str(number)), f"number {number}")
"""


def test_events_survive_a_process_that_is_killed_while_it_writes(tmp_path: Path) -> None:
    path, last = tmp_path / "se-1.events", [0]
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stderr=subprocess.DEVNULL)
        try:
            until(lambda: [one.number for one in eventfile.read(path)[-1:]] > [last[-1] + 500])
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        numbers = [event.number for event in eventfile.read(path)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "none in between is lost"
        last.append(numbers[-1])


@pytest.mark.parametrize("form", [logformat.TEXT, logformat.JOURNAL, logformat.JSON])
def test_the_log_has_each_form(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, logger = io.StringIO(), logging.getLogger("avi-se")
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    logformat.start(form, stream)
    told = Events("se-1", lambda: 1000.0)
    told.tell(kinds.SERVER_DOWN, SERVER, "it is down")
    told.tell(kinds.VIP_ANNOUNCED, VIP, "it is up")
    logger.error("two\nlines")
    lines = stream.getvalue().splitlines()
    if form == logformat.TEXT:
        assert [line.split(" avi-se: ")[-1] for line in lines] == [
            "warning: it is down", "it is up", "error: two", "lines",
        ]  # fmt: skip
    elif form == logformat.JOURNAL:
        assert lines == ["<4>it is down", "<5>it is up", "<3>two", "<3>lines"]
    else:
        down, up, error = map(json.loads, lines)
        assert model.read(down) == told.all()[0]
        assert down["object"] == {
            "kind": "server", "name": "10.0.0.11:80", "tenant": "admin", "uuid": "pool-1", "pool": "web",
        }  # fmt: skip
        assert (down["severity"], up["severity"], up["kind"]) == ("warning", "notice", "vip_announced")
        assert (error["severity"], error["text"]) == ("error", "two\nlines")
        assert down["time"].endswith("Z")


def test_the_journal_is_known_by_its_device_and_inode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        there = os.fstat(stream.fileno())
        for told, so in ((f"{there.st_dev}:{there.st_ino}", True), ("1:2", False), ("", False)):
            monkeypatch.setenv("JOURNAL_STREAM", told)
            assert logformat.is_journal(stream) is so


def test_each_kind_has_a_severity_that_fits_its_name() -> None:
    assert all(kind.name == name and kind.meaning for name, kind in kinds.ALL.items())
    good = {kind.severity for name, kind in kinds.ALL.items() if name.endswith(("_up", "_back", "_answered"))}
    bad = {kind.severity for name, kind in kinds.ALL.items() if name.endswith(("_lost", "_failed", "_refused"))}
    assert good == {Severity.NOTICE}
    assert bad <= {Severity.WARNING, Severity.ERROR, Severity.CRITICAL}
    assert THIS_ENGINE.kind == "serviceengine"
