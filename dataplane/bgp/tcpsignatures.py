"""Counts segments that the kernel dropped for their TCP MD5 signature (RFC 2385). Only these counters show why a
session with different secrets never begins (netstat in proc(5), TcpExt)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Dropped(NamedTuple):
    """Dropped segments since the network namespace was made."""

    missing: int  # without a signature although one was expected
    unexpected: int  # with a signature although none was expected
    wrong: int  # with a signature made from another secret


def dropped() -> Dropped:
    """As the kernel counts them now."""
    try:
        lines = Path("/proc/thread-self/net/netstat").read_text("ascii").splitlines()
    except OSError:
        return Dropped(0, 0, 0)
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names.startswith("TcpExt:"):
            known = dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
            return Dropped(*(known.get(f"TCPMD5{name}", 0) for name in ("NotFound", "Unexpected", "Failure")))
    return Dropped(0, 0, 0)


def words(before: Dropped, now: Dropped) -> str:
    """What the new counts say about the secrets, in words; "" if there are none."""
    if now.wrong > before.wrong:
        return "segments come that are signed with another secret: md5_secret here and there differ"
    if now.missing > before.missing:
        return "segments come that are not signed: the router has no secret for this engine, or is not the peer"
    if now.unexpected > before.unexpected:
        return "segments come that are signed: the router has a secret for this engine, and md5_secret is not set"
    return ""
