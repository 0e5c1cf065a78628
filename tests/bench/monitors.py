"""What monitors cost an engine, and how soon a failed server is out of the table in the kernel.

A real engine in a namespace monitors a crowd of servers every second (`tests.health.crowd`). Alone, with other numbers:
`python -m tests.bench.monitors [--servers 5000] [--seconds 10] [--only UDP]`.
"""

from __future__ import annotations

import argparse
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dataplane import client, plan
from dataplane.drivers import selection
from dataplane.errors import EngineError
from dataplane.forwarding import maglev as hashing
from dataplane.forwarding.rewrite import checksum, ip_header
from tests.bench import knocking
from tests.bench.measure import Effort, Samples, Unmeasurable, paired
from tests.drivers import PREFERRED
from tests.health.crowd import ENGINE, PORT, Crowd, batch, crowd, quick

SERVERS, MANY = 1000, 5000
MONITORS = {
    "TCP": quick("TCP"),
    "half-open": quick("TCP", half_open=True),
    "HTTP": quick("HTTP", request="GET / HTTP/1.0"),
    "UDP": quick("UDP", request="ping", response="ping"),
    "PING": quick("PING"),
}
KNOCKED = 2500
"""Connections a second of the bare loop, at most."""
PATIENCE = 120.0
ANSWER = 45.0
"""Seconds within which an engine that is busy with thousands of probes a second tells its status."""
SHARE, FEW = 0.2, 0.05
"""Of a core, that a bare loop needs to connect to all servers of a crowd every second."""
GRAIN = 0.04
"""Seconds: a bare loop that connects begins what is due within it together, where it is about how late that is. An
engine that begins its probes less often is later than it."""
REMEMBERED, LASTS = 10_000, 20.0
"""Probes of which an engine remembers how late they were, and seconds that all rounds about it take together."""
SPREAD = 2.0
"""Seconds after which probes that began together are spread over their interval."""
EVERY = 0.0002
"""Seconds between two packets of flows that are on servers about to fail: of one and the same, that times all."""
IDLE, QUIET = 1, 3.0
"""Seconds after which a flow is forgotten, and between two packets until it has come to its server: right after its
server's return the former one keeps it."""
CLIENT, CLIENT_MAC = "10.9.250.1", bytes.fromhex("020000000050")
_CLIENT = socket.inet_aton(CLIENT)
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_TCP = 6
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35  # asm-generic/socket.h


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
                there.start(PREFERRED, patience=PATIENCE)
            _settled(there, version)
            begun, ran = time.monotonic(), _probes(there)

            values, bare = _beside_bare_loop(there, seconds, rounds)
            ran, took = _probes(there) - ran, time.monotonic() - begun
            told = _told(there)["monitors"]
            late = told["late"]["p99"] * 1000
            yield Samples(
                name if mode == plan.L2 else f"{name} in a tunnel", "of a core", values, bare,
                note=f"{servers:,} servers, {ran / took:,.0f} probes/s, 99 % within {late:.0f} ms of their time",
                more={"servers": servers, "probes/s": ran / took, "late": told["late"], "up": _up(there)},
            )  # fmt: skip


def _beside_bare_loop(there: Crowd, seconds: float, rounds: int) -> tuple[list[float], list[float]]:
    """What part of a core 1,000 probes a second take, all else that the engine does included, and 1,000 connections of
    a bare loop; in so many seconds of the engine's, in all rounds together."""

    def used() -> float:
        before, since = there.used(), time.monotonic()
        time.sleep(seconds / rounds)
        return (there.used() - before) / (time.monotonic() - since) * 1000 / len(there.addresses)

    return paired(rounds, used, lambda: 1000 * _knocking(there, max(0.5, seconds / rounds)))


def _trim(there: Crowd, share: float, servers: int) -> None:
    """Leave so many of the servers that the bare loop needs this share of what a program gets of a core to connect to
    each once a second. So what is late, and how late, is asked of every machine at a load that is as much for it,
    whatever else runs there. servers: at most."""
    share *= knocking.free()
    del there.addresses[max(20, min(servers, round(share / _knocking(there, 0.5)))) :]


def _start_of_bare_loop(there: Crowd, pools: int) -> float:
    """Seconds in which a process that imports what an engine imports has made the tables of as many pools, in one
    thread, and connected to each server once."""
    command = [sys.executable, "-m", "tests.bench.starting", "crowd", str(PORT), str(pools)]
    began = time.monotonic()
    argv = ["nsenter", f"--net={there.engine.path}", *command]
    subprocess.run(argv, input="\n".join(there.addresses), text=True, check=True)
    return time.monotonic() - began


