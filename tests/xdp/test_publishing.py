"""How pools reach the program: by memory, whole, and found again whatever moment a process ended in."""

from __future__ import annotations

import platform
import random
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from dataplane.bpf import handle, libbpf, maps, programs
from dataplane.drivers.maps import layout, poolrecord
from dataplane.drivers.maps.layout import SLAB_TABLES, u32
from dataplane.drivers.maps.lives import Lives
from dataplane.drivers.maps.sourcemacs import SourceMacs
from dataplane.errors import DriverError
from dataplane.forwarding.maglev import NO_SERVER
from dataplane.forwarding.values import TCP, Interface, Pool, Service, ServiceKey, Target, Vip
from dataplane.native import library
from tests.packets.cases import frame, tcp
from tests.packets.world import VIP, ip, mac

from .decider import LOOPBACK, KernelDecider

root = pytest.mark.root
SLOTS = 251


def target(n: int, **changes: Any) -> Target:
    return replace(Target(bytes((10, 0, 0, n)), True, mac(n), LOOPBACK), **changes)


def slots(owner: int) -> array[int]:
    """A table of one owner."""
    return array("H", [owner]) * SLOTS


def pool(owner: int, *targets: Target, uuid: str = "pool") -> Pool:
    """One whose table gives every slot to one of its targets."""
    return Pool(uuid, 1, slots(owner), targets or (target(0x11), target(0x12)))


class Roomy(KernelDecider):
    """With an engine's room."""

    room = 0


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> Iterator[KernelDecider]:
    """The program that serves one pool. Parameter: its class."""
    decider = getattr(request, "param", KernelDecider)()
    tables = decider.tables
    tables.put_interface(Interface(LOOPBACK, "lo", mac(1), 1500))
    tables.put_pool(pool(0))
    tables.put_service(Service(ServiceKey(ip(VIP), TCP, 80, 80), "vs", "pool", True))
    tables.put_vip(Vip(ip(VIP), True, True))
    yield decider
    decider.close()


def served_by(kernel: KernelDecider) -> bytes:
    """MAC address that a packet goes to; nothing where it goes nowhere."""
    ran = kernel.run(frame(tcp(), dst=mac(1)))
    return ran.frames[0][:6] if ran.frames else b""


