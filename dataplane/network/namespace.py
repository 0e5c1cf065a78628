"""The network namespace that this thread is in."""

from __future__ import annotations

import socket
from pathlib import Path

SO_NETNS_COOKIE = 71  # asm-generic/socket.h


def cookie() -> int:
    """A number that no other network namespace has had since the machine booted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little")


def boot() -> str:
    """The id of this run of the machine (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
