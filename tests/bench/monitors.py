"""What monitors cost an engine, and how soon a failed server is out of the table in the kernel.

A real engine in a namespace monitors a crowd of servers every second (`tests.health.crowd`). Alone, with other numbers:
`python -m tests.bench.monitors [--servers 5000] [--seconds 10] [--only UDP]`.
"""

from __future__ import annotations

import argparse
import select
import socket
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dataplane import hashing, plan, xdpdriver
from dataplane.rewrite import checksum, ip_header
from tests.bench.measure import Effort, Samples
from tests.health.crowd import PORT, Crowd, crowd, quick, set_neighbours
from tests.health.segment import until

SERVERS = 1000
MONITORS = {
    "TCP": quick("TCP"),
    "half-open": quick("TCP", half_open=True),
    "HTTP": quick("HTTP", request="GET / HTTP/1.0"),
    "UDP": quick("UDP", request="ping", response="ping"),
    "PING": quick("PING"),
}
PATIENCE = 120.0
VICTIMS = 20
EVERY = 0.02
"""Seconds between two packets of a flow that is on a server about to fail."""
CLIENT, CLIENT_MAC = "10.9.250.1", bytes.fromhex("020000000050")
_ETH_P_IP = 0x0800
_TCP = 6
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h


def probes(effort: Effort) -> Iterator[Samples]:
    """The engine's processor time for 1,000 probes, all of its other work included, on XDP."""
    servers = effort.times(SERVERS, least=20)
    seconds = max(1.0, 5 * effort.scale)
    yield from costs(servers, seconds, effort.rounds, plan.L2, list(MONITORS))
    yield from costs(servers, seconds, effort.rounds, plan.L3_IPIP, ["TCP"])


def costs(servers: int, seconds: float, rounds: int, mode: str, names: Sequence[str]) -> Iterator[Samples]:
    """Of some monitors, one after the other on one engine; each is watched for so many seconds in all."""
    with tempfile.TemporaryDirectory() as folder, crowd(Path(folder), servers, kind="http", mode=mode) as there:
        for version, name in enumerate(names, 1):
            there.publish(there.services([MONITORS[name]], mode=mode), version)
            if there.process is None:
                there.start("xdp")
            _settled(there, version)
            values = []
            begun, ran = time.monotonic(), _probes(there)
            for _ in range(rounds):
                used, since = there.used(), time.monotonic()
                time.sleep(seconds / rounds)
                values.append((there.used() - used) / (time.monotonic() - since) * 1000 / servers)
            ran, took = _probes(there) - ran, time.monotonic() - begun
            told = (there.status() or {})["monitors"]
            late = told["late"]["p99"] * 1000
            yield Samples(
                name if mode == plan.L2 else f"{name} in a tunnel", "of a core", values,
                note=f"{servers:,} servers, {ran / took:,.0f} probes/s, 99 % within {late:.0f} ms of their time",
                more={"servers": servers, "probes/s": ran / took, "late": told["late"], "up": _up(there)},
            )  # fmt: skip


