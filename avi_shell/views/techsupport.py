"""Collects an archive for remote support: configuration, plan, engines, events, network, versions; secrets masked.

Each file is made by itself. One that cannot be made says why, and the others are made none the less.
"""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import ALL, SECRET
from avi_shell.errors import ShellError
from avi_shell.output import secret
from avi_shell.output.mask import Mask, secrets
from avi_shell.views.gathering import Engines
from dataplane import client, statedir
from dataplane.errors import DataplaneError
from dataplane.events import eventfile
from dataplane.plan import file
from dataplane.version import VERSION
from dataplane.wording import moment, rfc3339

NETWORK = {
    "links": "ip -d -s link show",
    "addresses": "ip address show",
    "routes": "ip route show table all",
    "routes6": "ip -6 route show table all",
    "rules": "ip rule show",
    "neighbours": "ip -s neighbour show",
    "nftables": "nft list ruleset",
    "traffic-control": "tc -s qdisc show",
    "sockets": "ss -s",
    "xdp": "bpftool net show",
    "settings": "sysctl -a --pattern ^net.(ipv4.(conf|ip_forward|neigh)|core)",
}
"""Commands that tell of a network namespace, by the names of their files."""
HOST = {
    "kernel": "uname -a",
    "time": "date -Is",
    "uptime": "uptime",
    "memory": "free -k",
    "processor": "lscpu",
    "disks": "df -k",
    "modules": "lsmod",
    "programs": "bpftool prog show",
    "kernel-log": "dmesg --ctime",
    "journal": "journalctl --no-pager --lines 2000 --unit avi-se*",
    "processes": "ps -eo pid,ppid,user,etime,time,rss,nlwp,comm",
}
"""Commands about the host. None shows the arguments of processes, which may hold a password."""
PATIENCE = 10.0
"""Seconds that a command may take."""
LARGEST = 4 << 20
"""Bytes of a command's output, of the audit log and of a file of events: the last ones."""
COMMITS = 500
"""Commits of the history."""
_PACKAGES = ("avi-shell", "prompt_toolkit", "pyparsing", "rich", "pyroute2", "scapy")

Made = Callable[[], str]
"""Makes a file's text."""


