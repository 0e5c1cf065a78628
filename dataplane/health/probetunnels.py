"""The path of a probe in layer 3: to the VIP, in the tunnel to one chosen server, from the engine's own address.

The host's stack sends the probe. One rule leads all socket marks of our range to a table whose only route carries a
program (`probe.c`). The program looks up in its map which server the mark stands for, and puts the tunnel's header in
front. Then it has the host route the packet again, this time to the server. The VIP is not an address of this host; the
answer arrives from the VIP at the engine's own address. (LWT BPF: ip-route(8) "encap bpf", BPF_LWT_REROUTE.)
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import NamedTuple

from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.errors import DriverError, NetworkError
from dataplane.forwarding.program import PROBE
from dataplane.kernel.objects import KernelObject
from dataplane.network import fwmarks, policyrouting, tunnels
from dataplane.network.rtnetlink import RTM_DELRULE, RTM_NEWRULE, Request, RtnetlinkSocket
from dataplane.plan import L3_GRE, L3_IPIP

OBJECT = PROBE
NAME = "avi_probe"

FIRST = fwmarks.FIRST + fwmarks.HALF
"""The first engine's first mark for tunnels (`fwmarks`), and the number of its table."""
MTU = 1280
"""Bytes of a probe's packets, at most, so that they fit nearly every tunnel: the probe's socket does not learn what
routers report about the tunnel."""


class Tunnel(NamedTuple):
    """The tunnel that a mark's probes go into."""

    server: bytes  # where it leads, 4 bytes
    source: bytes  # the engine's address towards the server, 4 bytes
    mode: str  # plan.L3_IPIP or L3_GRE

    @property
    def value(self) -> bytes:
        """The same as the program reads it (struct tunnel)."""
        return self.source + self.server + bytes((tunnels.PROTOCOLS[self.mode], 0, 0, 0))


class ProbeTunnels:
    """Leads probes into tunnels, with one mark for each server and mode. kernel: asked for rules and routes."""

    def __init__(self, kernel: RtnetlinkSocket) -> None:
        self._kernel = kernel
        self._marks: dict[tuple[bytes, str], tuple[int, Tunnel]] = {}
        self.begin(FIRST)
        self._returned: list[int] = []
        self._program: Program | None = None
        self._map: Map | None = None
        self._routed = self._ruled = self._begun = False

    def begin(self, first: int) -> None:
        """Use the range of marks that begins at `first`. Must be called before a mark is used."""
        self._first = first
        self._free = iter(range(first + 1, first + fwmarks.HALF))

    def open(self, server: bytes, source: bytes, mode: str) -> int:
        """The mark that leads into the tunnel to a server. Raises NetworkError."""
        wanted = Tunnel(server, source, mode)
        mark, known = self._marks.get((server, mode), (0, None))
        if known == wanted and self._routed:
            return mark
        mark = mark or (self._returned.pop() if self._returned else next(self._free, 0))
        if not mark:
            raise NetworkError(f"more than {fwmarks.HALF - 1} tunnels to probe")
        try:
            self._put(mark, wanted)
            if not self._routed:
                self._route()
        except (DriverError, OSError) as exc:
            raise NetworkError(f"no probe path into the tunnel to {socket.inet_ntoa(server)}: {exc}") from exc
        self._marks[server, mode] = mark, wanted
        return mark

    def shut(self, server: bytes) -> None:
        """Remove a server's tunnels, if it has any. Their marks are used again."""
        for mode in (L3_IPIP, L3_GRE):
            mark, _ = self._marks.pop((server, mode), (0, None))
            if mark and self._map is not None:
                self._map.delete(struct.pack("=I", mark))
                self._returned.append(mark)

    def forget_route(self) -> None:
        """Have the next `open` set the route again: links or addresses changed, and it may have gone with them."""
        self._routed = False

    def objects(self) -> Collection[KernelObject]:
        """The rule and the route, if they were made."""
        return [one for one, made in ((self._rule_object, self._ruled), (self._route_object, self._routed)) if made]

    def restore(self, missing: Collection[KernelObject]) -> Mapping[KernelObject, str]:
        """Put the rule and the route again, as far as they are missing. Returns those that were, with the reason why
        one cannot be put, or ""."""
        outcome: dict[KernelObject, str] = {}
        for one in missing:
            try:
                self._ask(self._rule if one == self._rule_object else policyrouting.only_new(self._route_request()))
                outcome[one] = ""
            except OSError as exc:
                if exc.errno != errno.EEXIST:
                    outcome[one] = exc.strerror or str(exc)
        return outcome

    def close(self) -> None:
        """Remove everything."""
        if self._begun:
            self._remove()
        self._begun = False
        self._marks.clear()
        for handle in (self._program, self._map):
            if handle is not None:
                handle.close()
        self._program = self._map = None
        self._routed = self._ruled = False

    def _put(self, mark: int, tunnel: Tunnel) -> None:
        if self._map is None:
            with Object(OBJECT) as loaded:
                loaded.load()
                self._program, self._map = loaded.program(NAME), loaded.map("tunnels")
        self._map.update(struct.pack("=I", mark), tunnel.value)

    def _route(self) -> None:
        """Set the rule and the route."""
        self._begun = True  # before: whoever is stopped in between leaves nothing
        self._ask(self._route_request())
        if not self._ruled:
            try:
                self._ask(self._rule)
            except OSError as exc:
                if exc.errno != errno.EEXIST:  # it still exists
                    raise
        self._routed = self._ruled = True

    def _route_request(self) -> Request:
        """The route names the loopback, which never vanishes; no packet leaves by it."""
        assert self._program is not None
        loopback = socket.if_nametoindex("lo")
        return policyrouting.program_route(self._first, loopback, self._program.fd, NAME, MTU)

    def _ask(self, request: Request) -> None:
        (answer,) = self._kernel.ask([request])
        if answer.error:
            raise OSError(answer.error, os.strerror(answer.error))

    @property
    def _rule(self) -> Request:
        return policyrouting.range_rule(RTM_NEWRULE, self._first)

    @property
    def _rule_object(self) -> KernelObject:
        return policyrouting.rule_object(self._rule.body)

    @property
    def _route_object(self) -> KernelObject:
        return policyrouting.route_object(self._first)

    def _remove(self) -> None:
        gone = policyrouting.range_rule(RTM_DELRULE, self._first), policyrouting.no_route(self._first)
        with suppress(OSError):
            self._kernel.ask(gone)  # some may have gone already
