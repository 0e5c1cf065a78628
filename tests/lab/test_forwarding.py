"""Real requests through a real engine, and what the captures prove."""

import signal
import socket
import threading
from pathlib import Path

import pytest
from scapy.utils import RawPcapReader

from dataplane.lab import demo, evidence
from dataplane.lab.namespaces import inside
from dataplane.metrics import text
from tests.dataplane.test_metrics import get, of, parsed
from tests.drivers import REFERENCE
from tests.lab import plans
from tests.polling import until

METRICS = 9100
"""The port, in the engine's namespace, on which its metrics are."""


@pytest.mark.parametrize("example", ["l2_dsr", "udp_echo"])
def test_every_claim_about_a_hundred_requests_holds(example: str, driver: str) -> None:
    """Answered, by at least two servers, not one byte of the answers through the engine, packets unchanged. Status and
    metrics count what was seen."""
    with plans.new_lab(example, driver) as lab:
        plans.start(lab, "--metrics", f"127.0.0.1:{METRICS}")
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
        series = parsed(inside(lab.hosts["engine"], lambda: get(METRICS, "/metrics")))
        assert of(series, text.SERVICE_PACKETS) == len(seen.to_engine)
        assert of(series, text.SERVICE_BYTES) == told["services"][0]["bytes"]
        for server in told["pools"][0]["servers"]:
            assert of(series, text.SERVER_PACKETS, ("server", server["address"])) == server["packets"]
        wanted = plans.owners(lab.topology, [port for _, port in answered], lab.topology.servers)
        assert {port: name for (_, port), name in answered.items()} == wanted


def test_a_capture_ends_after_the_frames_that_the_driver_still_had() -> None:
    """The driver stands still while a request comes, and goes on when the capture is to end."""
    with plans.new_lab("udp_echo", REFERENCE) as lab:
        plans.start(lab)
        assert [answer.error for answer in lab.ask(range(20001, 20002))] == [""]
        capture = lab.capture("engine")
        client, mark = lab.hosts["client"], b"the request that waits"
        assert lab.engine is not None
        lab.engine.send_signal(signal.SIGSTOP)
        inside(client, lambda: _send(mark, (lab.topology.vip, lab.topology.port)))
        until(lambda: capture.holds(mark))
        ending = threading.Thread(target=lab.finish_captures)
        ending.start()
        until(lambda: _pinged(capture.path) or not ending.is_alive())
        lab.engine.send_signal(signal.SIGCONT)
        ending.join()
        frames = evidence.read(capture.path, lab.topology)
        assert [frame.source_mac for frame in frames] == [lab.topology.client.mac, lab.topology.engine.mac]


def _send(data: bytes, to: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.sendto(data, to)


def _pinged(path: Path) -> bool:
    with RawPcapReader(str(path)) as frames:
        return any(evidence.dissect(data, socket.IPPROTO_ICMP) for data, _ in frames)
