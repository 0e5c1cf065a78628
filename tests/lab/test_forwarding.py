"""Real requests through a real engine, and what the captures prove."""

import pytest

from dataplane.lab import demo, evidence
from tests.lab import plans


@pytest.mark.parametrize("example", ["l2_dsr", "udp_echo"])
def test_every_claim_about_a_hundred_requests_holds(example: str, driver: str) -> None:
    """Answered, by at least two servers, not one byte of the answers through the engine, packets unchanged."""
    with plans.new_lab(example, driver) as lab:
        plans.start(lab)
        lab.capture("engine")
        lab.capture("client")
        answered = demo.ask(lab, 100)
        lab.finish_captures()
        frames = [evidence.read(lab.folder / f"{port}.pcap", lab.topology) for port in ("engine", "client")]
        seen = evidence.sort(frames[0], frames[1], lab.topology)
        findings = evidence.findings(seen, answered, 100, lab.topology)
        assert [f"{finding.claim}: {finding.seen}" for finding in findings if not finding.holds] == []
        told = lab.status()
        assert told is not None
        assert told["driver"]["name"] == driver
        assert told["services"][0]["packets"] == len(seen.to_engine)
        assert told["services"][0]["bytes"] == sum(len(frame.packet) for frame in seen.to_engine)
        wanted = plans.owners(lab.topology, [port for _, port in answered], lab.topology.servers)
        assert {port: name for (_, port), name in answered.items()} == wanted
