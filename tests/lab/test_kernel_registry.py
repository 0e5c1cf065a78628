"""What an engine keeps in the kernel, taken away by others while traffic flows: put back, told once, and all listed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from dataplane import client
from dataplane.bpf import links
from dataplane.bpf.links import Link
from dataplane.kernel.objects import LINK, PIN, ROUTE, RULE, SETTING, TABLE, TRACE
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import inside
from dataplane.lab.requests import Answer
from dataplane.lab.standstill import Witness

PORTS = range(21001, 22201)
LONGEST = 1.0
"""Seconds without an answer to anybody."""


def objects(lab: Lab) -> list[tuple[str, str]]:
    """All that the engine lists, but for what nobody can take away: links at tracepoints (bpf(2), BPF_LINK_DETACH)."""
    listed = client.kernel_objects(lab.state, lab.topology.engine_name)
    return [(kind, name) for kind, name in listed if kind != TRACE]


def remover(lab: Lab, kind: str, name: str) -> list[str]:
    """The command of somebody else that removes an object."""
    if kind == LINK:
        index = next(i for i in json.loads(lab.hosts["engine"].call("ip", "-j", "link")) if i["ifname"] == name)[
            "ifindex"
        ]
        there = inside(lab.hosts["engine"], lambda: links.attached(index))
        assert there is not None
        return ["bpftool", "link", "detach", "id", str(Link.of(there.program, index))]
    return {
        PIN: ["rm", name],
        TABLE: ["nft", "flush", "ruleset"],
        RULE: ["ip", "rule", "del", "pref", *name.split()],
        ROUTE: ["ip", "route", "del", "default", *name.split()],
        SETTING: ["sysctl", "-qw", f"{name}=1"],
    }[kind]


def dump(lab: Lab, kind: str, name: str) -> str:
    """Whether an object is there, as somebody else sees it: another text where it is not."""
    engine = lab.hosts["engine"]
    return {
        LINK: lambda: str("xdp" in engine.call("ip", "link", "show", "dev", name)),
        PIN: lambda: engine.call("sh", "-c", f"ls -d '{name}' 2>&1 || true"),
        TABLE: lambda: engine.call("nft", "list", "ruleset"),
        RULE: lambda: engine.call("ip", "rule", "show", "pref", *name.split()),
        ROUTE: lambda: engine.call("ip", "route", "show", *name.split()),
        SETTING: lambda: engine.call("sysctl", "-n", name),
    }[kind]()


def events(lab: Lab) -> list[str]:
    told = lab.status()
    return [event["text"] for event in told["events"]] if told else []


def longest_gap(answers: list[Answer], machine: Witness) -> float:
    """Seconds for which nobody had an answer, without those that the machine stood still."""
    ended = sorted(answer.at + answer.took for answer in answers if not answer.error)
    return max(later - earlier - machine.stood(earlier, later) for earlier, later in pairwise(ended))


@pytest.mark.alone  # it judges how long nobody is served
def test_whatever_others_take_away_is_put_back_while_traffic_flows(lab: Lab) -> None:
    kept = objects(lab)
    assert {kind for kind, _ in kept} >= {RULE, ROUTE, SETTING}
    assert TABLE in dict(kept) or {LINK, PIN} <= dict(kept).keys()
    before = {one: dump(lab, *one) for one in kept}
    asking = lab.start_asking(PORTS, "--interval", "0.005", "--timeout", "8", "--at-once", "300")
    asking.until(50)
    with Witness() as machine, ThreadPoolExecutor(1) as pool:
        finished = pool.submit(asking.finish)
        for one in [one for one in kept if one[0] != PIN]:
            lab.hosts["engine"].call(*remover(lab, *one))
            told = f"{' '.join(one)} was removed or changed by somebody else: put back"
            lab.wait(lambda t=told: t in events(lab), told)  # type: ignore[misc]
            assert dump(lab, *one) == before[one]
            assert events(lab).count(told) == 1
        if pins := [one for one in kept if one[0] == PIN]:
            count = len(events(lab))
            lab.hosts["engine"].call("rm", *(name for _, name in pins))
            lab.wait(lambda: all(dump(lab, *one) == before[one] for one in pins), "the pins")
            lab.wait(lambda: "put back" in events(lab)[-1], "their event")
            assert len(events(lab)) <= count + 2, "a look may come in the middle"
        answers = finished.result()
    assert objects(lab) == kept
    status = lab.status()
    assert status is not None
    assert status["kernel"] == []
    assert lab.servers() == {node.address: "up" for node in lab.topology.servers}
    assert [answer for answer in answers if answer.error] == []
    assert longest_gap(answers, machine) < LONGEST
