"""A session on a configuration of its own, and the program as a process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session
from tests import forked
from tests.shell.forkedterminal import ForkedTerminal

ROOT = Path(__file__).parents[2]
VIRTUAL_SERVICE = """\
configure networkprofile dsr profile tcp_fast_path_profile dsr_profile dsr_type dsr_type_l2
save
save
configure pool p1 lb_algorithm lb_algorithm_consistent_hash
servers ip 10.1.1.10 port 80
save
save
configure vsvip v1
vip ip_address 10.1.1.100
save
save
configure virtualservice vs1 vsvip_ref v1 pool_ref p1 network_profile_ref dsr
application_profile_ref System-L4-Application
services port 80
save
save
"""
"""A whole virtual service with direct server return, line by line."""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(Configuration.in_memory(), tmp_path)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def shell(state: Path, tmp_path: Path) -> Run:
    """`avi-shell` on a state directory of its own: arguments, standard input → the completed process."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return forked.run(
            [sys.executable, "-m", "avi_shell", "--state", str(state), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    return run


class Typist(pexpect.spawn):  # type: ignore[misc]
    """A shell on a pseudo-terminal of 200 columns."""

    def _spawnpty(
        self, args: list[bytes], env: dict[str, str], cwd: str, dimensions: tuple[int, int], **_: object
    ) -> ForkedTerminal:
        """Called by pexpect."""
        return ForkedTerminal([word.decode() for word in args], cwd, env, dimensions)

    def finish(self) -> int | None:
        """The exit status, once the program has ended."""
        self.expect(pexpect.EOF)
        self.close()
        status: int | None = self.exitstatus
        return status


@pytest.fixture
def terminal(state: Path, tmp_path: Path) -> Iterator[Callable[..., Typist]]:
    """Starts `avi-shell` at a terminal; ended with the test."""
    started: list[Typist] = []

    def start(*arguments: str, **environment: str) -> Typist:
        at = Typist(
            sys.executable,
            ["-m", "avi_shell", "--state", str(state), *arguments],
            cwd=str(tmp_path),
            env={**os.environ, "PYTHONPATH": str(ROOT), "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm", **environment},
            encoding="utf-8",
            timeout=60,
            dimensions=(50, 200),
        )
        started.append(at)
        return at

    yield start
    for at in started:
        at.close(force=True)
