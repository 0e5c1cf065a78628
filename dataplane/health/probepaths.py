"""The path of a probe: to the VIP, but through one chosen server, from the engine's own address.

The host's stack sends the probe. Its socket mark selects a routing table (`policyrouting`) whose only route leads
through the server. So the frame has the server's MAC address and the VIP as its destinations, exactly like a client's
packet that was balanced there. The VIP is not an address of this host; the answer arrives from the VIP at the engine's
own address. (SO_MARK in socket(7).) This is layer 2; layer 3 is in `probetunnels`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from dataplane.errors import NetworkError
from dataplane.forwarding.values import Interface
from dataplane.health.probetunnels import ProbeTunnels
from dataplane.kernel.objects import ROUTE, KernelObject
from dataplane.network import fwmarks, policyrouting
from dataplane.network.policyrouting import LostProbeRoute
from dataplane.network.rtnetlink import Request, RtnetlinkSocket

_AT_ONCE = 500
"""Rules and routes that are put back before other tasks have their turn."""


class ProbePaths:
    """Makes and removes the paths of probes. In layer 2 each server has one mark, and the table of that number.

    All marks are of one range, which belongs to this engine until `close`.
    """

    def __init__(self) -> None:
        self._marks: dict[bytes, tuple[int, int, bytes]] = {}
        self._users: set[bytes] = set()
        self._range: tuple[int, socket.socket] | None = None
        self._free: Iterator[int] = iter(())
        self._returned: list[int] = []
        self._doubted: set[int] = set()
        self._ended = False
        self._routed: set[bytes] = set()
        self._rules = policyrouting.Rules(0)
        self._kernel = RtnetlinkSocket()
        self._tunnels = ProbeTunnels(self._kernel)

    async def clean(self) -> list[KernelObject]:
        """Remove the rules and routes that killed engines left. Those of engines that run stay. Returns what was there.
        Raises NetworkError."""
        own = self._take()
        removed: list[KernelObject] = []
        there: dict[int, list[tuple[int, Request]]] = {}
        with suppress(OSError):
            there = policyrouting.existing()
        for first in range(fwmarks.FIRST, fwmarks.FIRST + fwmarks.MOST * fwmarks.SIZE, fwmarks.SIZE):
            held = None if first == own else fwmarks.hold(first)
            if first == own or held is not None:
                removed += self._remove(policyrouting.removal(there.get(first, ()), first))
            if held is not None:
                held.close()
        return removed

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

    def open_tunnel(self, server: bytes, source: bytes, mode: str) -> int:
        """The mark that leads into the tunnel to a server. Raises NetworkError.

        source: the engine's address towards it; mode: plan.L3_IPIP or L3_GRE.
        """
        self._take()
        return self._tunnels.open(server, source, mode)

    def forget_routes(self) -> None:
        """Have each `open` set its route again: links or addresses changed, and the kernel may have removed routes."""
        self._routed.clear()
        self._tunnels.forget_route()

    def note(self, lost: Collection[LostProbeRoute]) -> bool:
        """Note rules and routes that were removed, by whomever. Returns whether ours may be among them."""
        if self._range is None:
            return False
        held, first = {known[0] for known in self._marks.values()}, self._range[0]
        for one in lost:
            if not one.first:
                self._doubted |= held | {0, first + fwmarks.HALF}
            elif one.first == first and (one.table in held or one.table in (0, first + fwmarks.HALF)):
                self._doubted.add(one.table)
        return bool(self._doubted)

    def objects(self) -> Collection[KernelObject]:
        """The rules and routes of all paths."""
        routes = [policyrouting.route_object(known[0]) for s, known in self._marks.items() if s in self._routed]
        return [*self._requests(), *routes, *self._tunnels.objects()]

    def missing(self) -> Collection[KernelObject]:
        """Those that the kernel told were removed: some may be there again, or never have been."""
        if not self._doubted:
            return ()
        routed = {known[0] for server, known in self._marks.items() if server in self._routed}
        found = [policyrouting.route_object(mark) for mark in self._doubted & routed]
        leaves = {leaf for server, known in self._marks.items() for leaf in self._leaves(server, known[0])}
        for one in self._requests():
            if one not in leaves and 0 in self._doubted:
                found.append(one)
        for server, (mark, _, _) in self._marks.items():
            if mark in self._doubted:
                found += self._leaves(server, mark)
        if self._range is not None and self._range[0] + fwmarks.HALF in self._doubted:
            found += self._tunnels.objects()
        if not found:
            self._doubted.clear()
        return found

    async def restore(self, missing: Collection[KernelObject]) -> Mapping[KernelObject, str]:
        """Put rules and routes again, as far as they are missing.

        (Whoever manages a host's network may remove all rules that it did not make, as systemd-networkd does when it
        starts.) A route whose interface is down or gone is put by the next `open`.
        """
        wanted = set(missing)
        of_tunnels = wanted.intersection(self._tunnels.objects())
        whose = {one: server for server, known in self._marks.items() for one in self._objects(server, known[0])}
        known = dict(self._marks)
        requests = [(one, request) for one, request in self._requests().items() if one in wanted]
        requests += [(one, request) for one, request in self._route_requests().items() if one in wanted]
        outcome: dict[KernelObject, str] = {}
        self._doubted.clear()
        for first in range(0, len(requests), _AT_ONCE):
            several = dict(requests[first : first + _AT_ONCE])
            for one in [one for one in several if one in whose and known[whose[one]] != self._marks.get(whose[one])]:
                del several[one]  # its server went meanwhile
            try:
                answers = self._kernel.ask(list(several.values()))
            except OSError as exc:
                outcome.update(dict.fromkeys(several, exc.strerror or str(exc)))
                continue
            for one, answer in zip(several, answers, strict=True):
                if answer.error == 0:
                    outcome[one] = ""
                elif one.kind == ROUTE and answer.error != errno.EEXIST:
                    self._routed.discard(whose[one])
                elif answer.error != errno.EEXIST:
                    outcome[one] = os.strerror(answer.error)
            await asyncio.sleep(0)  # others have the loop
        if of_tunnels:
            outcome.update(self._tunnels.restore(of_tunnels))
        if any(outcome.values()) and self._range is not None:
            self._doubted |= {known[0] for known in self._marks.values()} | {0, self._range[0] + fwmarks.HALF}
        return outcome

    def _requests(self) -> dict[KernelObject, Request]:
        """What adds each of our rules, but for that of the tunnels."""
        leaves = [(known[0], user) for server, known in self._marks.items() for user in self._kinds(server)]
        return {policyrouting.rule_object(request.body): request for request in self._rules.all(leaves)}

    def _route_requests(self) -> dict[KernelObject, Request]:
        """What adds the route of each server."""
        return {
            policyrouting.route_object(mark): policyrouting.only_new(
                policyrouting.route(mark, server, interface, source)
            )
            for server, (mark, interface, source) in self._marks.items()
        }

    def _objects(self, server: bytes, mark: int) -> list[KernelObject]:
        """The rules and the route of one server alone."""
        return [*self._leaves(server, mark), policyrouting.route_object(mark)]

    def _leaves(self, server: bytes, mark: int) -> list[KernelObject]:
        """The rules that lead to a server's table alone."""
        requests = (self._rules.remove(mark, user=user) for user in self._kinds(server))
        return [policyrouting.rule_object(request.body) for request in requests]

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
        """Remove all paths; none is opened any more."""
        self._ended = True
        if self._rules.there:
            self._remove_all()
        self._marks.clear()
        self._tunnels.close()
        self._kernel.close()
        if self._range is not None:
            self._range[1].close()
            self._range = None

    def _take(self) -> int:
        """Take this engine's range, if it has none yet. Returns its first mark. Raises NetworkError."""
        if self._ended:
            raise NetworkError("the engine ends")
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
        assert self._range is not None
        first = self._range[0]
        with suppress(OSError):
            self._remove(policyrouting.removal(policyrouting.existing().get(first, ()), first))
        self._rules.forget()
        self._users.clear()
        self._routed.clear()

    def _remove(self, requests: Mapping[KernelObject, Request]) -> list[KernelObject]:
        """Send removals. Returns what was there."""
        answers = self._kernel.ask(list(requests.values()))
        return [one for one, answer in zip(requests, answers, strict=True) if not answer.error]
