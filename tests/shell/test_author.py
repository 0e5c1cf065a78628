"""Who a commit is by: the operating system's user beside the shell's, and the line of which file."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration.configuration import Configuration
from avi_shell.session.author import author

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(
    ("uid", "sudo", "shown"),
    [
        (0, "alice", "alice as root"),
        (0, "", "root"),
        (0, "root", "root"),
        (0, "a\nb", "root"),
        (65534, "alice", "nobody"),
    ],
)
def test_the_user_behind_sudo_is_named(monkeypatch: pytest.MonkeyPatch, uid: int, sudo: str, shown: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setenv("SUDO_USER", sudo)
    found = author("admin")
    assert (found.user, found.os_user) == ("admin", shown)


def test_a_terminal_and_where_it_is_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
    monkeypatch.setattr(os, "isatty", lambda stream: stream == 0)
    monkeypatch.setattr(os, "ttyname", lambda stream: "/dev/pts/3")
    assert author("admin").terminal == "/dev/pts/3 from 192.0.2.7"
    monkeypatch.delenv("SSH_CONNECTION")
    assert author("admin").terminal == "/dev/pts/3"


def test_a_commit_of_a_file_tells_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    lines = tmp_path / "setup.txt"
    lines.write_text("# a pool\nconfigure pool p1\nsave\ndelete pool p1\n")
    state = str(tmp_path / "state")
    assert main(["--state", state, "-f", str(lines), "-c", "configure pool p2", "-c", "save"]) == 0
    configuration = Configuration.open(tmp_path / "state")
    made = [(commit.origin, commit.line, commit.os_user) for commit in configuration.history()]
    configuration.close()
    assert made == [
        (f"{lines}:2", "configure pool p1", ME),
        (f"{lines}:4", "delete pool p1", ME),
        ("-c:2", "configure pool p2", ME),
    ]
