"""Captures of a running engine: they agree with what its status, its metrics and a capture outside it counted."""

from __future__ import annotations

import socket
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from dataplane import client
from dataplane.lab import demo, evidence
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import inside
from dataplane.metrics import text
from tests.dataplane.test_capturefiles import tshark
from tests.dataplane.test_metrics import get, of, parsed
from tests.drivers import every_driver
from tests.lab import plans
from tests.polling import until

METRICS = 9100
PINGS = 1
"""By which a laboratory ends its own captures."""
REQUESTS, STRAYS, BOUND = 20, 3, 5
_SERVICE = {"of": "vs1", "virtualservice": "virtualservice-1"}


def asked(lab: Lab, request: str, **fields: Any) -> dict[str, Any]:
    return client.ask(lab.state, lab.topology.engine_name, request, **fields)


def says(row: list[str]) -> tuple[str, ...]:
    """A comment without the virtual service: where, verdict, and server or reason."""
    where, _, rest = row[0].partition(": ")
    return (where, *(one for one in rest.split("; ") if not one.startswith("virtual service")))


@every_driver
def test_capture_status_metrics_and_packets_counted_outside_agree(driver: str) -> None:
    with plans.new_lab("l2_dsr", driver) as lab:
        plans.start(lab, "--metrics", f"127.0.0.1:{METRICS}")
        lab.capture("engine")
        begun = asked(lab, "capture", **_SERVICE, size=0)
        assert begun["running"]
        demo.ask(lab, REQUESTS)
        for _ in range(STRAYS):
            inside(lab.hosts["client"], partial(_stray, lab.topology.vip))
        lab.finish_captures()
        ended = asked(lab, "capture_end", of="vs1")
        outside = evidence.read(lab.folder / "engine.pcap", lab.topology)
        seen = evidence.sort(outside, [], lab.topology)
        told = lab.status()
        assert told is not None
        series = parsed(inside(lab.hosts["engine"], lambda: get(METRICS, "/metrics")))

        requests = len(seen.to_engine)
        assert (ended["ended"], ended["lost"]) == ("ended by an operator", 0)
        assert ended["verdicts"] == {"forwarded": requests, "dropped": STRAYS, "answered": PINGS}
        assert ended["packets"] == requests + STRAYS + PINGS
        assert ended["left"] - PINGS == len(seen.from_engine) == requests
        assert ended["dropped"] == {"no_service": STRAYS}
        assert told["dropped"]["no_service"] == STRAYS
        assert told["services"][0]["packets"] == requests
        assert of(series, text.SERVICE_PACKETS) == requests
        assert of(series, text.SE_DROPPED, ("reason", "no_service")) == STRAYS

        by_mac = Counter(frame.target_mac for frame in seen.from_engine)
        wanted: Counter[tuple[str, ...]] = Counter({("in front", "verdict dropped", "reason no_service"): STRAYS})
        for where in ("in front", "behind"):
            wanted[where, "verdict answered by the engine"] = PINGS
        for server in lab.topology.servers:
            if by_mac[server.mac]:
                wanted["in front", "verdict forwarded", f"server {server.address}"] = by_mac[server.mac]
                wanted["behind", "verdict forwarded", f"server {server.address}"] = by_mac[server.mac]
        rows = tshark(Path(ended["file"]))
        assert Counter(map(says, rows)) == wanted
        assert {row[1] for row in rows} == {"eth0"}
        lengths = Counter(int(row[2]) for row in rows if row[0].startswith("behind: verdict forwarded"))
        assert lengths == Counter(len(frame.packet) + evidence.ETHERNET for frame in seen.from_engine)

        asked(lab, "capture", **_SERVICE, packets=BOUND)
        demo.ask(lab, 2)
        until(lambda: not asked(lab, "captures", of="vs1")["captures"][0]["running"])
        newest, oldest = asked(lab, "captures", of="vs1")["captures"]
        assert (newest["ended"], newest["packets"]) == (f"{BOUND} packets", BOUND)
        assert oldest["file"] == ended["file"]

        drops = asked(lab, "capture", packets=1)
        demo.ask(lab, 1)
        inside(lab.hosts["client"], partial(_stray, lab.topology.vip))
        until(lambda: not asked(lab, "captures")["captures"][0]["running"])
        assert [says(row) for row in tshark(Path(drops["file"]))] == [
            ("in front", "verdict dropped", "reason no_service")
        ]
        last = asked(lab, "captures")["captures"][0]
        assert (last["verdicts"], last["ended"]) == ({"dropped": 1}, "1 packet")


def _stray(vip: str) -> None:
    """A packet to a port that is no service's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.sendto(b"nobody is there", (vip, 81))
