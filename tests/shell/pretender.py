"""An engine that only reports: what it tells of itself, and counters that grow from one question to the next."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

EVENTS = [
    {"at": 1764400000.0, "text": "VIP 10.1.1.100 is up, announced", "severity": "notice"},
    {"at": 1764400100.0, "text": "server 10.1.1.11 of pool p1 is down: no reply to ARP", "severity": "warning"},
]


def report(asked: int, uuid: str, servers: int = 3, name: str = "se-1") -> dict[str, Any]:
    """What an engine tells of a virtual service whose second server is down. asked: how often it was asked before;
    each time it forwarded 1,000 packets more of 100 bytes, and dropped 5 more."""
    service = {
        "virtualservice": "vs1", "tenant": "admin", "uuid": uuid, "vip": "10.1.1.100", "protocol": "tcp", "port": 80,
        "port_end": 80, "pool": "p1", "pool_uuid": "pool-1", "state": "up", "reason": "", "packets": 1000 * asked,
        "bytes": 100000 * asked, "dropped": {"no_service": asked},
    }  # fmt: skip
    members = [
        {
            "address": f"10.1.1.{10 + number}", "port": 80, "state": "down" if number == 1 else "up",
            "reason": "no reply to ARP" if number == 1 else "", "share": 0 if number == 1 else 1 / (servers - 1),
            "packets": 500 * asked if number != 1 else 0, "bytes": 50000 * asked if number != 1 else 0,
        }
        for number in range(servers)
    ]  # fmt: skip
    return {
        "name": name, "group": "Default-Group", "interfaces": [], "vips": [], "driver": {"name": "pcap"},
        "services": [service],
        "pools": [{"name": "p1", "uuid": "pool-1", "state": "up", "reason": "", "servers": members}],
        "dropped": {"no_service": 5 * asked}, "events": EVENTS, "rates": {
            "services": {"10.1.1.100/tcp/80-80": {"packets": 1001.0, "bytes": 100100.0, "flows": 64.0}}, "servers": {},
        },
    }  # fmt: skip


@contextmanager
def pretending(state: Path, uuid: str, servers: int = 3) -> Iterator[None]:
    """The engine runs on a state directory."""
    (state / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state / "run" / "se-1.sock"))
        listener.listen()
        Thread(target=_serve, args=(listener, uuid, servers), daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, uuid: str, servers: int) -> None:
    asked = 0
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rwb") as stream:
            if (line := stream.readline()) and json.loads(line)["request"] == "status":
                stream.write(json.dumps(report(asked, uuid, servers)).encode() + b"\n")
                asked += 1