class Archive:
    """Collects the files. stored: the configuration; engines: those that can be asked."""

    def __init__(self, stored: Configuration, engines: Engines, tell: Callable[[str], None]) -> None:
        self._stored, self._engines, self._tell = stored, engines, tell
        self._directory = engines.directory
        self._export: dict[str, Any] = {}
        self._plan: dict[str, Any] = {}
        self.faults: dict[str, str] = {}  # why files could not be made, by their names

    def made(self) -> dict[str, str]:
        """Every file's text by its name, secrets masked."""
        self._tell("asking the engines")
        reports = self._engines.reports()
        made = self._all(self._of_configuration())
        made |= self._all(self._of_engines(reports))
        self._tell("reading the state of the network and the host")
        made |= self._all(self._of_hosts(reports))
        made["about.json"] = _json(self._about(made))
        mask = Mask([*secrets(self._export), *secrets(self._plan), *self._past(), *self._password()])
        return {name: mask.text(text) for name, text in sorted(made.items())}

    def _all(self, wanted: Iterable[tuple[str, Made]]) -> dict[str, str]:
        """Make files side by side, as commands wait."""

        def one(each: tuple[str, Made]) -> tuple[str, str]:
            name, make = each
            try:
                return name, make()
            except (ShellError, DataplaneError, OSError, ValueError, LookupError, subprocess.SubprocessError) as exc:
                self.faults[name] = str(exc) or type(exc).__name__
                return name, f"could not be made: {self.faults[name]}\n"

        wanted = list(wanted)
        readers = [each for each in wanted if each[0].startswith(("network/", "host/"))]
        made = dict(map(one, (each for each in wanted if each not in readers)))
        with ThreadPoolExecutor(4) as pool:
            return made | dict(pool.map(one, readers))

    def _of_configuration(self) -> Iterator[tuple[str, Made]]:
        yield "configuration/export.json", self._exported
        yield "configuration/running_config.txt", self._running
        yield "configuration/history.json", self._history
        yield "configuration/plan.json", self._planned
        yield "audit.jsonl", partial(self._tails, statedir.AUDIT[1::-1])
        yield "state-directory.txt", self._listed

    def _exported(self) -> str:
        self._export = transfer.export(self._stored, ALL)
        return _json(Mask(()).document(self._export))

    def _running(self) -> str:
        return "".join(f"{line}\n" for line in transfer.running_config(self._stored, ALL, secrets=False))

    def _history(self) -> str:
        with self._stored.snapshot() as store:
            commits = [asdict(commit) for commit in store.log.last(COMMITS, None)]
        for commit in commits:
            commit["line"] = SECRET if secret.suspected(commit["line"]) is not None else commit["line"]
        return _json(Mask(()).document(commits))

    def _planned(self) -> str:
        with self._stored.snapshot() as store:
            self._plan = file.document(store.whole_plan())
        return _json(Mask(()).document(self._plan))

    def _past(self) -> Iterator[str]:
        """Secrets from the commits of the history, since lines that are kept elsewhere may show them."""
        try:
            with self._stored.snapshot() as store:
                for commit in store.log.last(COMMITS, None):
                    for change in store.changes(commit.number):
                        yield from secrets([change.before, change.after])
        except (ShellError, ValueError, LookupError) as exc:
            self.faults["configuration/history.json"] = str(exc)

    def _password(self) -> Iterator[str]:
        """The password for etcd, if the host shares its configuration."""
        from dataplane.cluster import address

        try:
            if (store := address.remembered(self._directory)) is not None and store.password_file:
                yield store.password()
        except (DataplaneError, OSError, ValueError):
            return

    def _tails(self, names: Iterable[str]) -> str:
        """The ends of files of the state directory that are there, whole lines."""
        found = []
        for name in names:
            try:
                held = statedir.open_file(self._directory / name, os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                continue
            with open(held, "rb") as opened:
                size = os.fstat(held).st_size
                opened.seek(max(0, size - LARGEST))
                data = opened.read(LARGEST)
            found.append((data if size <= LARGEST else data.partition(b"\n")[2]).decode(errors="replace"))
        return "".join(found)

    def _listed(self) -> str:
        told = []
        for path in sorted(self._directory.rglob("*")):
            found = path.lstat()
            when = moment(found.st_mtime)
            told.append(f"{found.st_mode:06o} {found.st_uid:6} {found.st_size:12} {when} {path}\n")
        return "".join(told)

    def _of_engines(self, reports: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Made]]:
        for report in reports:
            yield f"engines/{report['name']}/status.json", partial(_json, report)
        for name in client.engines(self._directory):
            yield f"engines/{name}/kernel.json", partial(self._kernel, name)
        for path in sorted(self._directory.glob(f"*{eventfile.SUFFIX}")):
            yield f"engines/{path.stem}/events.jsonl", partial(self._tails, (path.name,))

    def _kernel(self, name: str) -> str:
        return _json(client.kernel_objects(self._directory, name))

    def _of_hosts(self, reports: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Made]]:
        places: dict[str, tuple[str, ...]] = {"network": ()}
        places |= {f"network/{name}": ("nsenter", f"--net=/proc/{pid}/ns/net") for name, pid in _elsewhere(reports)}
        for place, prefix in places.items():
            for name, line in NETWORK.items():
                yield f"{place}/{name}.txt", partial(_output, (*prefix, *line.split()))
        for name, line in HOST.items():
            yield f"host/{name}.txt", partial(_output, tuple(line.split()))
        yield "host/system.txt", Path("/etc/os-release").read_text

    def _about(self, made: Mapping[str, str]) -> dict[str, Any]:
        packages = {}
        for name in _PACKAGES:
            try:
                packages[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                packages[name] = "not installed"
        return {
            "product": "avi-shell",
            "version": VERSION,
            "python": platform.python_version(),
            "packages": packages,
            "machine": platform.machine(),
            "host": platform.node(),
            "made": rfc3339(time.time()),
            "state_directory": str(self._directory),
            "engines_that_do_not_answer": self._engines.silent,
            "could_not_be_made": self.faults,
            "files": {name: len(text.encode(errors="replace")) for name, text in sorted(made.items())},
        }


def packed(made: Mapping[str, str], folder: str) -> bytes:
    """A compressed archive of files, all in one folder, for their owner alone."""
    held = io.BytesIO()
    now = int(time.time())
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, text in made.items():
            data = text.encode(errors="replace")
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, now
            archive.addfile(entry, io.BytesIO(data))
    return held.getvalue()


def _elsewhere(reports: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """The engines of this host that have another network than the shell, with their processes."""
    try:
        own = os.readlink("/proc/self/ns/net")
    except OSError:
        return
    for report in reports:
        try:
            program = Path(f"/proc/{report['pid']}/comm").read_text()
            if program and os.readlink(f"/proc/{report['pid']}/ns/net") != own:
                yield report["name"], report["pid"]
        except (OSError, KeyError):
            continue


def _output(words: tuple[str, ...]) -> str:
    """What a command prints, with its errors. Raises OSError, SubprocessError."""
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        check=False,
    )
    return f"# {' '.join(words)}\n{done.stdout[-LARGEST:].decode(errors='replace')}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
