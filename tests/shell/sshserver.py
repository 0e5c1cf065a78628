"""A real sshd in a namespace of its own, with the shipped configuration, before shells on one state directory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.netns import Namespace
from tests.shell.conftest import ROOT

EXAMPLES = ROOT / "examples" / "automation"
BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
SHELL_PORT = 2022


@dataclass(frozen=True)
class Server:
    """An sshd that runs."""

    there: Namespace
    folder: Path  # with the keys
    state: Path  # the state directory of every shell behind it

    def run(self, *argv: str, path: str = "") -> subprocess.CompletedProcess[str]:
        """A program beside the server, without a terminal. path: a folder in which programs are looked for first."""
        environment = {**os.environ, "PATH": f"{path}:{BIN}:{os.environ['PATH']}", "TERM": "xterm-256color"}
        return subprocess.run(
            ["nsenter", f"--net={self.there.path}", *argv],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def ssh_options(self, port: int) -> list[str]:
        """What ssh needs to know to log in."""
        return [
            *("-p", str(port), "-i", str(self.folder / "client"), "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}", f"root@{HOST}"),
        ]


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """An sshd; folder: an empty one for keys and state. What it would write to /run and /var/log, nobody sees."""
    state = folder / "state"
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    public = (folder / "host.pub").read_text().split()[:2]
    names = f"{HOST},[{HOST}]:{SHELL_PORT}"
    (folder / "known_hosts").write_text(" ".join([names, *public]) + "\n")
    sshd = [
        *("/usr/sbin/sshd", "-D", "-e", "-f", str(EXAMPLES / "sshd_config"), "-h", str(folder / "host")),
        *("-o", f"AuthorizedKeysFile={folder / 'client.pub'}", "-o", "StrictModes=no", "-o", "PidFile=none"),
        *("-o", f"SetEnv=PATH={BIN}:{os.environ['PATH']} AVI_SHELL_STATE={state}", "-o", f"ListenAddress={HOST}"),
    ]
    hidden = "mount -t tmpfs none /run && mount -t tmpfs none /var/log && mkdir /run/sshd && touch /var/log/lastlog"
    with Namespace() as there, there.program("unshare", "-m", "sh", "-c", f'{hidden} && exec "$@"', "sh", *sshd):
        deadline = time.monotonic() + 45
        while there.sh("ss -Hltn").count(HOST) < 2:
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.05)
        yield Server(there, folder, state)