@root
def test_a_change_of_table_or_health_calls_no_kernel(kernel: KernelDecider, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(call: Callable[..., int]) -> Callable[..., int]:
        def counting(name: str, *arguments: Any) -> int:
            calls.append(name)
            return call(name, *arguments)

        return counting

    for module in (handle, maps, programs):
        monkeypatch.setattr(module, "call", counted(libbpf.call))
    monkeypatch.setattr(maps, "short_call", counted(libbpf.short_call))
    tables = kernel.tables
    tables.put_pool(pool(1))
    tables.put_pool(pool(1, target(0x11), target(0x12, up=False, serves=False, mac=mac(0x12))))
    tables.put_pool(replace(pool(1), phases=bytes([1]) * SLOTS, fallback=slots(0)))
    tables.put_pool(pool(1))
    assert calls == []
    assert served_by(kernel) == mac(0x12)


@root
def test_a_stable_pools_table_is_held_by_the_kernel_alone_and_outlives_its_place(kernel: KernelDecider) -> None:
    tables, given = kernel.tables, pool(1)
    (held,) = tables.put_pools([given])
    assert held == given
    assert not isinstance(held.table, array)
    assert (held.table[7], len(held.table), held.table.tobytes()) == (1, SLOTS, given.table.tobytes())
    with pytest.raises(IndexError):
        held.table[SLOTS]
    place = tables._pools.held["pool"].table
    assert tables.put_pools([held]) == [held]
    assert tables._pools.held["pool"].table == place
    (other,) = tables.put_pools([pool(0)])
    slabs = tables._pools._slabs
    slabs.settle()
    while slabs.put(pool(0).table) != place:  # the lowest that is free comes first
        pass
    assert (held.table[7], held) == (1, given)
    assert other.table[7] == 0


@root
def test_each_change_of_a_server_reaches_the_next_packet(kernel: KernelDecider) -> None:
    tables = kernel.tables
    assert served_by(kernel) == mac(0x11)
    tables.put_pool(pool(1))
    assert served_by(kernel) == mac(0x12)
    tables.put_pool(pool(1, target(0x11), target(0x12, mac=mac(0x33))))
    assert served_by(kernel) == mac(0x33)
    tables.put_pool(pool(1, target(0x11), target(0x12, mac=None)))
    assert served_by(kernel) == b""
    tables.put_pool(pool(1, target(0x11), target(0x12), target(0x13)))
    assert served_by(kernel) == mac(0x12)
    tables.put_pool(pool(1, target(0x11), target(0x13)))
    assert served_by(kernel) == mac(0x13)
    tables.put_pool(pool(NO_SERVER, target(0x11), target(0x13)))
    assert served_by(kernel) == b""
    tables.remove_interface(LOOPBACK)
    tables.put_pool(pool(0))
    tables.put_interface(Interface(LOOPBACK, "lo", mac(1), 1500))
    assert served_by(kernel) == mac(0x11)


@root
def test_places_are_used_again_and_slabs_go_with_their_pools(kernel: KernelDecider) -> None:
    tables = kernel.tables

    def number() -> int:
        return sum(1 for _ in kernel.tables._maps["slabs"].items())

    for n in range(10 * SLAB_TABLES):  # faster than they rest
        tables.put_pool(pool(n % 2))
        assert served_by(kernel) == mac(0x11 + n % 2)
    assert number() <= 2
    many = [pool(0, target(0x11), uuid=f"pool-{n}") for n in range(5 * SLAB_TABLES)]
    for one in many:
        tables.put_pool(one)
    assert 5 < number() <= 8
    kernel.readopt()
    assert {uuid: found for uuid, found in kernel.tables.found.pools.items() if uuid != "pool"} == {
        p.uuid: p for p in many
    }
    for one in many:
        kernel.tables.remove_pool(one.uuid)
    assert number() <= 3
    assert served_by(kernel) == mac(0x12)
    assert len(list(kernel.tables._maps["lives"].items())) == 2


@root
def test_a_pool_for_whose_table_there_is_no_room_stays_as_it_was_and_can_be_put_again(
    kernel: KernelDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    slabs = kernel.tables._pools._slabs
    formers = replace(pool(1), phases=bytes([1]) * SLOTS, fallback=slots(0))
    slabs.settle()
    used, free = slabs.used, sorted(slabs._free)
    left = iter([free[0]])

    def full() -> int:
        for number in left:
            slabs._free.remove(number)
            slabs.used += 1
            return number
        raise DriverError("full")

    with monkeypatch.context() as patched:
        patched.setattr(slabs, "take", full)
        with pytest.raises(DriverError, match="full"):
            kernel.tables.put_pool(formers)  # its table finds room, its formers do not
        with pytest.raises(DriverError, match="full"):
            kernel.tables.put_pool(replace(formers, seed=2))
    assert served_by(kernel) == mac(0x11)
    slabs.settle()
    assert (slabs.used, sorted(slabs._free)) == (used, free)
    kernel.tables.put_pool(pool(1))
    assert served_by(kernel) == mac(0x12)


@root
def test_without_a_native_loop_the_same_is_written(kernel: KernelDecider, monkeypatch: pytest.MonkeyPatch) -> None:
    rnd = random.Random(5)
    table, fallback = (array("H", rnd.choices([0, 1, NO_SERVER], k=SLOTS)) for _ in range(2))
    moving = replace(pool(0), table=table, fallback=fallback, phases=bytes(rnd.choices((0, 1, 2), k=SLOTS)))
    written = []
    for native in (True, False):
        with monkeypatch.context() as patched:
            if not native:
                patched.setattr(library, "function", lambda *_: None)
            kernel.tables.put_pool(moving)
        held = kernel.tables._pools.held["pool"]
        slabs = kernel.tables._pools._slabs
        written.append([slabs.kept(number, SLOTS).tobytes() for number in (held.table, held.formers)])
        kernel.tables.put_pool(pool(1))
    assert written[0] == written[1]
    assert written[0][0] != table.tobytes()


@root
def test_tables_that_rest_are_used_before_there_is_said_to_be_no_room(
    kernel: KernelDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    slabs = kernel.tables._pools._slabs
    slabs.settle()
    monkeypatch.setattr(slabs._outer, "max_entries", len(slabs._maps))
    numbers = [slabs.put(pool(0).table) for _ in range(len(slabs._free))]
    slabs.retired.add(numbers[3])
    assert slabs.put(pool(1).table) == numbers[3]
    with pytest.raises(DriverError, match="no more than"):
        slabs.put(pool(1).table)


@root
def test_what_a_killed_process_left_half_done_is_not_seen_by_its_successor(kernel: KernelDecider) -> None:
    """The moments of `MapPools._replace`: places written, `lives` and `source_macs` led on, the word not stored."""
    tables = kernel.tables
    tables.put_pool(replace(pool(1), phases=bytes([1]) * SLOTS, fallback=slots(0)))
    maps, state = tables._maps, tables._state
    other = poolrecord.life("pool", bytes((10, 0, 0, 0x99)), 0)
    maps["lives"].update(other, u32(500))
    maps["lives"].update(poolrecord.life("pool", bytes((10, 0, 0, 0x12)), 0), u32(501))
    (alone,) = layout.source_macs(1, [(mac(0x99), bytes(4))])
    maps["source_macs"].update(alone, u32(1))
    state.targets[500 * 16 : 502 * 16] = b"\xee" * 32
    state.pools[77] = poolrecord.word(1, 0, 900)  # removed, but for its word
    kernel.readopt()
    maps = kernel.tables._maps
    assert kernel.tables.found.pools == {"pool": replace(pool(1), phases=bytes([1]) * SLOTS, fallback=slots(0))}
    held = kernel.tables._pools.held["pool"]
    assert dict(maps["lives"].items()) == {
        poolrecord.life("pool", t.address, 0): u32(held.first + at) for at, t in enumerate(held.value.targets)
    }
    assert maps["source_macs"].lookup(alone) is None
    assert served_by(kernel) == mac(0x12)


@root
def test_what_was_left_whole_is_believed_without_a_look_at_each_key(
    kernel: KernelDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("a native loop is shipped for x86_64 alone")
    crowd = [target(n) for n in range(0x20, 0x60)]
    kernel.tables.put_pool(pool(3, *crowd, replace(crowd[0], address=bytes((10, 0, 0, 3)), mac=None), uuid="crowd"))
    kernel.tables.put_pool(replace(pool(0, *crowd, uuid="tunnel"), mode="l3-ipip"))
    kernel.readopt()
    pools = kernel.tables._pools
    filtered = pools._source_macs._filter
    kept = list(filtered._counts), bytes(filtered.bits)
    filtered._counts = array("I", bytes(4 << 16))
    pools._source_macs.start((one.number, one.value.mode, pools._known(one)) for one in pools.held.values())
    assert (list(filtered._counts), bytes(filtered.bits)) == kept
    for kind in (Lives, SourceMacs):
        monkeypatch.setattr(kind, "start", lambda *_, kind=kind: pytest.fail(kind.__name__))
    kernel.readopt()
    kernel.tables._maps["lives"].delete(poolrecord.life("crowd", crowd[5].address, 0))
    with pytest.raises(pytest.fail.Exception, match="Lives"):
        kernel.readopt()


@root
@pytest.mark.parametrize("wrong", [("lives", u32(900)), ("source_macs", None)])
def test_what_was_left_unfinished_is_put_right(kernel: KernelDecider, wrong: tuple[str, bytes | None]) -> None:
    name, value = wrong
    before = dict(kernel.tables._maps[name].items())
    key = next(iter(before))
    if value is None:
        kernel.tables._maps[name].delete(key)
    else:
        kernel.tables._maps[name].update(key, value)
    kernel.readopt()
    assert dict(kernel.tables._maps[name].items()) == before


@root
@pytest.mark.parametrize("kernel", [Roomy], indirect=True)
def test_what_does_not_fit_is_refused_and_changes_nothing(kernel: KernelDecider) -> None:
    tables = kernel.tables
    large = Pool("large", 1, array("H", [0]) * (layout.TABLE_SLOTS + 1), (target(0x11),))
    with pytest.raises(DriverError, match="at most 65568 slots"):
        tables.put_pool(large)
    crowd = tuple(Target(n.to_bytes(4, "big"), True) for n in range(1, layout.NO_TARGET + 2))
    with pytest.raises(DriverError, match="at most 32767 servers"):
        tables.put_pool(pool(0, *crowd))
    halves = [crowd[: layout.NO_TARGET]] * 3
    for n, half in enumerate(halves):
        tables.put_pool(pool(0, *half, uuid=f"half-{n}"))
    with pytest.raises(DriverError, match="no more than 131072 s"):
        tables.put_pool(pool(1, *crowd[: layout.NO_TARGET]))
    assert served_by(kernel) == mac(0x11)
    for n in range(3):
        tables.remove_pool(f"half-{n}")
    tables.put_pool(pool(1))
    assert served_by(kernel) == mac(0x12)


@root
@pytest.mark.parametrize("full", ["lives", "source_macs"])
@pytest.mark.parametrize("changes", ["members come", "a MAC address"])
def test_a_map_that_is_full_costs_no_place(kernel: KernelDecider, full: str, changes: str) -> None:
    if (full, changes) == ("lives", "a MAC address"):
        return  # another MAC address is no other life
    tables = kernel.tables
    pools, one, maps = tables._pools, tables._maps[full], tables._maps
    crowd = target(0x11), target(0x12, mac=mac(0x33))
    wanted = pool(1, *crowd) if changes == "a MAC address" else pool(1, *crowd, target(0x13), target(0x14))
    there = len(dict(one.items()))
    fill = [b"\xff" * (one.key_size - 4) + u32(n) for n in range(one.max_entries - there - 1)]  # one more would fit

    def places() -> tuple[object, ...]:
        pools._slabs.settle()
        pools._retired.release()
        numbers = pools._numbers.end - len(pools._numbers._free)
        counting = tables._counters._numbers.end - len(tables._counters._numbers._free)
        contents = {name: dict(maps[name].items()) for name in ("lives", "source_macs")}
        for key in fill:
            contents[full].pop(key, None)
        return (
            pools._runs._free[:],
            sorted(pools._slabs._free),
            numbers,
            counting,
            contents,
            bytes(pools._source_macs._filter.bits),
        )

    before = places()
    one.update_all(b"".join(fill), u32(1) * len(fill))
    for _ in range(2):
        with pytest.raises(DriverError, match="is full"):
            tables.put_pool(wanted)
        assert places() == before
        assert served_by(kernel) == mac(0x11)
    for key in fill[:100]:
        one.delete(key)
    tables.put_pool(wanted)
    assert served_by(kernel) == mac(0x33)


@root
def test_what_a_table_was_made_of_is_found_again_and_never_of_another_table(kernel: KernelDecider) -> None:
    first = replace(pool(0), made_of=b"11111111")
    for wanted in (
        first,
        replace(first, table=array("H", [1]) * SLOTS, made_of=b"22222222"),
        replace(first, made_of=b"33333333"),
        replace(first, table=array("H", [1]) * SLOTS),
        replace(first, targets=(target(0x11),), made_of=b"44444444"),
        replace(first, made_of=b""),
    ):
        kernel.tables.put_pool(wanted)
        kernel.readopt()
        found = kernel.tables._pools.held["pool"].value
        assert (found.made_of, found.table) == (wanted.made_of, wanted.table)


@root
def test_a_process_killed_while_it_changes_a_table_leaves_no_hash(
    kernel: KernelDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(pool(0), made_of=b"11111111")
    kernel.tables.put_pool(first)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kernel.tables._pools, "_retire_tables", killed)  # what comes once the word is stored
    with pytest.raises(KeyboardInterrupt):
        kernel.tables.put_pool(replace(first, table=array("H", [1]) * SLOTS, made_of=b"22222222"))
    kernel.readopt()
    found = kernel.tables._pools.held["pool"].value
    assert (found.made_of, found.table[0]) == (b"", 1)


@root
def test_a_range_that_goes_leaves_the_ports_that_it_shares_to_the_one_that_replaces_it(kernel: KernelDecider) -> None:
    old, new = ServiceKey(ip(VIP), TCP, 79, 90), ServiceKey(ip(VIP), TCP, 79, 80)
    kernel.tables.remove_service(ServiceKey(ip(VIP), TCP, 80, 80))
    for key in (old, new):
        kernel.tables.put_service(Service(key, "vs", "pool", True))
    kernel.tables.put_service(Service(old, "vs", "pool", True, idle_timeout=60))  # written once more, over the new
    kernel.tables.remove_service(old)
    held = [key for key, _ in kernel._maps["ranges"].items()]
    assert sorted(held) == sorted(layout.range_keys(new))
    assert served_by(kernel) == mac(0x11)
