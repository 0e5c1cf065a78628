"""Our programs, started by tests: `popen` and `run` are as `subprocess.Popen` and `subprocess.run`.

`python -m MODULE`, in a network namespace or not, is forked from a process that has imported what it needs
(`forkserver.py`): most of what a short program costs is the start of its interpreter. All else is started as ever; so
are programs that tests of the start itself are about, which call `subprocess`.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.forkserver import LONGEST, Request

ROOT = Path(__file__).parent.parent
KNOWN = {"stdin", "stdout", "stderr", "text", "cwd", "env", "start_new_session"}
"""What `Forked` can be told beside its command."""
ROOM = 2000
"""Bytes for the words of a program, as others see them."""
_enabled = False
_lock = threading.Lock()
_server: tuple[subprocess.Popen[bytes], socket.socket] | None = None


class Forked(subprocess.Popen[Any]):
    """A program that is a child of the fork server, not of this process."""

    def _execute_child(self, args: Sequence[str], *rest: Any) -> None:
        """Called by `Popen` with what it made of its arguments, the pipes' ends among them."""
        _, _, _, _, cwd, env, _, _, _, *pipes = rest[:15]
        session = bool(rest[20])
        theirs_in, _, _, theirs_out, _, theirs_err = pipes
        words, namespace = understood(args) or ([], "")
        request = Request(
            words=words,
            folder=os.fspath(cwd or Path.cwd()),
            session=session,
            environment=dict(os.environ if env is None else env),
        )
        standard = (theirs_in, theirs_out, theirs_err)
        given = [number if number >= 0 else own for own, number in enumerate(standard)]
        # A thread may be in another namespace than its process (netns.py).
        with open(namespace or "/proc/thread-self/ns/net", "rb") as network:
            self.pid = int(_ask(request, [*given, network.fileno()]))
        self._child_created = True
        self._ended = os.pidfd_open(self.pid)
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # an inner function of the library's

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self._look(0)

    def _wait(self, timeout: float | None) -> int:
        if self._look(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return int(self.returncode)

    def _look(self, timeout: float | None) -> int | None:
        """The exit status of a program that ends within some seconds; None: for ever."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._ended, select.POLLIN)
            if poll.poll(None if timeout is None else max(0, timeout) * 1000):
                _, status = _ask(self.pid)
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._ended)
        return self.returncode


def understood(args: Sequence[str]) -> tuple[list[str], str] | None:
    """The words behind `python -m` and the namespace's path, of a command that can be forked."""
    words, namespace = list(args), ""
    if words[0] == "nsenter" and words[1].startswith("--net="):
        namespace = words[1].removeprefix("--net=")
        words = words[2:]
    return (words[2:], namespace) if words[:2] == [sys.executable, "-m"] else None


def popen(args: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """subprocess.Popen."""
    sources = Path((options.get("env") or {}).get("PYTHONPATH", ROOT))
    forks = _enabled and understood(args) and sources == ROOT and not options.keys() - KNOWN
    return (Forked if forks else subprocess.Popen)(args, **options)


def run(
    args: Sequence[str],
    *,
    input: str | None = None,  # as subprocess has it
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """subprocess.run, of text."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with popen(args, **options | {"text": True}) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, args, out, err)
    return subprocess.CompletedProcess(args, process.returncode, out, err)


LIBRARY = SimpleNamespace(**{**vars(subprocess), "Popen": popen, "run": run})
"""The module `subprocess`, for code of ours whose programs are to be forked: `monkeypatch.setattr(module, …)`."""


def _ask(what: Request | int, descriptors: Sequence[int] = ()) -> Any:
    """The fork server's answer; it is started where there is none."""
    global _server
    with _lock:
        if _server is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                argv = [sys.executable, "-m", "tests.forkserver", str(theirs.fileno()), "-" * ROOM]
                _server = subprocess.Popen(argv, cwd=ROOT, pass_fds=[theirs.fileno()]), ours
        _, asking = _server
        message = json.dumps(what).encode()
        assert len(message) <= LONGEST
        socket.send_fds(asking, [message], descriptors)
        return json.loads(asking.recv(LONGEST))


def enable() -> None:
    """Fork from now on. Without it programs are started as ever: a measurement sees what they cost."""
    global _enabled
    _enabled = True


def close() -> None:
    """End the fork server, whose processor time counts as this process's children's from then on."""
    global _enabled, _server
    _enabled = False
    if _server is not None:
        process, asking = _server
        _server = None
        asking.close()
        process.wait()
