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

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

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
_BEGIN = 'eval "$(cat)"; exec "$@" </dev/null'
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
