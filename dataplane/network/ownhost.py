"""Why this host's own kernel drops what comes back to the engine: looked for before a server is blamed.

The answer to a probe comes from the VIP, which may lie outside every network of this host. The kernel takes it only
where its reverse path filter lets it pass (rp_filter in ip-sysctl; the larger of `all` and the interface's counts).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from pathlib import Path

from dataplane.errors import command
from dataplane.network import routes, sysctl
from dataplane.network.reachability import NO_FAULT, Fault
from dataplane.network.rtnetlink import RtnetlinkSocket
from dataplane.network.state import Network

OWN_HOST = "the engine's own host"
"""How every reason begins that is found here."""
_STRICT = 1
_NEVER = 8  # arp_ignore: no ARP request is answered
_NETSTAT = Path("/proc/self/net/netstat")
_TRUE_FOR = 1.0
"""Seconds for which what was found is not looked for again: thousands of probes may fail together."""
_MOST = 4096
"""Findings remembered."""


class OwnHost:
    """Looks at the kernel of the calling thread's network namespace."""

    def __init__(self) -> None:
        self._kernel = RtnetlinkSocket()
        self._found: dict[tuple[bytes, str], tuple[float, Fault]] = {}

    def fault(self, sender: bytes, interface: str) -> Fault:
        """Why this host drops a sender's answers that come by an interface; NO_FAULT if its settings let them in."""
        now, known = time.monotonic(), self._found.get((sender, interface))
        if known is not None and now - known[0] < _TRUE_FOR:
            return known[1]
        try:
            found = self._look(sender, interface)
        except (OSError, ValueError):  # the interface is gone: others tell
            found = NO_FAULT
        if len(self._found) >= _MOST:
            self._found.clear()
        self._found[sender, interface] = now, found
        return found

    def close(self) -> None:
        """Look no more."""
        self._kernel.close()

    def _look(self, sender: bytes, interface: str) -> Fault:
        keys = [sysctl.conf(name, "rp_filter") for name in ("all", interface)]
        filtered = max(int(sysctl.read(key)) for key in keys)
        if filtered:
            (route,) = routes.kernel_routes(self._kernel, [sender])
            if route is None:
                return unrouted(sender, interface, filtered)
            egress = socket.if_indextoname(route.index)
            if filtered == _STRICT and egress != interface:
                return strict(sender, interface, egress)
        silent = [sysctl.conf(name, "arp_ignore") for name in ("all", interface)]
        if max(int(sysctl.read(key)) for key in silent) == _NEVER:
            what = f"{OWN_HOST} answers no ARP on {interface} (arp_ignore={_NEVER}): nobody can send to it"
            return Fault(what, _set_to_0([key for key in silent if int(sysctl.read(key)) == _NEVER]))
        return NO_FAULT


def holding(network: Network, vip: bytes) -> Fault:
    """The fault of a host that has a VIP as an address: probes of the VIP end on it, and whatever listens there answers
    them. NO_FAULT where it has not."""
    if vip not in network.own_addresses():
        return NO_FAULT
    address = socket.inet_ntoa(vip)
    for index, name in socket.if_nameindex():
        for own, length in network.networks(index):
            if own == vip:
                what = f"{OWN_HOST} has the VIP {address} on {name}: probes end there, and reach no server"
                return Fault(what, command("ip address del {}/{} dev {}", address, length, name))
    return NO_FAULT  # it went since


def strict(sender: bytes, interface: str, egress: str) -> Fault:
    """The fault of a strict filter on an interface, where the route to the sender leaves by another, `egress`."""
    what = (
        f"{OWN_HOST} drops the answers of {socket.inet_ntoa(sender)}: rp_filter of {interface} is strict, and the "
        f"route to that address leaves by {egress}"
    )
    return Fault(what, sysctl.command(sysctl.conf(interface, "rp_filter"), "2"))


def unrouted(sender: bytes, interface: str, filtered: int) -> Fault:
    """The fault of a filter, strict or loose (1, 2), where there is no route to the sender at all."""
    what = (
        f"{OWN_HOST} drops the answers of {socket.inet_ntoa(sender)}: it has no route to that address, and "
        f"rp_filter={filtered} of {interface} wants one"
    )
    return Fault(what, _set_to_0([sysctl.conf(name, "rp_filter") for name in ("all", interface)]))


def _set_to_0(keys: Iterable[str]) -> str:
    return sysctl.commands(dict.fromkeys(keys, "0"))


def dropped_by_path() -> int:
    """How many packets the reverse path filter dropped: TcpExt IPReversePathFilter. 0 where that is not told."""
    try:
        names, values = (
            line.split() for line in _NETSTAT.read_text("ascii").splitlines() if line.startswith("TcpExt:")
        )
        return int(dict(zip(names, values, strict=True))["IPReversePathFilter"])
    except (OSError, ValueError, KeyError):
        return 0


def conntrack_full() -> Fault:
    """The fault of a full connection table, which lets no new connection out (nf_conntrack-sysctl)."""
    try:
        count, most = (int(sysctl.read(f"net.netfilter.nf_conntrack_{name}")) for name in ("count", "max"))
    except (OSError, ValueError):  # no connection is tracked
        return NO_FAULT
    if count < most:
        return NO_FAULT
    what = f"{OWN_HOST} lets no probe out: its connection table is full, {count} of {most}"
    return Fault(what, sysctl.command("net.netfilter.nf_conntrack_max", 2 * most))
