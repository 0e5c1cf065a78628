"""The program that takes clients' packets out of the tunnel on a pool member: `decap.c`, at an interface's ingress.

The kernel's traffic control keeps it (tc-bpf(8), qdisc clsact): it needs neither a pin nor a process, and stays until
`detach` or until the interface vanishes. Its map has one entry for each VIP whose packets it decapsulates.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.errors import DriverError, ServerError
from dataplane.forwarding.program import DECAPSULATION
from dataplane.server import iproute

OBJECT = DECAPSULATION
NAME = "avi_decap"
_PREFERENCE = 100
_INGRESS = "ffff:fff2"  # TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), linux/pkt_sched.h
_ETH_P_ALL = 3


@dataclass(frozen=True, slots=True)
class Attached:
    """The program on an interface."""

    preference: int  # of its filter
    handle: str  # of its filter
    program: int  # its id


def attached(interface: str) -> Attached | None:
    """The program on an interface; None if it is not there. Raises ServerError."""
    for found in json.loads(iproute.tool("tc", "-json", "filter", "show", "dev", interface, "ingress") or "[]"):
        options = found.get("options", {})
        if found.get("kind") == "bpf" and options.get("bpf_name") == NAME and "prog" in options:
            return Attached(found["pref"], options["handle"], options["prog"]["id"])
    return None


def has_hook(interface: str) -> bool:
    """Whether an interface has a qdisc that holds programs at its ingress. Raises ServerError."""
    found: list[dict[str, Any]] = json.loads(iproute.tool("tc", "-json", "qdisc", "show", "dev", interface) or "[]")
    return any(qdisc.get("kind") in ("clsact", "ingress") for qdisc in found)


def attach(interface: str) -> None:
    """Put the program on an interface. It decapsulates nothing yet. Raises ServerError."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    if not has_hook(interface):
        iproute.tool("tc", "qdisc", "add", "dev", interface, "clsact")
    try:
        with Object(OBJECT) as loaded, IPRoute() as netlink:
            loaded.load()
            with loaded.program(NAME) as program:
                netlink.tc(
                    "add-filter",
                    "bpf",
                    socket.if_nametoindex(interface),
                    fd=program.fd,
                    name=NAME,
                    parent=_INGRESS,
                    prio=_PREFERENCE,
                    protocol=_ETH_P_ALL,
                    direct_action=True,
                )
    except (DriverError, NetlinkError, OSError) as exc:
        remedy = exc.remedy if isinstance(exc, DriverError) else ""
        raise ServerError(f"cannot put the decapsulating program on {interface}: {exc}", remedy=remedy) from exc


def detach(interface: str, *, hook: bool) -> bool:
    """Take the program off an interface. Returns whether it was there. Raises ServerError.

    hook: also remove the qdisc that holds programs, if nobody else uses it.
    """
    found = attached(interface)
    if found is not None:
        place = ("dev", interface, "ingress", "pref", str(found.preference))
        iproute.tool("tc", "filter", "del", *place, "handle", found.handle, "bpf")
    if hook and has_hook(interface) and not any(_filters(interface, where) for where in ("ingress", "egress")):
        iproute.tool("tc", "qdisc", "del", "dev", interface, "clsact")
    return found is not None


def vips(interface: str) -> frozenset[str] | None:
    """The VIPs whose packets the program decapsulates on an interface; None if it is not there. Raises ServerError."""
    found = attached(interface)
    if found is None:
        return None
    with _map(found) as table:
        return frozenset(socket.inet_ntoa(key) for key, _ in table.items())


def put(interface: str, more: Iterable[str]) -> None:
    """Have packets for these VIPs decapsulated too. Raises ServerError."""
    known = vips(interface) or frozenset()
    with _map(_expected(interface)) as table:
        for vip in set(more) - known:
            table.update(socket.inet_aton(vip), bytes(8))


def remove(interface: str, vip: str) -> bool:
    """Stop decapsulating packets for a VIP. Returns whether they were. Raises ServerError."""
    if vip not in (vips(interface) or ()):
        return False
    with _map(_expected(interface)) as table:
        table.delete(socket.inet_aton(vip))
    return True


def _expected(interface: str) -> Attached:
    found = attached(interface)
    if found is None:
        raise ServerError(f"the decapsulating program is not on {interface}")
    return found


def _map(found: Attached) -> Map:
    try:
        with Program.by_id(found.program) as program:
            maps: list[Map] = program.maps()
    except DriverError as exc:
        raise ServerError(f"cannot open the table of {OBJECT.name}: {exc}", remedy="run it as root") from exc
    return next(table for table in maps if table.name == "vips")


def _filters(interface: str, where: str) -> list[Any]:
    found: list[Any] = json.loads(iproute.tool("tc", "-json", "filter", "show", "dev", interface, where) or "[]")
    return found
