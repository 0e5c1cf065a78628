"""Limits the segment size (MSS) that a pool member announces from its VIPs, so that clients' segments fit the tunnel.

A table of nftables lowers the MSS option of SYN packets from a VIP, whatever route they take; a route's `advmss` would
have to be set on every route, new ones too. It only ever lowers the MSS (nft(8), "tcp option maxseg size set").
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from dataplane.errors import ServerError

TABLE = "avi_server"
PRIORITY = 150
"""The hook's priority, after source address translation (srcnat, 100): then answers from a container have their VIP."""


def limits() -> dict[str, int]:
    """The largest MSS of each VIP that has a limit, in bytes. Raises ServerError."""
    if not any(t.get("table", {}).get("name") == TABLE for t in _listed("list", "tables", "ip")):
        return {}
    found = {}
    for entry in _listed("list", "table", "ip", TABLE):
        expressions = entry.get("rule", {}).get("expr", [])
        vip = next((e["match"]["right"] for e in expressions if _is_source(e)), None)
        size = next((e["mangle"]["value"] for e in expressions if "mangle" in e), None)
        if isinstance(vip, str) and isinstance(size, int):
            found[vip] = size
    return found


def put(wanted: Mapping[str, int]) -> None:
    """Limit exactly these VIPs; if there are none, remove the table. Raises ServerError."""
    _nft("-f", "-", commands=ruleset(wanted))


def ruleset(wanted: Mapping[str, int]) -> str:
    """The whole table as nft(8) reads it: one transaction replaces what was there."""
    lines = [f"table ip {TABLE}", f"delete table ip {TABLE}"]
    if wanted:
        lines += [f"table ip {TABLE} {{", " chain answers {"]
        lines.append(f"  type filter hook postrouting priority {PRIORITY}; policy accept;")
        lines += [f"  {rule(vip, size)}" for vip, size in sorted(wanted.items())]
        lines += [" }", "}"]
    return "\n".join([*lines, ""])


def rule(vip: str, size: int) -> str:
    """One VIP's rule."""
    return f"ip saddr {vip} tcp flags & syn == syn tcp option maxseg size set {size}"


def _is_source(expression: dict[str, Any]) -> bool:
    left = expression.get("match", {}).get("left", {})
    return isinstance(left, dict) and left.get("payload") == {"protocol": "ip", "field": "saddr"}


def _listed(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_nft("-j", *words))["nftables"]
    return found


def _nft(*words: str, commands: str | None = None) -> str:
    try:
        run = subprocess.run(["nft", *words], input=commands, capture_output=True, text=True)
    except FileNotFoundError:
        raise ServerError("nft(8) is not here", remedy="apt-get install nftables") from None
    if run.returncode:
        raise ServerError(f"nftables refuses the limit of the segment size: {run.stderr.strip()}")
    return run.stdout
