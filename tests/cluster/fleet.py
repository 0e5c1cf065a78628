"""Hosts commit and follow while members of etcd and hosts die: `python -m tests.cluster.fleet`; short in the suite."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from avi_shell.configuration.importing import import_
from avi_shell.configuration.shared import SharedConfiguration
from avi_shell.errors import Refused, StoreError
from dataplane.cluster import address as addresses

from .hosts import Hosts, dump
from .members import Members, until

_PAUSE = 1.0
"""Seconds that a member is dead at most; as many, or twice as many, pass until the next leader dies."""
_LARGE = 50
"""Every so many commits of a host one is larger than etcd takes at once, by its size and by its objects."""
_OBJECTS, _BYTES = 150, 12_000
"""Of a large commit: its objects, and what each holds that does not compress."""


def leaders(members: Members, folder: Path, commits: int, most: int) -> dict[str, int]:
    """Two hosts make so many commits each, and a third one follows, while the leader is killed and started again, time
    after time, `most` times at most, and etcd forgets each time what was before. Whatever was stored is in all stores,
    in the same place, and nothing that was refused. Returns how many were stored, how many refused, and how many
    leaders died."""
    address = members.address(f"leaders{os.getpid()}")
    told = {"stored": 0, "refused": 0, "leaders": 0}

    def body() -> None:
        with Hosts(folder, address) as hosts, _following(folder / "third", address.url):
            writers = [
                subprocess.Popen(
                    [sys.executable, "-m", "tests.cluster.fleet", "--write", str(commits), str(host), address.url],
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for host in hosts.folders
            ]
            rest = random.Random(1)
            while told["leaders"] < most and any(writer.poll() is None for writer in writers):
                leader = members.leader()
                members.kill(leader)
                time.sleep(rest.uniform(0, _PAUSE))
                members.start(leader)
                until(lambda: _forgotten(members))
                told["leaders"] += 1
                time.sleep(rest.uniform(_PAUSE, 2 * _PAUSE))
            lines = "".join(writer.communicate()[0] for writer in writers).split("\n")
            assert [writer.returncode for writer in writers] == [0, 0]
            stored = {line.split()[1] for line in lines if line.startswith("stored")}
            refused = {line.split()[1] for line in lines if line.startswith("refused")}
            unknown = {line.split()[2] for line in lines if line.startswith("not known")}
            assert len(stored) + len(refused) + len(unknown) == 2 * commits
            for configuration in hosts.open:
                configuration.log.etcd.patience = 20.0
            hosts.equal()
            found = _committed(hosts.open[0].names("pool", "admin"))
            assert stored <= set(found) <= stored | unknown
            history = [commit.name for commit in hosts.open[1].history(1 << 30)]
            assert sorted(name for name in history if name) == sorted(name for name in found if "large" not in name)
            until(lambda: dump(folder / "third") == dump(hosts.folders[0]))
            told.update(stored=len(stored), refused=len(refused))

    members.run(body)
    return told


def killed(members: Members, folder: Path, count: int) -> int:
    """A host is killed so many times between etcd's commit and its own. Returns how many of these commits both hosts
    have in the end."""
    address = members.address(f"killed{os.getpid()}")
    found: list[str] = []

    def body() -> None:
        with Hosts(folder, address) as hosts:
            argv = [
                sys.executable,
                "-m",
                "tests.cluster.fleet",
                "--die",
                str(count),
                str(hosts.folders[0]),
                address.url,
            ]
            subprocess.run(argv, check=True)
            hosts.equal()
            found.extend(hosts.open[1].names("pool", "admin"))

    members.run(body)
    return len(found)


@contextmanager
def _following(folder: Path, url: str) -> Iterator[None]:
    """A host that follows, and whose watch of the log nothing ends for good."""
    argv = [sys.executable, "-m", "avi_shell", "follow", "--state", str(folder), "--store", url]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()


def _forgotten(members: Members) -> bool:
    """Have etcd forget what was before now."""
    etcd = members.client(10.0)
    etcd.compact(etcd.txn((), ()).revision)
    etcd.close()
    return True


def _committed(pools: Sequence[str]) -> list[str]:
    """What was committed, of the pools that there are: a large commit whole, or not at all."""
    large = Counter(name.rpartition("-")[0] for name in pools if name.startswith("large"))
    assert set(large.values()) <= {_OBJECTS}
    return [*large, *(name for name in pools if not name.startswith("large"))]


def _write(folder: Path, url: str, count: int) -> None:
    configuration = SharedConfiguration.join(folder, addresses.parse(url))
    for number in range(count):
        large = number % _LARGE == _LARGE - 1
        name = f"{'large-' * large}{folder.name}-{number}"
        try:
            if large:
                configuration.again(partial(import_, configuration, {"Pool": _pools(name)}))
            else:
                configuration.save("pool", {"name": name}, "admin")
            print("stored", name)
        except (Refused, StoreError) as exc:
            print("not known" if "is not known" in exc.what else "refused", name, exc.what)
    configuration.close()


def _pools(name: str) -> list[dict[str, str]]:
    """The pools of a large commit."""
    texts = random.Random(name)
    return [{"name": f"{name}-{index}", "description": texts.randbytes(_BYTES).hex()} for index in range(_OBJECTS)]


def _die(folder: Path, url: str, count: int) -> None:
    for number in range(count):
        child = os.fork()
        if not child:
            configuration = SharedConfiguration.join(folder, addresses.parse(url))
            append = configuration.log.append

            def kill(*arguments: Any, append: Callable[..., bool] = append) -> bool:
                assert append(*arguments)
                os.kill(os.getpid(), 9)
                return True

            setattr(configuration.log, "append", kill)  # noqa: B010
            configuration.save("pool", {"name": f"p{number}"}, "admin")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9


def main() -> int:
    """The long version, or one of the processes that it starts."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.fleet", description=__doc__)
    parser.add_argument("--commits", type=int, default=500, help="of each host (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=200, help="of a host (default: %(default)s)")
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--die", type=int, help=argparse.SUPPRESS)
    parser.add_argument("host", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        _write(Path(arguments.host[0]), arguments.host[1], arguments.write)
    elif arguments.die:
        _die(Path(arguments.host[0]), arguments.host[1], arguments.die)
    else:
        with (
            tempfile.TemporaryDirectory(prefix="avi-fleet-") as name,
            Members((folder := Path(name)) / "etcd", 3) as members,
        ):
            told = leaders(members, folder / "leaders", arguments.commits, most=1 << 30)
            print(f"{told['stored']} commits stored, {told['refused']} refused, {told['leaders']} leaders killed")
            done = killed(members, folder / "killed", arguments.kills)
            print(f"{done} of {arguments.kills} commits of a host that was killed meanwhile are on both hosts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
