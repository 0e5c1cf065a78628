"""A state directory that somebody else may have put something into is not used, by the shell nor by the engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplane import statedir
from dataplane.errors import StateError
from tests import forked

NOBODY = 65534


def test_it_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        statedir.prepare(tmp_path / "a" / "b" / "state")
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "state"]
    assert [path.stat().st_mode & 0o7777 for path in made] == [0o700] * 3


def _foreign(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def _made(name: str, then: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(state: Path) -> None:
        (state / name).write_text("")
        then(state / name)

    return make


def _linked(name: str) -> Callable[[Path], None]:
    return lambda state: (state / name).symlink_to(state.parent / "target")


CASES: list[tuple[str, Callable[[Path], None], str]] = [
    ("open to all", lambda state: state.chmod(0o777), "state may be written by other users"),
    ("open to its group", lambda state: state.chmod(0o770), "state may be written by other users"),
    ("another user's", _foreign, "state belongs to another user"),
    ("another user's store", _made("config.db", _foreign), "config.db belongs to another user"),
    ("a link as the log", _linked("audit.jsonl"), "audit.jsonl is a link"),
    ("a link as an older file of the log", _linked("audit.jsonl.7"), "audit.jsonl.7 is a link"),
    ("a link as the store", _linked("config.db"), "config.db is a link"),
    ("a link as the history", _linked("history"), "history is a link"),
    ("a link as run", _linked("run"), "run is a link"),
    ("a pipe as the store", lambda state: os.mkfifo(state / "config.db"), "config.db is no regular file"),
]


@pytest.mark.root
@pytest.mark.parametrize(("spoil", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_others_can_have_touched_is_refused_by_every_program(
    spoil: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    state, target = tmp_path / "state", tmp_path / "target"
    state.mkdir(mode=0o700)
    target.write_text("as it was")
    spoil(state)
    with pytest.raises(StateError, match=said) as caught:
        statedir.prepare(state)
    assert caught.value.remedy
    shell = ["avi_shell", "--state", str(state), "-c", "show tenant"]
    engine = ["dataplane", "run", "--state", str(state), "--interface", "lo"]
    for words, status in ((shell, 4), (engine, 1)):
        argv = [sys.executable, "-m", *words]
        done = forked.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == status
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert target.read_text() == "as it was"


def test_two_processes_make_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second finds each directory there at the moment when it makes it."""
    mkdir = Path.mkdir

    def second(folder: Path, mode: int) -> None:
        mkdir(folder, mode)
        mkdir(folder, mode)

    monkeypatch.setattr(Path, "mkdir", second)
    statedir.prepare(tmp_path / "a" / "state")
    assert (tmp_path / "a" / "state").is_dir()


def test_a_file_is_never_opened_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        statedir.open_file(tmp_path / "link", os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "target").exists()
