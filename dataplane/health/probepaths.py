"""The path of a probe: to the VIP, but through one chosen server, from the engine's own address.

The host's stack sends the probe. Its socket mark selects a routing table (`policyrouting`) whose only route leads
through the server. So the frame has the server's MAC address and the VIP as its destinations, exactly like a client's
packet that was balanced there. The VIP is not an address of this host; the answer arrives from the VIP at the engine's
own address. (SO_MARK in socket(7).) This is layer 2; layer 3 is in `probetunnels`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

from dataplane.errors import NetworkError
from dataplane.forwarding.values import Interface
from dataplane.health.probetunnels import ProbeTunnels
from dataplane.network import fwmarks, policyrouting, sysctl
from dataplane.network.policyrouting import LostProbeRoute
from dataplane.network.rtnetlink import Request, RtnetlinkSocket


class ProbePaths:
    """Makes and removes the paths of probes. In layer 2 each server has one mark, and the table of that number.

    All marks are of one range, which belongs to this engine until `close`.
    """

    def __init__(self, netlink: Any) -> None:
        self._marks: dict[bytes, tuple[int, int, bytes]] = {}
        self._users: set[bytes] = set()
        self._range: tuple[int, socket.socket] | None = None
        self._free: Iterator[int] = iter(())
        self._returned: list[int] = []
        self._sysctls: dict[str, str] = {}
        self._routed: set[bytes] = set()
        self._rules = policyrouting.Rules(0)
        self._kernel = RtnetlinkSocket()
        self._tunnels = ProbeTunnels(netlink)
        self._lock = asyncio.Lock()

    async def clean(self) -> None:
        """Remove the rules and routes that killed engines left. Those of engines that run stay. Raises NetworkError."""
        own = self._take()
        with suppress(OSError):
            for first, rules in policyrouting.existing().items():
                held = None if first == own else fwmarks.hold(first)
                if first == own or held is not None:
                    self._kernel.ask(policyrouting.removal(rules))
                if held is not None:
                    held.close()
        await self._tunnels.clean()

    def prepare(self, interface: Interface) -> None:
        """Set what an interface needs for probes: loose rp_filter, and no ICMP redirects.

        Answers come from a VIP that may lie outside every network of this host. A server that forwards a probe because
        it lacks the VIP also sends a redirect, which would lead later probes past it (icmp(7), ip-sysctl: of
        accept_redirects, `all` or the interface's is enough).
        """
        wanted = {sysctl.conf(name, "accept_redirects"): "0" for name in ("all", interface.name)}
        strict = [sysctl.conf(name, "rp_filter") for name in ("all", interface.name)]
        if max(map(sysctl.read, strict)) == "1":
            wanted[strict[1]] = "2"
        for key, value in wanted.items():
            before = sysctl.read(key)
            if before != value:
                self._sysctls.setdefault(key, before)
                sysctl.write(key, value)

    def open(self, server: bytes, interface: Interface, source: bytes, *, by_user: bool = False) -> int:
        """The mark that leads through a server on an attached network. by_user: what the user of that number sends is
        led there too. Raises NetworkError."""
        known = self._marks.get(server)
        if known is not None and known[1:] != (interface.index, source):
            self._shut(server)
            known = None
        self._take()
        mark = self._mark() if known is None else known[0]
        wanted: list[Request] = []
        if known is None or server not in self._routed:
            wanted.append(policyrouting.route(mark, server, interface.index, source))
        if known is None:
            wanted += self._rules.add(mark)
        if by_user and server not in self._users:
            wanted += self._rules.add(mark, user=True)
        if wanted:
            self._marks[server] = mark, interface.index, source
            if by_user:
                self._users.add(server)
            try:
                self._change(wanted)
            except OSError as exc:
                self._shut(server)
                through = f"via {socket.inet_ntoa(server)} on {interface.name}"
                raise NetworkError(f"no probe path {through}: {exc.strerror or exc}") from exc
            self._routed.add(server)
        return mark

    async def open_tunnel(self, server: bytes, source: bytes, mode: str) -> int:
        """The mark that leads into the tunnel to a server. Raises NetworkError.

        source: the engine's address towards it; mode: plan.L3_IPIP or L3_GRE.
        """
        self._take()
        async with self._lock:
            return await self._tunnels.open(server, source, mode)

    def forget_routes(self) -> None:
        """Have each `open` set its route again: links or addresses changed, and the kernel may have removed routes."""
        self._routed.clear()
        self._tunnels.forget_route()

    def restore(self, lost: Collection[LostProbeRoute]) -> bool:
        """Put back the rules that others removed; each `open` then sets its route again. Returns whether any was ours.

        (Whoever manages a host's network may remove all rules that it did not make, as systemd-networkd does when it
        starts.)
        """
        held = {known[0] for known in self._marks.values()}
        if not any(self._is_missed(one, held) for one in lost):
            return False
        self._routed.clear()
        self._tunnels.forget_all()
        leaves = [(known[0], user) for server, known in self._marks.items() for user in self._kinds(server)]
        with suppress(OSError):  # each probe without a path reports that
            self._kernel.ask(self._rules.again(leaves))
        return True

    def _is_missed(self, lost: LostProbeRoute, held: Collection[int]) -> bool:
        """Whether a removed rule or route is one of ours that is still wanted."""
        if self._range is None or lost.first != self._range[0]:
            return False
        return lost.table in held or lost.table in (0, lost.first + fwmarks.HALF)

    def _kinds(self, server: bytes) -> tuple[bool, ...]:
        return (False, True) if server in self._users else (False,)

    def shut(self, server: bytes) -> None:
        """Remove a server's paths, if it has any."""
        self._tunnels.shut(server)
        self._shut(server)

    def _shut(self, server: bytes) -> None:
        known = self._marks.pop(server, None)
        if known is None:
            return
        mark, gone = known[0], [self._rules.remove(known[0]), policyrouting.no_route(known[0])]
        if server in self._users:
            gone.append(self._rules.remove(mark, user=True))
        self._users.discard(server)
        self._routed.discard(server)
        self._returned.append(mark)
        with suppress(OSError):
            self._kernel.ask(gone)  # some may have gone with their interface

    async def close(self) -> None:
        """Remove all paths, and restore what `prepare` changed."""
        if self._rules.there:
            self._remove_all()
        self._marks.clear()
        self._kernel.close()
        await self._tunnels.close()
        if self._range is not None:
            self._range[1].close()
            self._range = None
        for key, value in self._sysctls.items():
            with suppress(OSError):  # the interface may be gone
                sysctl.write(key, value)
        self._sysctls.clear()

    def _take(self) -> int:
        """Take this engine's range, if it has none yet. Returns its first mark. Raises NetworkError."""
        if self._range is None:
            first, _ = self._range = fwmarks.take()
            self._free = iter(range(first + 1, first + fwmarks.HALF))
            self._returned.clear()
            self._rules = policyrouting.Rules(first)
            self._tunnels.begin(first + fwmarks.HALF)
        return self._range[0]

    def _mark(self) -> int:
        mark = self._returned.pop() if self._returned else next(self._free, None)
        if mark is None:
            raise NetworkError(f"more than {fwmarks.HALF - 1} servers to probe")
        return mark

    def _change(self, requests: Sequence[Request]) -> None:
        """Send changes to the kernel. Raises OSError if it refuses one."""
        for answer in self._kernel.ask(requests):
            if answer.error:
                raise OSError(answer.error, os.strerror(answer.error))

    def _remove_all(self) -> None:
        with suppress(OSError):
            self._kernel.ask(policyrouting.removal(policyrouting.existing().get(self._take(), ())))
        self._rules.forget()
        self._users.clear()
        self._routed.clear()
