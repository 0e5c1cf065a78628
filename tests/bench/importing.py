"""How fast an export becomes a configuration: one commit, checked and planned, in a store in memory. Beside it: the
same objects, each as JSON into a table of SQLite and out again, neither checked nor planned."""

from __future__ import annotations

import gc
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration

from .measure import Effort, Samples, paired

SERVICES = 2000
SERVERS = 2
"""Of each service's pool."""


def services(effort: Effort) -> Iterator[Samples]:
    """One line: processor time of importing services, each with a pool and a VsVip, in milliseconds."""
    data = export(effort.times(SERVICES))
    took, plain = paired(effort.rounds + 1, lambda: _imported(data), lambda: _stored(data))
    note = f"{sum(map(len, data.values())):,} objects; processor time"
    yield Samples("2,000 services", "ms", took[1:], plain[1:], note=note)


def _imported(data: Mapping[str, Any]) -> float:
    with closing(Configuration.in_memory()) as configuration:
        gc.collect()
        began = time.process_time()
        transfer.import_(configuration, data)
        return (time.process_time() - began) * 1000


def _stored(data: Mapping[str, Any]) -> float:
    """Written in one transaction, read, and gone through by name."""
    with closing(sqlite3.connect(":memory:")) as store:
        gc.collect()
        began = time.process_time()
        with store:
            store.execute("CREATE TABLE object (kind TEXT, name TEXT, value TEXT, PRIMARY KEY (kind, name))")
            for kind, objects in data.items():
                for one in objects:
                    store.execute("INSERT INTO object VALUES (?, ?, ?)", (kind, one["name"], json.dumps(one)))
        for kind, objects in data.items():
            for one in objects:
                (text,) = store.execute(
                    "SELECT value FROM object WHERE kind = ? AND name = ?", (kind, one["name"])
                ).fetchone()
                assert json.loads(text) == one
        return (time.process_time() - began) * 1000


def export(count: int) -> dict[str, Any]:
    """An export of so many virtual services by layer 2, written as briefly as one may."""
    profile = {"udp_fast_path_profile": {"dsr_profile": {"dsr_type": "DSR_TYPE_L2"}}}
    key = "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS_AND_PORT"
    return {
        "NetworkProfile": [{"name": "dsr", "profile": {"type": "PROTOCOL_TYPE_UDP_FAST_PATH", **profile}}],
        "Pool": [
            {
                "name": f"p{n}", "lb_algorithm": "LB_ALGORITHM_CONSISTENT_HASH", "lb_algorithm_hash": key,
                "servers": [{"ip": _address(10, n * SERVERS + k), "port": 80} for k in range(SERVERS)],
            } for n in range(count)
        ],
        "VsVip": [{"name": f"vip{n}", "vip": [{"vip_id": "0", "ip_address": _address(11, n)}]} for n in range(count)],
        "VirtualService": [
            {
                "name": f"vs{n}", "services": [{"port": 80}],
                "application_profile_ref": "/api/applicationprofile/?name=System-L4-Application&tenant=admin",
                "network_profile_ref": "/api/networkprofile/?name=dsr&tenant=admin",
                "pool_ref": f"/api/pool/?name=p{n}&tenant=admin", "vsvip_ref": f"/api/vsvip/?name=vip{n}&tenant=admin",
            } for n in range(count)
        ],
    }  # fmt: skip


def _address(first: int, number: int) -> dict[str, str]:
    return {"addr": f"{first}.{number >> 16}.{number >> 8 & 255}.{number & 255}", "type": "V4"}
