"""The pcap driver on real packet sockets: a wire into its namespace, frames in at one end, what leaves seen there."""

from __future__ import annotations

import dataclasses
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.inet import IP

from dataplane.drivers.pcap import nativemover, packetsocket
from dataplane.drivers.pcap.driver import QUIET, PcapDriver
from dataplane.drivers.pcap.nativemover import NativeMover
from dataplane.drivers.pcap.pythonmover import PythonMover
from dataplane.forwarding import decision, dropreasons
from dataplane.forwarding.driver import Driver, Tables, whole
from dataplane.forwarding.values import Counters, Interface, Tally, Target, Vip
from dataplane.native.decision import library

from ..netns import Namespace
from ..packets.cases import CASES, Case, Expected, arp_reply, arp_request, frame, tcp, to, udp
from ..packets.world import ETH0, VIP, WEB1, WORLD, ip

pytestmark = pytest.mark.root


@dataclass
class OnWires:
    """A driver in `engine`; `wires`: the sockets at the far ends of its interfaces, by index."""

    engine: Namespace
    driver: Driver
    wires: dict[int, socket.socket]
    interfaces: dict[int, Interface]

    def arrives(self, wire: int, deadline: float = 20.0) -> bytes:
        """The next frame at the far end of an interface."""
        self.wires[wire].settimeout(deadline)
        data, auxiliary, _, _ = self.wires[wire].recvmsg(1 << 16, 64)
        return data[:12] + packetsocket.tag_of(auxiliary) + data[12:]

    def silent(self, wire: int) -> bool:
        """Whether nothing is waiting at a far end."""
        self.wires[wire].setblocking(False)
        try:
            return not self.wires[wire].recv(1 << 16)
        except BlockingIOError:
            return True

    def drain(self) -> None:
        """Forget what is waiting at the far ends."""
        for wire in self.wires:
            while not self.silent(wire):
                pass

    def wait(self, condition: Callable[[Counters], bool]) -> None:
        """Until the counters say so."""
        until(lambda: condition(whole(self.driver.counters_in_pieces())))


@dataclass
class Bench(OnWires):
    """The pcap driver."""

    driver: PcapDriver


def until(condition: Callable[[], bool]) -> None:
    """Poll, five seconds at most."""
    deadline = time.monotonic() + 45
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def wired(engine: Namespace, far: Namespace, interface: Interface) -> Interface:
    name = interface.name
    far.sh(
        f"ip link add {name} type veth peer name {name} netns {engine.name} address {interface.mac.hex(':')}\n"
        f"sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1; ip link set {name} mtu 9500 up"
    )
    address = socket.inet_ntoa(interface.addresses[0])
    engine.sh(
        f"sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1; ip addr add {address}/24 dev {name}\n"
        f"ip link set {name} mtu {interface.mtu} up"
    )
    engine.sh("sysctl -qw net.ipv4.conf.all.arp_ignore=8")  # the host is silent: what comes is the driver's
    return dataclasses.replace(interface, index=engine.link(name)[0])


