"""An engine that hangs: it listens and never answers. What is configured is shown, and nothing waits long for it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.output import render
from avi_shell.session.session import Session
from dataplane import client
from tests.shell.conftest import VIRTUAL_SERVICE

REPORT = {
    "name": "se-1",
    "group": "Default-Group",
    "interfaces": [],
    "driver": {"name": "pcap", "reason": "", "interfaces": {}},
    "services": [],
    "pools": [],
    "vips": [],
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory with two engines that hang."""
    monkeypatch.setattr(client, "TIMEOUT", 0.3)
    monkeypatch.setattr(client, "AT_ONCE", 0.2)
    (tmp_path / "run").mkdir()
    with ExitStack() as stack:
        for name in ("hanging-1", "hanging-2"):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(tmp_path / "run" / f"{name}.sock"))
            listener.listen()
        yield tmp_path


def _answer(state: Path, stack: ExitStack) -> None:
    """An engine beside them that answers."""
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(state / "run" / "se-1.sock"))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                asked = stream.readline()
                if asked:
                    stream.write(json.dumps({**REPORT, "addresses": [], "applied": True}).encode() + b"\n")

    Thread(target=serve, daemon=True).start()


def test_what_is_configured_is_shown(state: Path) -> None:
    session = Session(Configuration.in_memory(), state)
    begun = time.monotonic()
    for line in VIRTUAL_SERVICE.splitlines():
        assert session.run(line).ok
    assert time.monotonic() - begun < 10  # four commits: each asks once, and tells once
    for line, shown in (
        ("show pool", "OPER_UNKNOWN"),
        ("show pool p1", "10.1.1.10"),
        ("show pool p1 server", "| 10.1.1.10 | 80   | OPER_UNKNOWN |"),
        ("show virtualservice", "OPER_UNKNOWN"),
        ("show serviceengine", "| hanging-1 |"),
    ):
        told = session.run(line)
        assert told.ok, told.error
        text = "\n".join(render.text_lines(told.parts))
        assert shown in text
        if line != "show pool p1":
            assert "ervice engine hanging-1 does not answer within 0.3 s: what it forwards is unknown." in text


def test_those_that_answer_are_heard_and_all_are_asked_at_once(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 4.0)  # for the one that answers, on a machine that stands still for a while
    with ExitStack() as stack:
        _answer(state, stack)
        begun = time.monotonic()
        told, silent = client.reports(state)
        assert (list(told), sorted(silent)) == (["se-1"], ["hanging-1", "hanging-2"])
        assert not client.wait_applied(state, 1, 0.5)
        assert time.monotonic() - begun < 20  # 4 and 0.7 s on a machine that does nothing else
        (state / "run" / "hanging-1.sock").unlink()
        (state / "run" / "hanging-2.sock").unlink()
        assert client.wait_applied(state, 1, 20)


@pytest.mark.parametrize("ends", [True, False])
def test_an_engine_that_says_how_far_it_is_has_the_time_that_it_takes(
    ends: bool, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that falls silent meanwhile is not waited for."""
    monkeypatch.setattr(client, "TIMEOUT", 3.0)  # a machine may stand still for two of them
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(state / "run" / "working.sock"))
    listener.listen()
    asked = threading.Event()

    def serve() -> None:
        while not asked.is_set():
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb", buffering=0) as stream:
                if not stream.readline():
                    continue  # it was only asked whether it lives
                asked.set()
                for number in range(6):
                    stream.write(b'{"progress": "%d of 6"}\n' % number)
                    time.sleep(0.7)  # more than TIMEOUT in all, less each time
                if ends:
                    stream.write(json.dumps(REPORT).encode() + b"\n")
                else:
                    connection.recv(1)  # until the client has gone

    serving = Thread(target=serve, daemon=True)
    serving.start()
    told, silent = client.reports(state)
    assert told == ({"working": REPORT} if ends else {})
    assert ("working" in silent) is not ends
    assert {"hanging-1", "hanging-2"} <= silent.keys()
    serving.join(20)
    assert not serving.is_alive()
    listener.close()
