"""Programs that are forked are as programs that are started: what they are told, what they say, how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.forked import Forked, popen, run
from tests.netns import Namespace
from tests.polling import until

PROGRAM = [sys.executable, "-m", "tests.forkserver"]
"""Any module of ours; without words it fails, and says why."""


def test_words_folder_environment_and_streams_reach_a_program(tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(
        "import json, os, sys\n"
        "told = sys.argv[1:], os.getcwd(), os.environ['WORD'], sys.stdin.read(), __name__\n"
        "print(json.dumps(told)); print('wrong', file=sys.stderr); sys.exit(7)\n"
    )
    words = [sys.executable, "-m", "telling", "a b", "--c"]
    environment = {**os.environ, "WORD": "w"}
    given: dict[str, Any] = {
        "cwd": tmp_path,
        "env": environment,
        "input": "typed\n",
        "capture_output": True,
    }
    forked, started = run(words, **given), subprocess.run(words, **given, text=True)
    assert json.loads(started.stdout) == [["a b", "--c"], str(tmp_path), "w", "typed\n", "__main__"]
    for done in (forked, started):
        assert (done.returncode, done.stderr) == (7, "wrong\n")
    assert forked.stdout == started.stdout


def test_a_program_ends_as_it_is_told_to_or_fails() -> None:
    waiting = [sys.executable, "-m", "tests.broken.listener", "0", "127.0.0.1"]
    with popen(waiting, start_new_session=True) as process:
        assert isinstance(process, Forked)
        until(lambda: os.getsid(process.pid) == process.pid)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    failed = run(PROGRAM, stderr=subprocess.PIPE)
    assert failed.returncode == 1
    assert failed.stderr.endswith("IndexError: list index out of range\n")
    with pytest.raises(subprocess.CalledProcessError):
        run(PROGRAM, stderr=subprocess.DEVNULL, check=True)


def _leads(pid: int, terminal: int) -> bool:
    return os.tcgetpgrp(terminal) == pid


def test_a_program_at_a_terminal_hears_what_is_typed_there_and_that_it_is_closed() -> None:
    waiting = [sys.executable, "-m", "tests.broken.listener", "0", "127.0.0.1"]
    for typed, ends in ((b"\x03", signal.SIGINT), (b"", signal.SIGHUP)):
        ours, its = os.openpty()
        with popen(waiting, stdin=its, stdout=its, stderr=its, start_new_session=True) as process:
            os.close(its)
            try:
                until(partial(_leads, process.pid, ours))
                os.write(ours, typed)
                if not typed:
                    os.close(ours)
                assert process.wait(60) == -ends
            finally:
                process.kill()
        if typed:
            os.close(ours)


@pytest.mark.root
def test_a_program_lives_in_its_namespace() -> None:
    with Namespace() as there:
        words = [sys.executable, "-m", "tests.broken.listener", "80"]
        with there.program(*words) as process:
            assert isinstance(process, Forked)
            until(lambda: ":80 " in there.sh("ss -Hltn"))
            assert os.getsid(process.pid) != process.pid
            seen = Path(f"/proc/{process.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            assert seen[1:] == [b"-m", b"tests.broken.listener", b"80"]


def test_what_cannot_be_forked_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {**os.environ, "PYTHONPATH": "/nowhere"}
    assert not forked.understood(["sh", "-c", "true"])
    for argv, options in ((["true"], {}), (PROGRAM, {"env": elsewhere}), (PROGRAM, {"umask": 0o77})):
        with popen(argv, stderr=subprocess.DEVNULL, **options) as process:
            assert not isinstance(process, Forked)
    monkeypatch.setattr(forked, "_enabled", False)
    with popen(PROGRAM, stderr=subprocess.DEVNULL) as process:
        assert not isinstance(process, Forked)
