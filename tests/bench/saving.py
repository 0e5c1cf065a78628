"""How soon a `save` in the shell is in force: to the first packet that leaves to the server that it brought.

The shell is a session of this process, the engine one of its own that follows the store. The store lies in memory, so
that no fsync waits; servers have MAC addresses known for good, and pools no monitors.
"""

from __future__ import annotations

import itertools
import socket
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event, Thread

from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session
from dataplane import client
from dataplane.forwarding import rewrite

from .measure import Effort, Samples, Unmeasurable, paired
from .site import Site, mac, server, vip

SERVICES = 1000
KEY = "lb_algorithm_consistent_hash_source_ip_address_and_port"
PACE, WAIT = 0.0002, 5.0
"""Seconds between two packets, and for the new server's first."""


def save(effort: Effort) -> Iterator[Samples]:
    """Lines "1 service", "1,000 services": a pool's only server is replaced by another, in milliseconds from the line
    `save` to the first packet to it. Against the same in a store that no engine follows, where it is over with the
    answer to `save`."""
    for name, count in (("1 service", 1), (f"{SERVICES:,} services", effort.times(SERVICES))):
        with (
            Site(count + 2, folder="/dev/shm") as site,
            tempfile.TemporaryDirectory(dir="/dev/shm") as alone,
            closing(Configuration.open(site.state)) as stored,
            closing(Configuration.open(Path(alone))) as unread,
        ):
            session, other = Session(stored, site.state), Session(unread, Path(alone))
            run(session, services(count))
            run(other, services(count))
            new = tuple(itertools.cycle((server(count), server(count + 1))) for _ in range(2))
            with site.process():
                took, stored_alone = paired(
                    effort.rounds + 1,
                    partial(_replaced, site, session, new[0]),
                    partial(_stored, other, new[1]),
                )
        note = f"{count:,} pools of one server; a packet every {PACE * 1000:.1f} ms; store in memory"
        yield Samples(name, "ms", took[1:], stored_alone[1:], note=note)


def services(count: int) -> Iterator[str]:
    """Lines for so many services, each with a pool of one server."""
    yield from (
        "configure networkprofile dsr", "profile type protocol_type_udp_fast_path", "udp_fast_path_profile",
        "dsr_profile dsr_type dsr_type_l2", "save", "save", "save",
    )  # fmt: skip
    for n in range(count):
        yield from (
            f"configure pool p{n}", "lb_algorithm lb_algorithm_consistent_hash", f"lb_algorithm_hash {KEY}",
            f"servers ip {server(n)} port 80", "save", "save",
            f"configure vsvip vip{n}", f"vip ip_address {vip(n)}", "save", "save",
            f"configure virtualservice vs{n}", "application_profile_ref System-L4-Application",
            f"network_profile_ref dsr vsvip_ref vip{n} pool_ref p{n}", "services port 80", "save", "save",
        )  # fmt: skip


def run(session: Session, lines: Sequence[str] | Iterator[str]) -> None:
    """Type lines. Raises Unmeasurable where one is refused."""
    for line in lines:
        result = session.run(line)
        if not result.ok:
            raise Unmeasurable(f"the shell refuses {line!r}: {result}")


def _stored(session: Session, servers: Iterator[str]) -> float:
    """Milliseconds of a save that nobody follows."""
    run(session, ("configure pool p0", "servers index 1", f"ip {next(servers)}", "save"))
    began = time.perf_counter()
    run(session, ("save",))
    return (time.perf_counter() - began) * 1000


def _replaced(site: Site, session: Session, servers: Iterator[str]) -> float:
    """Milliseconds."""
    new = next(servers)
    run(session, ("configure pool p0", "servers index 1", f"ip {new}", "save"))
    wanted, first, ready, over = mac(new), list[float](), Event(), Event()

    def traffic() -> None:
        _, balancer = site.engine.link("eth0")
        frame = _frame(balancer, socket.inet_aton(vip(0)))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
            wire.bind(("wire", 3))
            wire.settimeout(PACE)
            while not over.is_set():
                wire.send(frame)
                try:
                    while True:
                        seen = wire.recv(2048)
                        if seen[:6] == wanted and seen[12:14] == b"\x08\0":
                            first.append(time.perf_counter())
                            return
                        ready.set()
                except TimeoutError:
                    continue

    pinger = Thread(target=lambda: site.wire.run(traffic))
    pinger.start()
    ready.wait(WAIT)
    began = time.perf_counter()
    run(session, ("save",))
    pinger.join(WAIT)
    over.set()
    pinger.join()
    if not first or first[0] < began:
        raise Unmeasurable(f"no packet reached {new} within {WAIT:.0f} s, or one did before the save")
    client.wait_applied(site.state, 1, WAIT)
    return (first[0] - began) * 1000


def _frame(balancer: bytes, service: bytes) -> bytes:
    """A UDP packet of one flow."""
    layer4 = struct.pack("!HHHH", 40000, 80, 26, 0) + bytes(18)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(layer4), 0, 0, 64, 17, 0, bytes((11, 0, 0, 1)), service)
    header = header[:10] + rewrite.checksum(header).to_bytes(2, "big") + header[12:]
    return balancer + b"\2\0\0\0\xff\x77\x08\0" + header + layer4
