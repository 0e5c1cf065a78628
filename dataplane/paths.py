"""The way of a probe: to the VIP, but through one chosen server, from the engine's own address.

The host's stack sends the probe. A socket mark picks a rule, the rule a routing table, and the table's only route leads
via the server: the frame carries the server's MAC address and the VIP as its destination, exactly like a client's
packet that was balanced there. The VIP is no address of this host; the answer arrives from the VIP at the engine's own
address. (ip-rule(8), ip-route(8), SO_MARK in socket(7).) That is layer 2; layer 3 is in `probetunnels`.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from .errors import NetworkError
from .forwarding import Interface
from .probetunnels import ProbeTunnels

FIRST = 0x41560000
"""Marks and tables of probes lie in FIRST..LAST; whatever of that range is found at start is a killed engine's."""

LAST = FIRST + 0xFFFF
PRIORITY = 1000
"""Of the rules: before the main table's 32766."""

_CONF = Path("/proc/sys/net/ipv4/conf")


class ProbePaths:
    """The marks of probes: in layer 2 one mark, rule and table a server. `close` removes them all."""

    def __init__(self, netlink: Any) -> None:
        self._netlink = netlink
        self._marks: dict[bytes, tuple[int, int, bytes]] = {}
        self._users: set[bytes] = set()
        self._free = iter(range(FIRST + 1, LAST + 1))
        self._returned: list[int] = []
        self._sysctls: dict[Path, str] = {}
        self._sure: set[bytes] = set()
        self._tunnels = ProbeTunnels(netlink)
        self._lock = asyncio.Lock()

    async def clean(self) -> None:
        """Remove what a killed engine left."""
        stale = [r async for r in await self._netlink.get_rules(family=socket.AF_INET)]
        for rule in stale:
            mark, users = rule.get("fwmark"), rule.get("uid_range")
            if users and FIRST <= int(str(users).partition(":")[0]) <= LAST:
                await self._remove_user(int(str(users).partition(":")[0]))
            elif mark is not None and FIRST <= mark <= LAST:
                await self._remove(mark)
        await self._tunnels.clean()

    def prepare(self, interface: Interface) -> None:
        """Let answers in: source a VIP that may lie outside every network here (loose rp_filter), and no redirects.

        A server without the VIP that forwards the probe back also sends an ICMP redirect; believing it would lead
        later probes past the server (icmp(7), ip-sysctl: accept_redirects is the OR of all and the interface's).
        """
        wanted = {_CONF / name / "accept_redirects": "0" for name in ("all", interface.name)}
        strict = [_CONF / name / "rp_filter" for name in ("all", interface.name)]
        if max(path.read_text().strip() for path in strict) == "1":
            wanted[strict[1]] = "2"
        for path, value in wanted.items():
            before = path.read_text().strip()
            if before != value:
                self._sysctls.setdefault(path, before)
                path.write_text(value)

    async def open(self, server: bytes, interface: Interface, source: bytes, *, by_user: bool = False) -> int:
        """The mark that leads through a server on an attached network; by_user: what the user of that number sends
        goes there, too. Raises NetworkError."""
        known = self._marks.get(server)
        if known == (known and known[0], interface.index, source) and server in self._sure and not by_user:
            return known[0]  # nothing to do: no turn to wait for
        async with self._lock:
            known = self._marks.get(server)
            if known is not None and known[1:] != (interface.index, source):
                await self.shut(server)
                known = None
            if known is None:
                mark = await self._open(server, interface, source)
            else:
                mark = known[0]
                if server not in self._sure:
                    await self._route(mark, server, interface, source)
            if by_user and server not in self._users:
                await self._lead_user(mark, server)
            return mark

    async def open_tunnel(self, server: bytes, source: bytes, mode: str) -> int:
        """The mark that leads into the tunnel to a server. source: the engine's address towards it; mode: plan.L3_IPIP
        or L3_GRE. Raises NetworkError."""
        async with self._lock:
            return await self._tunnels.open(server, source, mode)

    def doubt(self) -> None:
        """Links or addresses changed: the kernel may have taken routes away; the next `open` puts them again."""
        self._sure.clear()
        self._tunnels.doubt()

    async def _open(self, server: bytes, interface: Interface, source: bytes) -> int:
        mark = self._returned.pop() if self._returned else next(self._free, None)
        if mark is None:
            raise NetworkError(f"more than {LAST - FIRST} servers to probe")
        try:
            await self._route(mark, server, interface, source)
            await self._netlink.rule("add", family=socket.AF_INET, fwmark=mark, table=mark, priority=PRIORITY)
        except (NetworkError, NetlinkError, OSError) as exc:
            self._returned.append(mark)
            if isinstance(exc, NetworkError):
                raise
            raise NetworkError(f"no rule for probes via {socket.inet_ntoa(server)}: {exc}") from exc
        self._marks[server] = (mark, interface.index, source)
        return mark

    async def _lead_user(self, mark: int, server: bytes) -> None:
        """A rule for the scripts that probe a server: they cannot set marks."""
        try:
            await self._netlink.rule("add", **_of_user(mark))
        except (NetlinkError, OSError) as exc:
            raise NetworkError(f"no rule for scripts via {socket.inet_ntoa(server)}: {exc}") from exc
        self._users.add(server)

    async def _route(self, mark: int, server: bytes, interface: Interface, source: bytes) -> None:
        try:
            await self._netlink.route(
                "replace",
                dst="default",
                gateway=socket.inet_ntoa(server),
                oif=interface.index,
                prefsrc=socket.inet_ntoa(source),
                table=mark,
                flags=["onlink"],
                metrics={"hoplimit": 1},
            )
        except (NetlinkError, OSError) as exc:
            raise NetworkError(f"no probe path via {socket.inet_ntoa(server)} on {interface.name}: {exc}") from exc
        self._sure.add(server)

    async def shut(self, server: bytes) -> None:
        """Remove a server's path, if it has one."""
        known = self._marks.pop(server, None)
        if known is not None:
            if server in self._users:
                await self._remove_user(known[0])
                self._users.discard(server)
            await self._remove(known[0])
            self._returned.append(known[0])

    async def close(self) -> None:
        """Remove every path and restore what `prepare` changed."""
        for server in list(self._marks):
            await self.shut(server)
        await self._tunnels.close()
        for path, value in self._sysctls.items():
            with suppress(OSError):  # the interface may be gone
                path.write_text(value)
        self._sysctls.clear()

    async def _remove_user(self, mark: int) -> None:
        with suppress(NetlinkError, OSError):
            await self._netlink.rule("del", **_of_user(mark))

    async def _remove(self, mark: int) -> None:
        with suppress(NetlinkError, OSError):  # gone already, with its interface
            await self._netlink.rule("del", family=socket.AF_INET, fwmark=mark, table=mark, priority=PRIORITY)
        with suppress(NetlinkError, OSError):
            await self._netlink.route("del", dst="default", table=mark)  # a flush would read every route there is


def _of_user(mark: int) -> dict[str, Any]:
    """The rule of the user whose number is a mark (ip-rule(8): uidrange)."""
    return {"family": socket.AF_INET, "uid_range": f"{mark}:{mark}", "table": mark, "priority": PRIORITY}