def _beside_bare_timer(there: Crowd, seconds: float) -> tuple[float, float]:
    """Milliseconds after their times within which 99 % of the engine's probes begin, and 99 % of a bare loop's
    connections in the same seconds: whatever has the processors keeps it waiting, too."""
    bare = _knocking(there, seconds, GRAIN)
    return float(_told(there)["monitors"]["late"]["p99"]) * 1000, bare * 1000


def _knocking(there: Crowd, seconds: float, *grain: float) -> float:
    """Processor time of one connection to the servers, by a loop that does nothing else; with a grain, how late 99 % of
    them begin. Of thousands it connects to some: one program answers for all of them, and to the engine as well."""
    command = [sys.executable, "-m", "tests.bench.knocking", *map(str, (PORT, seconds, *grain))]
    argv = ["nsenter", f"--net={there.engine.path}", *command]
    addresses = "\n".join(there.addresses[:: 1 + len(there.addresses) // KNOCKED])
    return float(subprocess.run(argv, input=addresses, stdout=subprocess.PIPE, text=True, check=True).stdout)


def many(effort: Effort) -> Iterator[Samples]:
    """Thousands of servers: the time until they are up, and what their probes cost, beside a bare loop; how late probes
    are, all in one pool and in pools of two; and how soon a tenth of them that falls silent at once is out of the
    table."""
    most = effort.times(MANY, least=20)
    for wanted in (1, most // 2):
        name = "1 pool" if wanted == 1 else "pools of two"
        with tempfile.TemporaryDirectory() as folder, crowd(Path(folder), most, kind="http", vips=wanted) as there:
            _trim(there, SHARE, most)
            servers = f"{len(there.addresses):,} servers"
            pools = 1 if wanted == 1 else len(there.addresses) // 2
            bare = _start_of_bare_loop(there, pools)
            there.publish(there.services([MONITORS["TCP"]], pools=pools))
            began = time.monotonic()
            there.start(PREFERRED, patience=PATIENCE)
            _settled(there, 1)
            yield Samples(f"up, {name}", "s", [time.monotonic() - began - SPREAD], [bare], note=servers)
            ran, begun = _probes(there), time.monotonic()
            values, loop = _beside_bare_loop(there, max(1.0, 8 * effort.scale), min(effort.rounds, 3))
            told = _told(there)["monitors"]  # comes seconds late itself where the engine has much to do
            rate = (told["probes"] - ran) / (time.monotonic() - begun)
            yield Samples(f"probes, {name}", "of a core", values, loop, note=f"{rate:,.0f} probes/s")
            seconds = max(0.5, effort.scale * REMEMBERED / len(there.addresses))
            rounds = max(1, min(effort.rounds, round(LASTS / seconds)))
            late, bare_late = zip(*(_beside_bare_timer(there, seconds) for _ in range(rounds)), strict=True)
            note = f"99 % of the probes begin within it; {servers}"
            yield Samples(f"late, {name}", "ms", late, bare_late, "connections of a bare loop, due within 40 ms", note)
    yield from failing(effort, most, 1, rounds=1, share=SHARE)


def verdicts(effort: Effort) -> Iterator[Samples]:
    """Milliseconds from the end of the probe that decides that a server is dead to the first packet that goes to
    another server, the slowest of those that fail at once: in one pool of them all."""
    yield from failing(effort, effort.times(SERVERS, least=20), 1, share=FEW)


def failing(
    effort: Effort, servers: int, pools: int, rounds: int = 3, driver: str = PREFERRED, share: float = 0.0
) -> Iterator[Samples]:
    """The same in so many pools; if there are several, each has a server of the next one, too. share: of a bare loop's
    core that all servers take at most, where there is one pool."""
    with tempfile.TemporaryDirectory() as folder, crowd(Path(folder) / "state", servers, vips=pools) as there:
        there.server.run(lambda: selection.prepare_peer(driver, "up0"))
        if share:
            _trim(there, share, servers)
        servers = len(there.addresses)
        victims = servers // 10
        macs = _own_macs(there)
        services = [replace(one, idle_timeout=IDLE) for one in there.services([quick("TCP")], pools=pools)]
        if pools > 1:
            services = [_with(one, there.addresses[(n + 1) % servers]) for n, one in enumerate(services)]
        there.publish(services)
        there.start(driver, patience=PATIENCE)
        _settled(there, 1)
        values, worst = [], []
        for number in range(min(effort.rounds, rounds)):
            dead = there.addresses[number :: servers // victims][:victims]
            watch = Watch(there, services, {address: macs[address] for address in dead})
            took = there.server.run(watch.run)
            values += took
            worst.append(max(took))
            there.server.sh("nft flush set netdev crowd dead")
            _settled(there, 1)
        ranked = sorted(values)
        p99 = ranked[min(len(ranked) - 1, len(ranked) * 99 // 100)]
        note = f"{victims} of {servers:,} fail at once; median {ranked[len(ranked) // 2]:.0f} ms, 99 % {p99:.0f} ms"
        yield Samples(
            f"{pools:,} pool{'s' if pools > 1 else ''}", "ms", worst, note=f"{note}, at most {ranked[-1]:.0f} ms",
            more={"servers": servers, "victims": victims, "all": values},
        )  # fmt: skip


def _own_macs(there: Crowd) -> dict[str, bytes]:
    """A MAC address for each server, by its address; what goes to one in the set `dead` is lost."""
    macs = {a: bytes.fromhex(f"02000001{n:04x}") for n, a in enumerate(there.addresses)}
    batch(there.engine, [f"neigh replace {a} dev up0 lladdr {m.hex(':')} nud permanent" for a, m in macs.items()])
    there.server.sh(
        f"ip neigh replace {ENGINE} dev up0 lladdr {there.engine.link('up0')[1].hex(':')} nud permanent\n"
        f"ip neigh replace {CLIENT} dev up0 lladdr {CLIENT_MAC.hex(':')} nud permanent\n"
        "sysctl -qw net.ipv4.conf.all.arp_announce=2\n"
        "nft -f - <<E\ntable netdev crowd {\n set dead { type ether_addr; }\n"
        " chain in { type filter hook ingress device up0 priority 0;\n  ether daddr @dead drop\n"
        "  ether daddr & ff:ff:ff:ff:00:00 == 02:00:00:01:00:00 meta pkttype set host\n }\n}\nE"
    )
    return macs


def _with(service: plan.Service, address: str) -> plan.Service:
    return replace(service, servers=(*service.servers, plan.Server(address, PORT)))


@dataclass
class Victim:
    """A server about to fail: the flow that it has, and when things happened to it (time.time()). held: it has had a
    packet of the flow; asked: the first probe without an answer, and asker its port."""

    flow: bytes
    vip: bytes
    held: bool = False
    asked: float | None = None
    asker: bytes = b""
    moved: float | None = None


@dataclass
class Watch:
    """On the servers' side of the wire: sends one flow's packets for each victim, and sees where they go. dead: the
    victims' MAC addresses by their addresses."""

    there: Crowd
    services: Sequence[plan.Service]
    dead: Mapping[str, bytes]
    victims: dict[bytes, Victim] = field(default_factory=dict)
    ports: dict[bytes, bytes] = field(default_factory=dict)

    def run(self) -> list[float]:
        """Let them fail, and tell each one's milliseconds."""
        gateway = self.there.engine.link("up0")[1]
        for address, mac in self.dead.items():
            service, port = self._flow(address)
            self.ports[port.to_bytes(2, "big")] = mac
            frame = gateway + CLIENT_MAC + b"\x08\x00" + _segment(service.vip, port)
            self.victims[mac] = Victim(frame, socket.inet_aton(service.vip))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as wire:
            wire.bind(("up0", _ETH_P_ALL))
            wire.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
            wire.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            wire.setblocking(False)
            self._send_until(wire, lambda: all(victim.held for victim in self.victims.values()), QUIET)
            listed = ", ".join(mac.hex(":") for mac in self.victims)
            self.there.server.sh(f"nft add element netdev crowd dead '{{ {listed} }}'")
            self._send_until(wire, lambda: all(v.moved for v in self.victims.values()), EVERY * len(self.victims))
        return [(v.moved - v.asked - 1) * 1000 for v in self.victims.values() if v.moved and v.asked]

    def _send_until(self, wire: socket.socket, reached: Callable[[], bool], every: float) -> None:
        deadline = time.monotonic() + 45
        while not reached():
            assert time.monotonic() < deadline, f"{self.victims}\n{self.there.log()}"
            self._send(wire, every)

    def _flow(self, address: str) -> tuple[plan.Service, int]:
        """A client's port that the server gets, in a pool of its own."""
        service = next(s for s in self.services if any(server.address == address for server in s.servers))
        known = [(socket.inet_aton(server.address), 1) for server in service.servers]
        table = hashing.build_table(known, plan.SLOTS, service.seed)
        client = int.from_bytes(socket.inet_aton(CLIENT), "big")
        wanted = [server.address for server in service.servers].index(address)
        ports = (p for p in range(20000, 65000) if p.to_bytes(2, "big") not in self.ports)
        return service, next(p for p in ports if table[hashing.slot_of(client, p, service.seed, plan.SLOTS)] == wanted)

    def _send(self, wire: socket.socket, every: float) -> None:
        until_ = time.monotonic() + every
        for victim in self.victims.values():
            if victim.moved is None and not (every == QUIET and victim.held):
                with suppress(OSError):  # ENOBUFS: the wire is full, the next one comes soon
                    wire.send(victim.flow)
        while (left := until_ - time.monotonic()) > 0:
            if select.select([wire], [], [], left)[0]:
                self._receive(wire)

    def _receive(self, wire: socket.socket) -> None:
        frame, ancillary, _, where = wire.recvmsg(128, 64)
        if where[1] != _ETH_P_IP or frame[23] != _TCP:
            return
        if where[2] == socket.PACKET_OUTGOING:
            if frame[47] & 0x12 == 0x12:  # a probe's answer: the server was still there
                for victim in self.victims.values():
                    if victim.asker == frame[36:38] and victim.moved is None:
                        victim.asked, victim.asker = None, b""
            return
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        at = seconds + nanoseconds / 1e9
        to = frame[:6]
        if (owner := self.ports.get(frame[34:36])) and frame[26:30] == _CLIENT:
            victim = self.victims[owner]
            if to == owner:
                victim.held, victim.moved = True, None
            elif victim.held and victim.moved is None:
                victim.moved = at
        elif (asked := self.victims.get(to)) and asked.asked is None and frame[47] & 0x02 and frame[30:34] == asked.vip:
            asked.asked, asked.asker = at, frame[34:36]


def _segment(address: str, port: int) -> bytes:
    """A client's packet in the middle of a connection."""
    source, destination = socket.inet_aton(CLIENT), socket.inet_aton(address)

    def tcp(check: int) -> bytes:
        return struct.pack("!HHIIBBHHH", port, PORT, 1, 1, 5 << 4, 0x10, 1024, check, 0)

    check = checksum(source + destination + struct.pack("!BBH", 0, _TCP, 20) + tcp(0))
    return ip_header(source, destination, _TCP, 20, tos=0, identification=1, flags=0) + tcp(check)


def _settled(there: Crowd, version: int) -> None:
    """Wait until every server is up in that version of the plan, and probed at its own pace. What an engine tells of
    thousands of servers takes it a while: it is not asked all the time."""
    deadline = time.monotonic() + PATIENCE
    while (told := _told(there)).get("version") != version or not _all_up(told):
        assert time.monotonic() < deadline, there.log()
        time.sleep(len(there.addresses) / 10_000)
    time.sleep(SPREAD)


def _told(there: Crowd) -> dict[str, Any]:
    """What the engine reports. Raises Unmeasurable where it does not within ANSWER seconds."""
    assert there.process is not None
    assert there.process.poll() is None, there.log()
    try:
        return client.ask(there.folder, there.name, "status", timeout=ANSWER)
    except EngineError as exc:
        raise Unmeasurable(f"no status of the engine within {ANSWER:.0f} s: {exc}") from exc


def _all_up(told: dict[str, Any]) -> bool:
    return all(server["state"] == "up" for pool in told["pools"] for server in pool["servers"])


def _up(there: Crowd) -> int:
    return sum(server["state"] == "up" for pool in _told(there)["pools"] for server in pool["servers"])


def _probes(there: Crowd) -> int:
    return int(_told(there)["monitors"]["probes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=SERVERS)
    parser.add_argument("--pools", type=int, default=1, help="of verdicts")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", action="append", choices=(*MONITORS, "tunnel", "verdicts", "many"))
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
        for samples in failing(Effort(3, 1), wanted.servers, wanted.pools):
            print(f"{samples.name}: {samples.note}", flush=True)
    if "many" in only:
        for samples in many(Effort(3, wanted.servers / MANY)):
            print(f"{samples.name}: {samples.median:.3g} {samples.unit}; {samples.note}", flush=True)


if __name__ == "__main__":
    main()
