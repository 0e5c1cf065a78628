"""The structures in the maps: the same numbers in C and Python, and the pure functions that pack them."""

from __future__ import annotations

import random
import re

import pytest

from dataplane.bpf.objects import Object
from dataplane.drivers.maps import layout, poolrecord
from dataplane.drivers.maps.allocators import Runs
from dataplane.drivers.maps.layout import NAMES
from dataplane.drivers.maps.memory import Filter
from dataplane.drivers.xdp.driver import OBJECT, SLOW
from dataplane.errors import DriverError
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.program import FOLDER
from dataplane.forwarding.values import TCP, ServiceKey

HEADER = (FOLDER / "layout.h").read_text()


def constants() -> dict[str, int]:
    found = {n: int(v, 0) for n, v in re.findall(r"^#define (\w+) (0x[0-9A-Fa-f]+|\d+)", HEADER, re.M)}
    found |= {n: int(v) for n, v in re.findall(r"^\t(\w+) = (\d+),", HEADER, re.M)}
    return found


NAMED = [n for n in vars(layout) if re.fullmatch(r"(ADDRESS|SERVICE|TARGET|MAX)_[A-Z_]+", n) and n != "TARGET_SIZE"]
NAMED += ["INTERFACE_PROBES", "NO_POOL", "NAME_LENGTH", "HEAD_PLACES", "TABLE_SLOTS", "SLAB_TABLES", "INDEX_BITS"]
NAMED += ["NO_TARGET", "UNSETTLED", "IN_TRANSITION"]


@pytest.mark.parametrize("name", NAMED)
def test_constants_are_those_of_the_header(name: str) -> None:
    assert constants()[name] == getattr(layout, name)


def test_the_drop_reasons_are_numbered_as_in_the_header() -> None:
    body = re.search(r"enum event \{(.*?)\};", HEADER, re.S)
    assert body is not None
    names = re.findall(r"^\t([A-Z0-9_]+)[,\s]", body[1], re.M)
    assert [n.lower() for n in names[:-1]] == list(DROP_REASONS)
    assert names[-1] == "ANSWERED"
    assert constants()["MAX_EVENTS"] - 1 == layout.ANSWERED


def test_the_object_has_the_maps_that_are_pinned() -> None:
    with Object(OBJECT) as opened:
        assert set(opened.names) == {*NAMES, SLOW, "rodata"}
        assert opened.shape("bss").value_size == sum(layout.STATE) < 4 << 20
        assert opened.shape("data").value_size == 8 * layout.ANSWERS_UNTIL + 8
        assert opened.shape("services").value_size == layout.ENTRY_SIZE
        assert opened.shape("details").value_size == layout.DETAIL_SIZE
        assert opened.shape("lives").key_size == len(poolrecord.life("pool", bytes(4), 0))
        assert opened.shape("source_macs").key_size == len(*layout.source_macs(0, [(bytes(6), bytes(4))]))


def ports(key: ServiceKey) -> list[int]:
    """The ports that a range's prefixes cover, each as often as it is covered."""
    covered: list[int] = []
    for data in layout.range_keys(key):
        bits, port = int.from_bytes(data[:4], "little"), int.from_bytes(data[10:], "big")
        size = 1 << (64 - bits)
        assert port % size == 0
        covered += range(port, port + size)
    return covered


@pytest.mark.parametrize(("first", "last"), [(0, 65535), (1, 65535), (0, 1), (5000, 5999), (65534, 65535), (1, 65534)])
def test_a_ranges_prefixes_cover_it_once(first: int, last: int) -> None:
    key = ServiceKey(bytes(4), TCP, first, last)
    assert ports(key) == list(range(first, last + 1))
    assert len(layout.range_keys(key)) <= 30


def test_any_ranges_prefixes_cover_it_once() -> None:
    rnd = random.Random(1)
    for _ in range(200):
        first, last = sorted(rnd.sample(range(65536), 2))
        assert ports(ServiceKey(bytes(4), TCP, first, last)) == list(range(first, last + 1))


def test_a_filter_forgets_a_word_only_when_the_last_of_its_bit_is_gone() -> None:
    rnd = random.Random(2)
    words = [rnd.randbytes(4) for _ in range(3000)]
    one = Filter(bytearray(layout.FILTER_SIZE))
    one.add(b"".join(words))
    half = Filter(bytearray(layout.FILTER_SIZE))
    half.add(b"".join(words[1500:]))
    assert one.bits != half.bits
    one.remove(words[:1500])
    assert one.bits == half.bits
    one.add(words[2000])
    one.remove(words[1500:])
    assert sum(byte.bit_count() for byte in one.bits) == 1
    one.remove(words[2000:2001])
    assert one.bits == Filter(bytearray(layout.FILTER_SIZE)).bits


def test_a_filter_has_the_same_words_by_the_native_loop_and_by_python() -> None:
    rnd = random.Random(4)
    keys = rnd.randbytes(500 * 16) + 3 * rnd.randbytes(16)
    native, here = (Filter(bytearray(layout.FILTER_SIZE)) for _ in range(2))
    native.add(keys, 16, 10)
    here.add_here(keys, 16, 10)
    assert any(here.bits)
    assert native.bits == here.bits
    words = [keys[at + 10 : at + 14] for at in range(0, len(keys), 16)]
    for one in (native, here):
        one.remove(words)
        assert not any(one.bits)


def test_runs_of_places_are_given_out_once_and_join_when_they_come_back() -> None:
    rnd = random.Random(3)
    runs, used = Runs(1000, "things"), dict[int, int]()
    for _ in range(3000):
        if used and rnd.random() < 0.5:
            first = rnd.choice(list(used))
            runs.give(first, used.pop(first))
            continue
        try:
            number = rnd.randrange(1, 40)
            first = runs.take(number)
        except DriverError:
            continue
        taken = {place for at, n in used.items() for place in range(at, at + n)}
        assert taken.isdisjoint(range(first, first + number))
        assert first + number <= 1000
        used[first] = number
    for first, number in used.items():
        runs.give(first, number)
    assert runs.take(1000) == 0
    with pytest.raises(DriverError, match="no more than 1000 things"):
        runs.take(1)


def test_runs_go_on_around_what_is_in_use() -> None:
    runs = Runs(10, "things")
    runs.start([(6, 2), (0, 3)])
    assert [runs.take(3), runs.take(2)] == [3, 8]
    with pytest.raises(DriverError):
        runs.take(1)