@pytest.fixture(scope="module", params=[True, False], ids=["native", "python"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with Namespace() as engine, Namespace() as far:
        real = {i.index: wired(engine, far, i) for i in WORLD.interfaces}

        def listen(name: str) -> socket.socket:
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            for option in (packetsocket.PACKET_IGNORE_OUTGOING, packetsocket.PACKET_AUXDATA):
                wire.setsockopt(packetsocket.SOL_PACKET, option, 1)
            wire.bind((name, packetsocket.ETH_P_ALL))
            return wire

        wires = {index: far.run(partial(listen, i.name)) for index, i in real.items()}
        driver = engine.run(lambda: PcapDriver("test", native=request.param))
        try:
            engine.run(lambda: put(driver, real))
            yield Bench(engine, driver, wires, real)
        finally:
            engine.run(lambda: driver.close(keep=False))
            for wire in wires.values():
                wire.close()
        assert "avi_" not in engine.sh("nft list tables")


def put(driver: Tables, real: dict[int, Interface]) -> None:
    def target(t: Target) -> Target:
        return dataclasses.replace(t, interface=real[t.interface].index if t.interface else None)

    pools = tuple(dataclasses.replace(p, targets=tuple(map(target, p.targets))) for p in WORLD.pools)
    dataclasses.replace(WORLD, interfaces=tuple(real.values()), pools=pools).put(driver)


@pytest.mark.parametrize("row", CASES, ids=lambda row: row.what)
def test_case_on_the_wire(row: Case, bench: OnWires) -> None:
    wire = bench.wires[row.interface.index]
    bench.driver.answer_until(row.answers_until(time.monotonic_ns()))
    for earlier in row.before:
        wire.send(earlier)
    wire.send(frame(tcp(sport=1233), dst=row.interface.mac))
    while bench.arrives(ETH0.index) != to(WEB1, tcp(sport=1233)).frames[0]:
        pass
    bench.drain()
    before = whole(bench.driver.counters_in_pieces())
    wire.send(row.frame)
    for expected in row.expected.frames:
        assert counted_from_zero(bench.arrives(row.expected.interface)) == counted_from_zero(expected)
    if row.expected.frames:
        return
    if row.expected.action == decision.DROPPED:
        reason = row.expected.reason
        bench.wait(lambda now: now.dropped.get(reason, 0) == before.dropped.get(reason, 0) + 1)
    # What is sent after it comes back, and nothing came before.
    wire.send(frame(tcp(sport=1234), dst=row.interface.mac))
    assert bench.arrives(ETH0.index) == to(WEB1, tcp(sport=1234)).frames[0]
    after = whole(bench.driver.counters_in_pieces())
    if row.expected == Expected(decision.HOST):
        assert (after.dropped, after.answered) == (before.dropped, before.answered)
    assert all(bench.silent(interface.index) for interface in WORLD.interfaces)


OWN = {socket.inet_ntoa(interface.addresses[0]) for interface in WORLD.interfaces}


def counted_from_zero(sent: bytes) -> bytes:
    """Without what depends on the cases before: the outer identification of a tunnel, and with it the checksum."""
    packet = IP(sent[14:])
    if packet.proto in (4, 47) and packet.src in OWN and not packet.flags.DF:
        return sent[:18] + b"\0\0" + sent[20:24] + b"\0\0" + sent[26:]
    return sent


def test_counters_and_their_end(bench: Bench) -> None:
    driver, wire = bench.driver, bench.wires[ETH0.index]
    key = next(s for s in WORLD.services if s.key.port == 65535)
    driver.remove_service(key.key)
    driver.put_service(key)
    wire.send(frame(tcp(65535)))
    bench.arrives(ETH0.index)
    bench.wait(lambda now: now.services.get(key.key) == Tally(1, 40))
    driver.remove_service(key.key)
    assert key.key not in whole(driver.counters_in_pieces()).services
    driver.put_service(key)


CROWD = packetsocket.RING // packetsocket.ROOM + 500
"""Frames: 500 more than the ring holds."""


def crowd(bench: Bench, sent: bytes) -> None:
    """Send a crowd of one frame while the driver's thread has no time to receive."""
    bench.driver._do(lambda: [bench.wires[ETH0.index].send(sent) for _ in range(CROWD)])


def test_what_comes_faster_than_it_is_taken_is_counted(bench: Bench) -> None:
    key = next(s.key for s in WORLD.services if s.key.port == 80 and s.key.vip == ip(VIP))

    def handled(now: Counters) -> int:
        return now.services.get(key, Tally()).packets

    before = whole(bench.driver.counters_in_pieces())
    crowd(bench, frame(tcp()))
    bench.wait(lambda now: handled(now) - handled(before) + now.dropped.get(dropreasons.OVERRUN, 0) == CROWD)
    assert whole(bench.driver.counters_in_pieces()).dropped[dropreasons.OVERRUN] == 500
    until(lambda: bench.silent(ETH0.index))


def test_a_drop_is_counted_for_its_service_until_that_goes(bench: Bench) -> None:
    service = next(s for s in WORLD.services if s.key.port == 443)

    def dropped(now: Counters) -> int:
        return now.service_drops.get(service.key, {}).get("no_server", 0)

    before = whole(bench.driver.counters_in_pieces())
    bench.wires[ETH0.index].send(frame(tcp(443)))
    bench.wait(lambda now: dropped(now) == dropped(before) + 1)
    assert whole(bench.driver.counters_in_pieces()).dropped["no_server"] == before.dropped.get("no_server", 0) + 1
    bench.driver.remove_service(service.key)
    assert service.key not in whole(bench.driver.counters_in_pieces()).service_drops
    bench.driver.put_service(service)


def test_the_hosts_own_frames_do_not_crowd_it(bench: Bench) -> None:
    until(lambda: bench.driver._unfiltered is None)  # the filters follow when VIPs are quiet
    before = whole(bench.driver.counters_in_pieces())
    crowd(bench, frame(tcp(dst="203.0.113.1")))
    bench.wires[ETH0.index].send(frame(tcp(sport=77)))
    assert bench.arrives(ETH0.index) == to(WEB1, tcp(sport=77)).frames[0]
    assert whole(bench.driver.counters_in_pieces()).dropped == before.dropped


def guarded(bench: Bench) -> bool:
    return VIP in bench.engine.sh("nft list table netdev avi_test")


def test_a_vip_taken_away_is_the_hosts_again(bench: Bench) -> None:
    vip = next(v for v in WORLD.vips if v.address == ip(VIP))
    bench.driver.remove_vip(vip.address)
    bench.wires[ETH0.index].send(arp_request(VIP))
    bench.wires[ETH0.index].send(arp_request("10.0.0.103"))
    assert bench.arrives(ETH0.index) == arp_reply("10.0.0.103").frames[0]
    until(lambda: not guarded(bench))
    bench.driver.put_vip(vip)
    until(lambda: guarded(bench))


def test_a_vip_that_is_put_slowly_is_answered_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filters followed too early on a busy machine: what was put after that never reached the driver."""
    new, tables = "10.0.0.199", bench.driver._tables
    put = type(tables).put_vip

    def slowly(self: Tables, vip: Vip) -> None:
        time.sleep(3 * QUIET)
        put(self, vip)

    monkeypatch.setattr(type(tables), "put_vip", slowly)
    bench.driver.put_vip(Vip(ip(new), up=True, owned=True))
    try:
        until(lambda: bench.driver._unfiltered is None)
        bench.wires[ETH0.index].send(arp_request(new))
        assert bench.arrives(ETH0.index) == arp_reply(new).frames[0]
    finally:
        bench.driver.remove_vip(ip(new))


def test_the_hosts_stack_never_sees_vip_packets(bench: Bench) -> None:
    """With ip_forward=1 the host would send them on itself."""
    until(lambda: guarded(bench))  # it follows within milliseconds
    bench.engine.sh("sysctl -qw net.ipv4.ip_forward=1")
    before = _forwarded(bench.engine)
    for n in range(50):
        bench.wires[ETH0.index].send(frame(tcp(sport=3000 + n)))
    for _ in range(50):
        bench.arrives(ETH0.index)
    assert _forwarded(bench.engine) == before
    bench.wires[ETH0.index].send(frame(tcp(dst="10.1.0.77")))
    until(lambda: _forwarded(bench.engine) > before)  # the counter does count: another's packet is forwarded
    bench.engine.sh("sysctl -qw net.ipv4.ip_forward=0")


def _forwarded(engine: Namespace) -> int:
    names, numbers = (line.split() for line in engine.sh("cat /proc/net/snmp").splitlines() if line.startswith("Ip:"))
    return int(numbers[names.index("ForwDatagrams")])


@pytest.mark.parametrize("native", [True, False], ids=["native", "python"])
def test_real_tcp_with_offloads_arrives_whole(native: bool, tmp_path: Path) -> None:
    """A megabyte through the driver, the sender's checksum and segmentation offload on: frames of many segments come
    through as they are, and the server's own stack finds every checksum right."""
    data = bytes(range(256)) * 4096
    with Namespace() as client, Namespace() as engine, Namespace() as server:
        server_mac, front = _chain(client, engine, server)
        driver = engine.run(lambda: PcapDriver("test-tcp", native=native))
        try:
            engine.run(lambda: _one_server(driver, front, server_mac))
            (tmp_path / "sent").write_bytes(data)
            with subprocess.Popen(
                ["nsenter", f"--net={server.path}", sys.executable, "-m", "tests.dataplane.sink", VIP, "80"],
                stdout=subprocess.PIPE,
            ) as sink:
                assert sink.stdout is not None
                assert sink.stdout.readline() == b"ready\n"
                client.run(lambda: _send(data))
                assert int(sink.stdout.readline()) == len(data)
            segments = sum(t.packets for t in whole(driver.counters_in_pieces()).services.values())
            assert segments < len(data) / 1460, "whole frames of many segments were expected"
            size = sum(t.bytes for t in whole(driver.counters_in_pieces()).services.values())
            assert size > len(data) + 40 * segments, "all bytes of the large packets are counted"
        finally:
            engine.run(lambda: driver.close(keep=False))


def _send(data: bytes) -> None:
    with socket.create_connection(("10.0.0.100", 80), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b"done"


def _chain(client: Namespace, engine: Namespace, server: Namespace) -> tuple[bytes, Interface]:
    """One segment: a bridge, and on it the client, the server, and the interface that the driver serves."""
    engine.sh("ip link add br0 type bridge; ip link set br0 up")
    for there, last in ((client, 50), (server, 11)):
        there.sh(
            f"ip link add eth0 type veth peer name port{last} netns {engine.name}\n"
            f"ip addr add 10.0.0.{last}/24 dev eth0; ip link set eth0 up"
        )
        engine.sh(f"ip link set port{last} master br0 up")
    engine.sh("ip link add eth0 type veth peer name port2; ip link set port2 master br0 up\nip link set eth0 up")
    server.sh(
        "ip addr add 10.0.0.100/32 dev lo; sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
    )
    index, own = engine.link("eth0")
    return server.link("eth0")[1], Interface(index, "eth0", own, 1500, (ip("10.0.0.2"),))


def _one_server(driver: PcapDriver, front: Interface, server_mac: bytes) -> None:
    web = next(p for p in WORLD.pools if p.uuid == "pool-one")
    target = dataclasses.replace(web.targets[0], mac=server_mac, interface=front.index)
    service = next(s for s in WORLD.services if s.key.port == 80 and s.key.vip == ip(VIP))
    driver.put_interface(front)
    driver.put_pool(dataclasses.replace(web, targets=(target,)))
    driver.put_service(service)
    driver.put_vip(Vip(ip(VIP), True, True))


def curse(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, str]:
    """Have a frame meet a mistake of ours. Returns it, and what it is counted as."""
    mover, raises = bench.driver._mover, RuntimeError("a mistake")
    if isinstance(mover, NativeMover):  # what it leaves to Python

        def mistaken(*_: object) -> decision.Verdict:
            raise raises

        monkeypatch.setattr(decision, "decide", mistaken)
        return frame(udp(90, data=bytes(1473))), "encap_failed"
    assert isinstance(mover, PythonMover)
    decide, cursed = mover._cache.decide, frame(tcp(sport=6666))

    def decided(data: bytes, interface: Interface, now: int, segment: int = 0) -> decision.Verdict:
        if data == cursed:
            raise raises
        return decide(data, interface, now, segment)

    monkeypatch.setattr(mover._cache, "decide", decided)
    return cursed, dropreasons.MISTAKEN


def test_a_frame_that_meets_a_mistake_stops_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wire, (cursed, reason) = bench.wires[ETH0.index], curse(bench, monkeypatch)
    before = whole(bench.driver.counters_in_pieces()).dropped.get(reason, 0)
    for data in (cursed, frame(tcp(sport=1234)), cursed, frame(tcp(sport=1234))):
        wire.send(data)
    for _ in range(2):
        assert bench.arrives(ETH0.index) == to(WEB1, tcp(sport=1234)).frames[0]
    bench.wait(lambda now: now.dropped.get(reason, 0) == before + 2)
    (told,) = bench.driver.faults()
    assert "2 times: RuntimeError: a mistake" in told


def test_frames_are_moved_in_python_where_no_library_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for cached in (library.shipped, nativemover._loops):
        cached.cache_clear()
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with Namespace() as engine:
        driver = engine.run(lambda: PcapDriver("test-note"))
        (told,) = driver.notes()
        engine.run(lambda: driver.close(keep=False))
    assert "decided on in Python" in told
    assert "for this processor" in told
    monkeypatch.undo()
    with Namespace() as engine:
        driver = engine.run(lambda: PcapDriver("test-note"))
        assert driver.notes() == []
        engine.run(lambda: driver.close(keep=False))
