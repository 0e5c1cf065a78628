"""What is in the kernel, as others see it: rules, routes, qdiscs, nftables, XDP programs, pins and settings of a
namespace, an engine's links at tracepoints, each by the name that the registry gives it
(`dataplane.kernel.objects`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataplane.bpf.bpffs import BPFFS
from dataplane.bpf.programs import Program
from dataplane.kernel.objects import LINK, PIN, ROUTE, RULE, SETTING, TABLE, TRACE
from dataplane.network import features
from tests.netns import Namespace

State = Mapping[tuple[str, str], str]
"""Value by kind and name."""


def seen(there: Namespace, instance: str) -> dict[tuple[str, str], str]:
    """All of it. instance: how the folder of the engine's pins begins."""
    found: dict[tuple[str, str], str] = {}
    for rule in _json(there, "ip -j -4 rule"):
        found[RULE, _rule(rule)] = json.dumps(rule)
    for route in _json(there, "ip -j -4 route show table all"):
        table = str(route.get("table", "main"))
        own = table.isdecimal()
        found[(ROUTE, f"table {table}") if own else ("route of the host", json.dumps(route, sort_keys=True))] = "there"
    for link in _json(there, "ip -j -d link"):
        found["interface", link["ifname"]] = str(link["ifindex"])
        for key in (features.key(link["ifname"], name) for name in features.UNTAGGING):
            found[SETTING, key] = there.run(lambda key=key: features.read(key))  # type: ignore[misc]
        if "xdp" in link:
            found[LINK, link["ifname"]] = str(link["xdp"]["mode"])
    for table in json.loads(there.sh("nft -j list tables"))["nftables"]:
        if "table" in table:
            found[TABLE, f"{table['table']['family']} {table['table']['name']}"] = "there"
    for line in there.sh("tc qdisc").splitlines():
        found["qdisc", line] = "there"
    for line in there.sh("ip -4 -o addr").splitlines():
        found["address", line] = "there"
    folder = BPFFS / "avi-se"
    patterns = (f"{instance}*/**/*", f"dpdk-{instance}*/**/*")
    for path in (path for pattern in patterns for path in folder.glob(pattern)) if folder.is_dir() else ():
        if path.is_symlink() or not path.is_dir():
            found[PIN, str(path)] = "there"
    for name in traced(instance):
        found[TRACE, name] = "there"
    for line in there.sh("grep -rHs . /proc/sys/net/ipv4 || true").splitlines():
        name, _, value = line.partition(":")
        found[SETTING, ".".join(Path(name).relative_to("/proc/sys").parts)] = value
    return found


def traced(instance: str) -> Iterator[str]:
    """The programs that an engine holds at tracepoints, as its open files tell (proc(5), fdinfo)."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended since
            if f"\0--name\0{instance}\0".encode() not in (process / "cmdline").read_bytes():
                continue
            for held in (process / "fdinfo").iterdir():
                told = dict(line.split(":", 1) for line in held.read_text().splitlines() if ":" in line)
                if told.get("link_type", "").strip() in ("raw_tracepoint", "tracing"):
                    with Program.by_id(int(told["prog_id"])) as program:
                        yield program.name


def changed(before: State, after: State) -> set[tuple[str, str]]:
    """What came, went, or has another value."""
    return {one for one in before.keys() | after.keys() if before.get(one) != after.get(one)}


def _rule(rule: Mapping[str, Any]) -> str:
    name = str(rule["priority"])
    if "fwmark" in rule:
        name += f" fwmark {rule['fwmark']}/{rule.get('fwmask', '0xffffffff')}"
    if "uid_start" in rule:
        name += f" uidrange {rule['uid_start']}-{rule['uid_end']}"
    return name


def _json(there: Namespace, command: str) -> list[Any]:
    return list(json.loads(there.sh(command) or "[]"))
