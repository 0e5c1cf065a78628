"""The XDP driver on veth interfaces in namespaces: real frames, pins, adoption, other people's programs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.bpf import links
from dataplane.bpf.maps import Map
from dataplane.bpf.programs import Program
from dataplane.drivers.maps import layout
from dataplane.drivers.xdp import attachment, pins
from dataplane.drivers.xdp.driver import OBJECT
from dataplane.errors import DriverError
from dataplane.forwarding import rewrite
from dataplane.forwarding.driver import NOTHING_FOUND, whole
from dataplane.forwarding.values import UDP, Service, ServiceKey, Tally, Vip
from dataplane.network import xdpfeatures
from dataplane.plan import MODES
from tests.packets.cases import CLIENT_MAC, arp_request, frame
from tests.packets.world import VIP, ip
from tests.xdp import publisher

from .wire import SERVERS, Wire, instance, pin_folder, wire

pytestmark = pytest.mark.root
FIRST, SECOND = SERVERS
LAYOUT = f"v{layout.LAYOUT}"


@pytest.fixture
def two() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture
def name() -> Iterator[str]:
    """An instance whose pins are gone after the test, whatever happened."""
    made = instance()
    yield made
    left = pin_folder(made).exists()
    pins.remove(made)
    assert not left, "pins are left over"


def test_frames_leave_by_the_same_and_by_the_other_interface(two: Wire, name: str) -> None:
    driver = two.start(name)
    try:
        two.put(driver)
        assert driver.modes() == {"v0": "native", "v1": "native"}
        for sport in range(1000, 1100):
            two.send(two.query(sport))
        received = two.receive(100)
        by_server = {server: [f for f in received if f[:6] == address] for server, (_, address) in SERVERS.items()}
        for server, (at, _) in SERVERS.items():
            assert by_server[server], "both servers have their share"
            assert all(f[6:12] == two.interfaces[at].mac for f in by_server[server])
        queries = sorted(two.query(sport)[14:] for sport in range(1000, 1100))
        assert sorted(f[14:] for f in received) == queries
        counters = whole(driver.counters_in_pieces())
        assert counters.services == {ServiceKey(ip(VIP), UDP, 53, 53): Tally(100, 2900)}
        assert counters.servers == {
            ("pool", ip(server)): Tally(len(got), 29 * len(got)) for server, got in by_server.items()
        }
        assert not any(counters.dropped.values())
    finally:
        driver.close(keep=False)


def test_arp_is_answered_and_drops_are_counted(two: Wire, name: str) -> None:
    driver = two.start(name)
    try:
        two.put(driver)
        two.send(arp_request(VIP))
        (answer,) = two.receive(1, at=0)
        assert answer[:12] == CLIENT_MAC + two.interfaces[0].mac
        assert answer[22:32] == two.interfaces[0].mac + ip(VIP)
        two.balancer.run(lambda: driver.put_vip(Vip(ip(VIP), False, False)))
        two.send(two.query(1))
        two.balancer.run(lambda: driver.put_vip(Vip(ip(VIP), True, True)))
        two.send(two.query(2))
        two.receive(1)
        assert whole(driver.counters_in_pieces()).dropped["vip_down"] == 1
        assert whole(driver.counters_in_pieces()).answered == 1
    finally:
        driver.close(keep=False)


def test_a_link_without_native_xdp_makes_all_generic(name: str) -> None:
    with wire(generic=(0, 1)) as slow:
        driver = slow.start(name)
        try:
            slow.put(driver)
            assert driver.modes() == {"v0": "generic", "v1": "generic"}
            for sport in range(20):
                slow.send(slow.query(sport))
            assert {f[:6] for f in slow.receive(20)} == {address for _, address in SERVERS.values()}
            assert sum(t.packets for t in whole(driver.counters_in_pieces()).servers.values()) == 20
        finally:
            driver.close(keep=False)


@pytest.fixture
def jumbo() -> Iterator[Wire]:
    with wire(mtu=9000) as made:
        yield made


def sends_pieces() -> bool:
    """Whether the kernel redirects frames of several pieces (Linux 6.3), and says so."""
    return xdpfeatures.told(1) is not None


@pytest.mark.parametrize("mode", MODES)
def test_frames_of_9000_bytes(mode: str, jumbo: Wire, name: str) -> None:
    """Natively where the kernel can send such, else generic; half of them leave by where they came, half do not."""
    driver = jumbo.start(name)
    try:
        jumbo.put(driver, mode=mode)
        expected = "native" if sends_pieces() else "generic"
        assert driver.modes() == {"v0": expected, "v1": expected}
        data = bytes(n % 251 for n in range(9000 - 28 - rewrite.overhead(mode)))
        queries = {jumbo.query(sport, data)[14:] for sport in range(40)}
        for query in queries:
            jumbo.send(jumbo.query(0)[:14] + query)
        received = jumbo.receive(40)
        assert {len(frame) for frame in received} == {9014}
        assert {frame[14 + rewrite.overhead(mode) :] for frame in received} == queries
        assert {frame[:6] for frame in received} == {address for _, address in SERVERS.values()}
        assert not any(whole(driver.counters_in_pieces()).dropped.values())
    finally:
        driver.close(keep=False)


def test_an_mtu_that_grows_later(two: Wire, name: str) -> None:
    """The program that runs takes the larger frames, or runs generically from then on."""
    driver = two.start(name)
    try:
        two.put(driver, FIRST)
        for space, interface in ((two.segment, "p0"), (two.balancer, "v0")):
            space.sh(f"ip link set {interface} mtu 9000")
        grown = replace(two.interfaces[0], mtu=9000)
        two.balancer.run(lambda: driver.put_interface(grown))
        assert driver.modes()["v0"] == ("native" if sends_pieces() else "generic")
        two.send(two.query(1, bytes(8900)))
        assert [len(frame) for frame in two.receive(1)] == [14 + 28 + 8900]
    finally:
        driver.close(keep=False)


def test_the_first_generic_interface_takes_the_native_ones_along(name: str) -> None:
    with wire(generic=(1,)) as mixed:
        driver = mixed.start(name)
        try:
            mixed.balancer.run(lambda: driver.put_interface(mixed.interfaces[0]))
            assert driver.modes() == {"v0": "native"}
            mixed.put(driver)
            assert driver.modes() == {"v0": "generic", "v1": "generic"}
            for sport in range(20):
                mixed.send(mixed.query(sport))
            assert len(mixed.receive(20)) == 20
        finally:
            driver.close(keep=False)


def test_a_foreign_program_is_named_and_left_alone(two: Wire, name: str) -> None:
    two.balancer.run(lambda: attachment.attach_pass("v0"))
    index = two.interfaces[0].index
    foreign = two.balancer.run(lambda: links.attached(index))
    assert foreign is not None
    driver = two.start(name)
    try:
        with pytest.raises(DriverError, match=rf"v0 has an XDP program already \('avi_pass', id {foreign.program}"):
            two.balancer.run(lambda: driver.put_interface(two.interfaces[0]))
        two.balancer.run(lambda: driver.put_interface(two.interfaces[1]))
        assert driver.modes() == {"v1": "native"}
    finally:
        driver.close(keep=False)
    assert two.balancer.run(lambda: links.attached(index)) == foreign


def test_a_killed_daemon_loses_no_frame_and_is_succeeded(two: Wire, name: str) -> None:
    words = [sys.executable, "-m", "tests.xdp.publisher", name, *map(publisher.words, two.interfaces)]
    argv = ["nsenter", f"--net={two.balancer.path}", *words]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        for sport in range(100):
            two.send(two.query(sport))
        before = two.receive(100)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    for sport in range(100):
        two.send(two.query(sport))
    assert sorted(two.receive(100)) == sorted(before)
    two.send(arp_request(VIP))
    two.receive(1, at=0)

    driver = two.start(name)
    try:
        assert driver.adopted().pools == {"pool": two.pool(FIRST, SECOND)}
        assert driver.adopted().names() == {("pool", ip(VIP)): "pool"}
        for sport in range(100):
            two.send(two.query(sport))
            if sport == 30:
                two.put(driver)
            if sport == 60:
                two.balancer.run(driver.prune)
        assert sorted(two.receive(100)) == sorted(before)
        assert driver.modes() == {"v0": "native", "v1": "native"}
        assert whole(driver.counters_in_pieces()).services == {ServiceKey(ip(VIP), UDP, 53, 53): Tally(300, 8700)}
        assert whole(driver.counters_in_pieces()).answered == 1
    finally:
        driver.close(keep=False)


def test_what_the_plan_no_longer_has_goes_with_prune(two: Wire, name: str) -> None:
    first = two.start(name)
    two.put(first)
    more = ServiceKey(ip("10.0.0.200"), UDP, 1000, 1999)
    two.balancer.run(lambda: first.put_service(Service(more, "old", "pool", True)))
    two.balancer.run(lambda: first.put_vip(Vip(more.vip, True, True)))
    first.close(keep=True)

    second = two.start(name)
    try:
        two.balancer.run(lambda: second.put_interface(two.interfaces[0]))
        two.balancer.run(second.prune)
        assert second.modes() == {"v0": "native"}
        assert whole(second.counters_in_pieces()).services == {}
        assert whole(second.counters_in_pieces()).servers == {}
        index = two.interfaces[1].index
        assert two.balancer.run(lambda: links.attached(index)) is None
        assert not (pin_folder(name) / LAYOUT / f"link-{index}").exists()
        two.put(second, FIRST)
        two.send(two.query(1))
        assert len(two.receive(1, at=0)) == 1
        assert whole(second.counters_in_pieces()).services == {ServiceKey(ip(VIP), UDP, 53, 53): Tally(1, 29)}
    finally:
        second.close(keep=False)


@pytest.mark.parametrize("pieces", ["frames of several pieces", "one piece"])
def test_a_newer_program_takes_over_without_a_gap(
    two: Wire, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: str
) -> None:
    old = two.start(name)
    two.put(old)
    old.close(keep=True)
    source = OBJECT.parent
    for path in filter(Path.is_file, source.iterdir()):
        data = path.read_bytes()
        if path.suffix != ".o":
            data = data.replace(b"sum == 0xFFFF", b"0xFFFF == sum")
        if path.name == "dsr.c":
            data = data.replace(b"	if (next > end)", b"	if (bpf_ktime_get_ns() == 1 || next > end)")
            if pieces == "one piece":  # as programs of older releases, which share no map of interfaces with others
                data = data.replace(b'SEC("xdp.frags")', b'SEC("xdp")')
        (tmp_path / path.name).write_bytes(data)
    subprocess.run(["make", "-s", "-B", "-C", tmp_path], check=True)
    monkeypatch.setattr("dataplane.drivers.xdp.driver.OBJECT", tmp_path / "dsr.o")

    index = two.interfaces[0].index
    before = two.balancer.run(lambda: links.attached(index))
    link = (pin_folder(name) / LAYOUT / f"link-{index}").stat().st_ino
    new = two.start(name)
    try:
        after = two.balancer.run(lambda: links.attached(index))
        assert before is not None
        assert after is not None
        assert before.program != after.program
        assert (pin_folder(name) / LAYOUT / f"link-{index}").stat().st_ino == link
        two.put(new)
        two.send(two.query(1))
        two.receive(1)
        assert whole(new.counters_in_pieces()).services[ServiceKey(ip(VIP), UDP, 53, 53)].packets == 1
    finally:
        new.close(keep=False)


def test_maps_that_may_be_new_keep_nothing_from_being_adopted(two: Wire, name: str) -> None:
    old = two.start(name)
    two.put(old)
    old.close(keep=True)
    index, folder = two.interfaces[0].index, pin_folder(name) / LAYOUT
    for renewable in layout.RENEWABLE:
        (folder / renewable).unlink()
    with Map.create(2, "identifications", 4, 4, 4) as other:  # as an older release had it
        other.pin(folder / "identifications")

    new = two.start(name)
    try:
        assert new.adopted().names() == {("pool", ip(VIP)): "pool"}
        assert two.balancer.run(lambda: links.attached(index)) is not None
        two.put(new)
        two.send(two.query(1))
        two.receive(1)
        assert {path.name for path in folder.iterdir()} >= set(layout.PINNED)
    finally:
        new.close(keep=False)


def test_another_layout_is_replaced(two: Wire, name: str) -> None:
    old = two.start(name)
    two.put(old)
    old.close(keep=True)
    (pin_folder(name) / LAYOUT / "source_macs").unlink()
    with Map.create(1, "source_macs", 4, 4, 4) as other:
        other.pin(pin_folder(name) / LAYOUT / "source_macs")
    (pin_folder(name) / "v0").mkdir()
    with Map.create(1, "old", 4, 4, 4) as older:
        older.pin(pin_folder(name) / "v0" / "old")

    new = two.start(name)
    try:
        assert new.adopted() == NOTHING_FOUND
        assert not (pin_folder(name) / "v0").exists()
        index = two.interfaces[0].index
        assert two.balancer.run(lambda: links.attached(index)) is None
        two.put(new)
        two.send(two.query(1))
        two.receive(1)
    finally:
        new.close(keep=False)


def test_an_interface_that_went_away_is_forgotten(two: Wire, name: str) -> None:
    first = two.start(name)
    two.put(first)
    two.balancer.sh("ip link del v1")
    gone = two.interfaces[1].index
    first.close(keep=True)
    second = two.start(name)
    try:
        assert not (pin_folder(name) / LAYOUT / f"link-{gone}").exists()
        two.balancer.run(lambda: second.put_interface(two.interfaces[0]))
        assert second.modes() == {"v0": "native"}
        two.balancer.run(lambda: second.put_pool(two.pool(FIRST)))
        two.send(two.query(1))
        two.receive(1, at=0)
        two.balancer.sh("ip link del v0")
        two.balancer.run(lambda: second.remove_interface(two.interfaces[0].index))
        assert second.modes() == {}
    finally:
        second.close(keep=False)


def test_nothing_is_left_after_close(two: Wire, name: str) -> None:
    driver = two.start(name)
    two.put(driver)
    index = two.interfaces[0].index
    there = two.balancer.run(lambda: links.attached(index))
    assert there is not None
    assert pin_folder(name).is_dir()
    driver.close(keep=False)
    assert not pin_folder(name).exists()
    assert two.balancer.run(lambda: links.attached(index)) is None
    with pytest.raises(DriverError):
        Program.by_id(there.program)
    two.send(two.query(1))
    two.send(frame(b"\x45" + bytes(39), dst=SERVERS[FIRST][1]))


def test_attach_pass_says_which_interface_is_missing_and_may_be_repeated(two: Wire) -> None:
    with pytest.raises(DriverError, match="no interface 'nowhere'"):
        two.balancer.run(lambda: attachment.attach_pass("nowhere"))
    before = two.segment.run(lambda: links.attached(int(two.segment.link("p0")[0])))
    two.segment.run(lambda: attachment.attach_pass("p0"))
    assert two.segment.run(lambda: links.attached(int(two.segment.link("p0")[0]))) == before


def test_an_instances_name_may_hold_what_a_pin_may_not() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_%-]+", pins._name("se.1/ü"))
    assert pins._name("a.b") != pins._name("a_b")
