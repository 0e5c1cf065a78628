"""The process that forks our programs, one for each process that runs tests (`forked.py`).

It has imported what the programs import, and does nothing else: a fork of it begins where an interpreter of its own
would be after some tenths of a second of processor time.

python -m tests.forkserver DESCRIPTOR ROOM    a socket: requests come in, see `Request`, answers go out; ROOM: a long
word, in whose place the words of a forked program are seen from outside
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import termios
import threading
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TypedDict

PACKAGES = ("avi_shell", "dataplane", "grammar")
"""Ours, of which programs import some modules only when they need them: all are there."""
LEFT_OUT = "avi_shell.transcripts.plugin"
"""Is pytest's, which no program imports."""
OTHERS = ("encodings.ascii", "encodings.idna", "encodings.utf_8_sig", "pyroute2")
"""What our modules import within a function, or the interpreter when a text is encoded."""
LONGEST = 1 << 17
"""Bytes of a request: its environment is most of it."""
_CLONE_NEWNET = 0x40000000


class Request(TypedDict):
    """A program to be started. Beside it as descriptors: its standard streams, and its network namespace."""

    words: list[str]  # behind `python -m`
    folder: str
    session: bool  # it has a session of its own (setsid(2))
    environment: dict[str, str]


def main(number: int) -> None:
    """Serve until the other end is closed. A child returns from `_serve`, and runs its program."""
    for name in (*_modules(), *OTHERS):
        import_module(name)
    for name in [name for name in sys.modules if name.endswith(".__main__")]:
        del sys.modules[name]  # it is run, not imported
    assert threading.active_count() == 1, "a fork has one thread"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # typed at the terminal it ends the tests, and they end this
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=number) as asked:
        request = _serve(asked)
    if request is not None:
        _leave(_run(request))


def _modules() -> Iterator[str]:
    for package in PACKAGES:
        for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if found.name != LEFT_OUT:
                yield found.name


def _serve(asked: socket.socket) -> Request | None:
    """Answer: to a request with its process's number, to such a number with what `waitpid` says of it."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, LONGEST, 4)
        if not message:
            return None
        told = json.loads(message)
        if isinstance(told, int):
            asked.send(json.dumps(os.waitpid(told, 0)).encode())
            continue
        child = os.fork()
        if not child:
            *standard, namespace = descriptors
            for number, descriptor in enumerate(standard):
                os.dup2(descriptor, number)
            _enter(namespace)
        for descriptor in descriptors:
            os.close(descriptor)
        if not child:
            request: Request = told
            return request
        asked.send(json.dumps(child).encode())


def _enter(namespace: int) -> None:
    """Go into a network namespace, where it is another one: that takes privileges."""
    if os.fstat(namespace).st_ino == os.stat("/proc/self/ns/net").st_ino:
        return
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(request: Request) -> int:
    """Run a program as `python -m` does. Returns its exit status."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Those of the server have asked what they stand on.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        if request["session"]:
            os.setsid()
            if os.isatty(0):
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # ^C that is typed there is a signal to the program
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        _show(["python3", "-m", *request["words"]])
        module, *words = request["words"]
        sys.path[0] = request["folder"]
        sys.argv[1:] = words
        sys.orig_argv[1:] = ["-m", *request["words"]]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # as the interpreter does
        traceback.print_exc()
        return 1
    return 0


def _show(words: list[str]) -> None:
    """Have `/proc/PID/cmdline` tell these words: the kernel reads them from where the server's own stand."""
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5), fields 48 and 49
    told = "".join(f"{word}\0" for word in words).encode()[: end - start - 1]
    ctypes.memmove(start, told.ljust(end - start, b"\0"), end - start)


def _leave(status: int) -> None:
    """End as the interpreter does, but for the memory that it would take apart."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = status or 120
    os._exit(status & 0xFF)


if __name__ == "__main__":
    main(int(sys.argv[1]))
