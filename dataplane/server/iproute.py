"""Runs ip(8) and tc(8), and reads what they tell about this network namespace."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from dataplane.errors import ServerError


def run(*words: str) -> str:
    """Run ip(8). Returns its standard output. Raises ServerError with its error message."""
    return tool("ip", *words)


def tool(name: str, *words: str) -> str:
    """Run a program of iproute2. Returns its standard output. Raises ServerError with its error message."""
    try:
        run = subprocess.run([name, *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise ServerError(f"{name}(8) is not here", remedy="apt-get install iproute2") from None
    if run.returncode:
        raise ServerError(f"{name} {' '.join(words)}: {run.stderr.strip()}")
    return run.stdout


def told(*words: str) -> list[dict[str, Any]]:
    """Run ip(8) with -json. Returns the objects that it prints. Raises ServerError."""
    found: list[dict[str, Any]] = json.loads(run("-json", *words) or "[]")
    return [entry for entry in found if entry]


def addresses() -> list[tuple[str, str, int]]:
    """Every IPv4 address: interface, address, prefix length. Raises ServerError."""
    return [
        (link["ifname"], info["local"], info["prefixlen"])
        for link in told("-4", "addr", "show")
        for info in link.get("addr_info", ())
    ]
