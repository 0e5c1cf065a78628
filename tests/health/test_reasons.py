"""A running engine tells a dead server from one that lacks the VIP."""

import pytest

from dataplane.daemon import statustext
from tests.drivers import REFERENCE
from tests.lab import plans


@pytest.mark.root
def test_a_dead_server_and_one_without_the_vip() -> None:
    with plans.new_lab("l2_dsr", REFERENCE) as lab:
        plans.start(lab)
        first, second, *others = lab.topology.servers
        lab.hosts[first.name].call("ip", "address", "del", f"{lab.topology.vip}/32", "dev", "lo")
        lab.switch.call("ip", "link", "set", second.name, "down")

        def told() -> dict[str, tuple[str, bool | None]]:
            report = lab.status()
            assert report is not None
            return {s["address"]: (s["reason"], s["host"]) for p in report["pools"] for s in p["servers"]}

        def reached() -> bool:
            now = told()
            return (
                now[first.address] == ("server answers, VIP does not: VIP missing on its loopback?", True)
                and now[second.address][0].startswith("server does not answer")
                and now[second.address][1] is False
                and all(now[node.address] == ("", True) for node in others)
            )

        lab.wait(reached, "the reasons", 30)
        text = "\n".join(statustext.render([dict(lab.status() or {})], 80))
        table = text.split("| Host")[1].split("\n+-")[1]
        hosts = [line.split("|")[4].strip() for line in table.splitlines()[1:]]
        assert sorted(hosts) == sorted(["answers", "silent", *["answers" for _ in others]])
