"""What a reader of results must know of the machine, the programs and the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = {
    "clang": ("clang", "--version"),
    "nginx": ("nginx", "-v"),
    "nft": ("nft", "--version"),
    "iproute2": ("ip", "-V"),
    "wrk": ("wrk", "-v"),
}
PACKAGES = ("pyroute2", "scapy", "rich", "matplotlib")


def load() -> list[float]:
    """Load averages of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def facts() -> dict[str, Any]:
    """Machine, versions, commit; nothing that changes while a bench runs."""
    return {
        "machine": {
            "node": platform.node(),
            "architecture": platform.machine(),
            "kernel": platform.release(),
            "kernel_version": platform.version(),
            "system": _system(),
            "cpu": _field("/proc/cpuinfo", "model name"),
            "cpus": os.cpu_count(),
            "usable_cpus": len(os.sched_getaffinity(0)),
            "memory": _field("/proc/meminfo", "MemTotal"),
            "hypervisor": "hypervisor" in Path("/proc/cpuinfo").read_text(),
            "bpf_jit": _read("/proc/sys/net/core/bpf_jit_enable"),
        },
        "versions": versions(),
        "commit": _output("git", "-C", str(ROOT), "rev-parse", "HEAD"),
        "changed": bool(_output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")),
    }


def versions() -> dict[str, str]:
    """Of Python, of the packages and programs that take part."""
    told = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            told[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    for name, command in PROGRAMS.items():
        if found := re.search(r"\d+(\.\d+)+|iproute2-[\w.]+", _output(*command)):
            told[name] = found[0].removeprefix("iproute2-")
    return told


def _output(*command: str) -> str:
    """What a program prints on either stream; "" where it is not there."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
    except OSError:
        return ""
    return done.stdout.strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _field(path: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.+)$", _read(path), re.MULTILINE)
    return found[1] if found else ""


def _system() -> str:
    return _read("/etc/os-release").partition('PRETTY_NAME="')[2].partition('"')[0]