def verdicts(effort: Effort) -> Iterator[Samples]:
    """Milliseconds from the end of the probe that decides that a server is dead to the first packet that goes to
    another server: of servers in one pool of them all, and each in two of as many pools."""
    servers = effort.times(SERVERS, least=20)
    victims = min(VICTIMS, servers // 4)
    for pools in (1, servers):
        with tempfile.TemporaryDirectory() as folder, crowd(Path(folder) / "state", servers, vips=pools) as there:
            there.server.run(lambda: xdpdriver.attach_pass("up0"))
            services = there.services([quick("TCP")], pools=pools)
            if pools > 1:
                services = [_with(one, there.addresses[(n + 1) % servers]) for n, one in enumerate(services)]
            there.publish(services)
            there.start("xdp")
            _settled(there, 1)
            values: list[float] = []
            for number in range(min(effort.rounds, 3)):
                dead = there.addresses[number :: servers // victims][:victims]
                watch = Watch(there, services, dead)
                values += there.server.run(watch.run)
                set_neighbours(there, dead, there.mac)
                _settled(there, 1)
            name = f"{pools:,} pool{'s' if pools > 1 else ''}"
            yield Samples(name, "ms", values, note=f"{servers:,} servers, {victims} fail at once")


def _with(service: plan.Service, address: str) -> plan.Service:
    return replace(service, servers=(*service.servers, plan.Server(address, PORT)))


@dataclass
class Victim:
    """A server about to fail: the flow that it has, and when things happened to it (time.time()). held: its new MAC
    address has reached the table."""

    mac: bytes
    flow: bytes
    held: bool = False
    asked: float | None = None
    moved: float | None = None


@dataclass
class Watch:
    """On the servers' side of the wire: sends one flow's packets for each victim, and sees where they go."""

    there: Crowd
    services: Sequence[plan.Service]
    dead: Sequence[str]
    victims: dict[bytes, Victim] = field(default_factory=dict)

    def run(self) -> list[float]:
        """Let them fail, and tell each one's milliseconds."""
        gateway = self.there.engine.link("up0")[1]
        for number, address in enumerate(self.dead):
            service, port = self._flow(address)
            mac = bytes.fromhex(f"0200000001{number:02x}")
            segment = _segment(service.vip, port)
            self.victims[port.to_bytes(2, "big")] = Victim(mac, gateway + CLIENT_MAC + b"\x08\x00" + segment)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP)) as wire:
            wire.bind(("up0", _ETH_P_IP))
            wire.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            wire.setblocking(False)
            for address, victim in zip(self.dead, self.victims.values(), strict=True):
                set_neighbours(self.there, [address], victim.mac.hex(":"))
            deadline = time.monotonic() + 30
            while any(victim.moved is None for victim in self.victims.values()):
                assert time.monotonic() < deadline, self.there.log()
                self._send(wire)
        return [(v.moved - v.asked - 1) * 1000 for v in self.victims.values() if v.moved and v.asked]

    def _flow(self, address: str) -> tuple[plan.Service, int]:
        """A client's port that the server gets, in a pool of its own."""
        service = next(s for s in self.services if any(server.address == address for server in s.servers))
        known = [(socket.inet_aton(server.address), 1) for server in service.servers]
        table = hashing.build_table(known, plan.SLOTS, service.seed)
        client = int.from_bytes(socket.inet_aton(CLIENT), "big")
        wanted = [server.address for server in service.servers].index(address)
        ports = (p for p in range(20000, 65000) if p.to_bytes(2, "big") not in self.victims)
        return service, next(p for p in ports if table[hashing.slot_of(client, p, service.seed, plan.SLOTS)] == wanted)

    def _send(self, wire: socket.socket) -> None:
        until_ = time.monotonic() + EVERY
        for victim in self.victims.values():
            if victim.moved is None:
                wire.send(victim.flow)
        while (left := until_ - time.monotonic()) > 0:
            if select.select([wire], [], [], left)[0]:
                self._receive(wire)

    def _receive(self, wire: socket.socket) -> None:
        frame, ancillary, _, where = wire.recvmsg(128, 64)
        if where[2] == socket.PACKET_OUTGOING:
            return
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        at = seconds + nanoseconds / 1e9
        victim = self.victims.get(frame[34:36])
        if victim is not None:  # a client's packet
            if frame[:6] == victim.mac:
                victim.held = True
            elif victim.held and victim.moved is None:
                victim.moved = at
            return
        for asked in self.victims.values():  # a probe of a server that is gone: its first
            if frame[:6] == asked.mac and asked.asked is None and frame[47] & 0x02:
                asked.asked = at


def _segment(address: str, port: int) -> bytes:
    """A client's packet in the middle of a connection."""
    source, destination = socket.inet_aton(CLIENT), socket.inet_aton(address)

    def tcp(check: int) -> bytes:
        return struct.pack("!HHIIBBHHH", port, PORT, 1, 1, 5 << 4, 0x10, 1024, check, 0)

    check = checksum(source + destination + struct.pack("!BBH", 0, _TCP, 20) + tcp(0))
    return ip_header(source, destination, _TCP, 20, tos=0, identification=1, flags=0) + tcp(check)


def _settled(there: Crowd, version: int) -> None:
    """Wait until every server is up in that version of the plan, and probed at its own pace."""

    def reached() -> bool:
        told = there.status()
        return told is not None and told["version"] == version and _up(there) == len(there.addresses)

    assert until(reached, PATIENCE), there.log()
    time.sleep(2)  # the second runs spread out over an interval


def _up(there: Crowd) -> int:
    return sum(state == "up" for state in there.states().values())


def _probes(there: Crowd) -> int:
    return int((there.status() or {})["monitors"]["probes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=SERVERS)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", action="append", choices=(*MONITORS, "tunnel", "verdicts"))
    wanted = parser.parse_args()
    only = wanted.only or [*MONITORS, "tunnel"]
    names = [name for name in MONITORS if name in only]
    measured = costs(wanted.servers, wanted.seconds, 5, plan.L2, names) if names else iter(())
    for samples in measured:
        print(f"{samples.name}: {samples.median:.1%} of a core for 1,000 probes; {samples.note}", flush=True)
    if "tunnel" in only:
        for samples in costs(wanted.servers, wanted.seconds, 5, plan.L3_IPIP, ["TCP"]):
            print(f"{samples.name}: {samples.median:.1%} of a core for 1,000 probes; {samples.note}", flush=True)
    if "verdicts" in only:
        for samples in verdicts(Effort(3, wanted.servers / SERVERS)):
            print(f"{samples.name}: {samples.median:.0f} ms, at most {max(samples.values):.0f}; {samples.note}")


if __name__ == "__main__":
    main()
