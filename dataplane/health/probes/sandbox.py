"""A box for an operator's program: it runs without rights, sees no process but its own, and leaves nothing.

The box is made by util-linux, in this order, each by the one before it:

1. `setpriv --pdeathsig`: the box dies with the engine, however that ends.
2. `unshare`: namespaces of its own for processes, mounts and IPC. Its first process is the program: when that ends, or
   is killed, the kernel ends all that it started (pid_namespaces(7)).
3. a shell, still with rights: /tmp, /var/tmp, /dev/shm and /run/lock are one small file system in memory.
4. `choom`, `prlimit`: bounds of processes, memory, files; where memory runs out all the same, the box ends first.
5. `setpriv`: user, group, capabilities and the possibility to regain any of them go.
6. a shell, now without rights, reads the program's variables from its standard input: none of them was ever in the
   environment of a process with rights, or on a command line that others read.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROCESSES = 16
MEMORY = 256 << 20
"""Bytes of address space, a process."""
SCRATCH = 16 << 20
"""Bytes of /tmp, and of the largest file."""
FILES = 256
"""Open files, a process."""

CAPABILITIES = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SYS_ADMIN": 21}
"""What a box is made with, by the numbers of linux/capability.h."""

_SETUP = f"""set -e
mount -t tmpfs -o size={SCRATCH},nr_inodes=1024,mode=1777,nosuid,nodev none /tmp
for there in /var/tmp /dev/shm /run/lock; do [ ! -d $there ] || mount --bind /tmp $there; done
exec "$@"
"""
_TOLD = "_told_to_the_box"
_BEGIN = f"""eval "$(cat)"
[ "${{{_TOLD}+so}}" ] || exec "$@" </dev/null
told=${_TOLD}; unset {_TOLD}
exec "$@" <<end
$told
end
"""
HIDDEN = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/run/lock"))
"""Where a box has files of its own: it does not see the host's."""
_READ = 2048
"""Bytes of each output that are kept."""
_NOTHING = ("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--pdeathsig=KILL")
_TOOLS = ("setpriv", "unshare", "choom", "prlimit", "mount")


def command(words: Sequence[str], user: int, group: int) -> list[str]:
    """The command that runs words in a box of their own; its standard input is `written`. user, group: numbers. Raises
    OSError where a tool is missing."""
    setpriv, unshare, choom, prlimit, _ = map(_tool, _TOOLS)
    bounds = (f"--nproc={PROCESSES}", f"--as={MEMORY}", f"--fsize={SCRATCH}", f"--nofile={FILES}", "--core=0")
    return [
        *(setpriv, "--pdeathsig=KILL", "--"),
        *(unshare, "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--ipc", "--"),
        *("/bin/sh", "-c", _SETUP, "box"),
        *(choom, "-n", "1000", "--", prlimit, *bounds, "--"),
        *(setpriv, f"--reuid={user}", f"--regid={group}", *_NOTHING, "--"),
        *("/bin/sh", "-c", _BEGIN, "box"),
        *words,
    ]


def start(
    words: Sequence[str], user: int, group: int, variables: Mapping[str, str], told: str | None = None
) -> subprocess.Popen[bytes]:
    """Run words in a box of their own. variables: what they find in their environment; told: a line that they read from
    their standard input, None for nothing. Raises OSError, ValueError."""
    own = {} if told is None else {_TOLD: told}
    with written({**variables, **own}) as handed:
        return subprocess.Popen(
            command(words, user, group), stdin=handed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
            env={"PATH": PATH}, start_new_session=True
        )  # fmt: skip


class Ended(NamedTuple):
    """How a boxed program ended."""

    by_itself: bool  # in its time
    output: bytes  # the beginning of its standard output
    errors: bytes  # the beginning of its standard error


async def watch(process: subprocess.Popen[bytes], timeout: float) -> Ended:
    """Wait until a process of `start` ends or its time (seconds) is over, then kill its process group."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    assert process.stdout is not None
    assert process.stderr is not None
    written: dict[int, bytearray] = {}
    pidfd = os.pidfd_open(process.pid)
    pipes = (process.stdout.fileno(), process.stderr.fileno())

    def read(pipe: int) -> None:
        try:
            piece = os.read(pipe, 65536)
        except BlockingIOError:
            return
        written[pipe] += piece[: _READ - len(written[pipe])]
        if not piece:
            loop.remove_reader(pipe)

    for pipe in pipes:
        os.set_blocking(pipe, False)
        written[pipe] = bytearray()
        loop.add_reader(pipe, read, pipe)
    loop.add_reader(pidfd, over.set)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await over.wait()
        for pipe in pipes:
            read(pipe)
    finally:
        for watched in (pidfd, *pipes):
            loop.remove_reader(watched)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # not waited for yet: the number is still this group's
        os.close(pidfd)
        process.stdout.close()
        process.stderr.close()
        process.wait()
    return Ended(over.is_set(), bytes(written[pipes[0]]), bytes(written[pipes[1]]))


@contextmanager
def written(variables: Mapping[str, str]) -> Iterator[int]:
    """The file that `command` reads a program's variables from; each name is a word of a shell."""
    held = os.memfd_create("variables")
    try:
        os.write(held, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()).encode())
        os.lseek(held, 0, os.SEEK_SET)
        yield held
    finally:
        os.close(held)


def lacking() -> list[str]:
    """The capabilities that a box is made with and that this process does not have (capabilities(7))."""
    held = 0
    with suppress(OSError):
        status = Path("/proc/self/status").read_text("ascii", "replace")
        held = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return [name for name, number in CAPABILITIES.items() if not held >> number & 1]


def _tool(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        raise OSError(f"there is no {name} (package util-linux), which a script's box is made with")
    return found
