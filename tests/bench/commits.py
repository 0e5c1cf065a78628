"""What a commit costs, and what the history keeps of it: random changes of a site of 50 services, in a store in memory.

`python -m tests.bench.commits --against DIR` compares the time with that of another checkout, which need not have this
module: the file is run there as it is, so what it needs of the product is what every release has.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sqlite3
import subprocess
import time
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avi_shell.configuration.configuration import Configuration

    from .measure import Effort, Samples

COMMITS = 10_000
SERVICES, SERVERS = 50, 4
"""Of the site, and of each service's pool."""
SEED = 7
Step = tuple[str, str, dict[str, Any] | None]
"""Kind, name, what the object becomes: None = it is deleted."""


def history(effort: Effort) -> Iterator[Samples]:
    """Lines "room", of the history beside that of the objects changed, each compressed alone, and "commit"."""
    from .measure import Samples

    done = Work(effort.times(COMMITS, 100))
    note = f"{done.count:,} commits of {done.changed:,} objects"
    yield Samples("room", "KiB", [done.room() / 1024], [done.objects / 1024], "zlib of the objects changed", note)
    yield Samples("commit", "ms", [done.seconds / done.count * 1000], note="processor time")


class Work:
    """So many commits, made."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seconds = 0.0  # of processor, in all
        self.changed = 0  # objects, in all commits together
        self.objects = 0  # bytes of them, each compressed alone as it was after its commit, or before it went
        self._configuration = _configuration()
        for kind, found in site():
            self._configuration.save(kind, found, "admin")
        self._first = self._configuration.version()
        chance = random.Random(SEED)
        gc.collect()
        for number in range(count):
            self._commit(*_step(self._configuration, chance, number))

    def _commit(self, kind: str, name: str, wanted: dict[str, Any] | None) -> None:
        before = self._configuration.find(kind, name, "admin")
        began = time.process_time()
        if wanted is None:
            self._configuration.delete(kind, name, "admin")
        else:
            self._configuration.save(kind, wanted, "admin")
        self.seconds += time.process_time() - began
        after = self._configuration.find(kind, name, "admin") if wanted is not None else before
        self.changed += 1
        self.objects += len(zlib.compress(json.dumps(after, ensure_ascii=False, separators=(",", ":")).encode()))

    def room(self) -> int:
        """Bytes of the store's file that the history takes, but for what the site left there."""
        with self._configuration.snapshot() as store:
            whole = sqlite3.connect(":memory:")
            store.connection.backup(whole)
        whole.executescript("DELETE FROM outbox")
        for table in ("history", "change"):
            whole.execute(f"DELETE FROM {table} WHERE number <= ?", (self._first,))
        whole.commit()
        sizes = []
        for _ in range(2):
            whole.executescript("VACUUM")
            sizes.append(len(whole.serialize()))
            whole.executescript("DELETE FROM history; DELETE FROM change;")
        return sizes[0] - sizes[1]


def _step(configuration: Configuration, chance: random.Random, number: int) -> Step:
    """What operators do: mostly servers, now and then a service, an object that comes or goes."""
    n = chance.randrange(SERVICES)
    what = chance.randrange(20)
    if what == 0:
        name = f"spare{n}"
        if configuration.find("pool", name, "admin") is not None:
            return "pool", name, None
        return "pool", name, {"name": name, "servers": [_server(n, k) for k in range(SERVERS)]}
    kind, name = ("virtualservice", f"vs{n}") if what <= 3 else ("pool", f"p{n}")
    found = configuration.find(kind, name, "admin")
    assert found is not None
    if what <= 6:
        return kind, name, {**found, "description": f"change {number} of {chance.random()}"}
    servers = [dict(server) for server in found["servers"]]
    if what <= 12:
        servers[chance.randrange(len(servers))]["ratio"] = number % 19 + 1
        servers[0]["description"] = str(number)
    elif what <= 16:
        servers.append(_server(n, number % 200 + SERVERS))
        servers = list({server["ip"]["addr"]: server for server in servers}.values())[-2 * SERVERS :]
        servers[0]["description"] = str(number)
    else:
        server = servers[chance.randrange(len(servers))]
        server["enabled"] = not server["enabled"]
    return kind, name, {**found, "servers": servers}


def site() -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a site, with their kinds, what is referred to first."""
    profile = {"type": "PROTOCOL_TYPE_UDP_FAST_PATH", "udp_fast_path_profile": {"dsr_profile": {}}}
    yield "networkprofile", {"name": "dsr", "profile": profile}
    for n in range(SERVICES):
        servers = [_server(n, k) for k in range(SERVERS)]
        yield "pool", {"name": f"p{n}", "lb_algorithm": "LB_ALGORITHM_CONSISTENT_HASH", "servers": servers}
        yield "vsvip", {"name": f"vip{n}", "vip": [{"vip_id": "0", "ip_address": _address(11, n, 0)}]}
        refs = {
            "application_profile_ref": "/api/applicationprofile/?name=System-L4-Application&tenant=admin",
            "network_profile_ref": "/api/networkprofile/?name=dsr&tenant=admin",
            "pool_ref": f"/api/pool/?name=p{n}&tenant=admin",
            "vsvip_ref": f"/api/vsvip/?name=vip{n}&tenant=admin",
        }
        yield "virtualservice", {"name": f"vs{n}", "services": [{"port": 80}], **refs}


def _configuration() -> Configuration:
    """A fresh one, in memory; also of releases before it had a package of its own."""
    try:
        module = import_module("avi_shell.configuration.configuration")
    except ModuleNotFoundError:
        module = import_module("avi_shell.configuration")
    made: Configuration = module.Configuration.in_memory()
    return made


def _server(service: int, number: int) -> dict[str, Any]:
    return {"ip": _address(10, service, number), "port": 80}


def _address(net: int, high: int, low: int) -> dict[str, Any]:
    return {"addr": f"{net}.1.{high}.{low + 1}", "type": "V4"}


def _seconds(root: Path, count: int) -> float:
    """Seconds of processor that a commit takes, of a checkout."""
    python, environment = root / ".venv" / "bin" / "python", {**os.environ, "PYTHONPATH": str(root)}
    argv = [str(python), __file__, "--time", "--count", str(count)]
    return float(subprocess.run(argv, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.commits")
    parser.add_argument("--count", type=int, default=COMMITS, metavar="N", help="commits (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="with --against (default: %(default)s)")
    parser.add_argument("--against", type=Path, metavar="DIR", help="a checkout with a .venv, whose commits to compare")
    parser.add_argument("--time", action="store_true", help="print the seconds that a commit takes, and nothing else")
    wanted = parser.parse_args()
    if wanted.time:
        print(Work(wanted.count).seconds / wanted.count)
        return
    if wanted.against is not None:
        roots = Path(__file__).resolve().parents[2], wanted.against.resolve()
        for number in range(wanted.rounds):
            ours, theirs = (_seconds(root, wanted.count) * 1000 for root in roots)
            print(f"round {number + 1}: a commit {ours:.3f} ms, there {theirs:.3f} ms: {ours / theirs:.3f}", flush=True)
        return
    done = Work(wanted.count)
    ratio = done.room() / done.objects
    print(f"{done.count:,} commits, {done.seconds / done.count * 1000:.3f} ms of processor time each")
    print(f"the history takes {done.room():,} bytes:")
    print(f"{ratio:.2f} times the {done.objects:,} bytes of the objects changed, each compressed alone")


if __name__ == "__main__":
    main()
