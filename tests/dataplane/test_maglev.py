"""The consistent hash table: even, true to weights, the same everywhere, and little moves."""

import platform
import random
import struct
import subprocess
from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.forwarding import maglev
from dataplane.forwarding.maglev import NO_SERVER, build_table, fill, flow_hash, slot_of
from dataplane.native import library
from dataplane.plan import SLOTS

SEED = 4711


def servers(count: int, weight: int = 1) -> list[tuple[bytes, int]]:
    return [(struct.pack("!I", 0x0A000000 + n), weight) for n in range(1, count + 1)]


def owners(pool: list[tuple[bytes, int]], slots: int = SLOTS, seed: int = SEED) -> list[bytes]:
    return [pool[index][0] for index in build_table(pool, slots, seed)]


def test_the_worked_example_of_the_paper() -> None:
    """Maglev, table 1: three backends on seven slots, before and after the second one is gone."""
    b0, b1, b2 = (3, 4, 1, 0), (0, 2, 1, 1), (3, 1, 1, 2)
    assert list(fill([b0, b1, b2], 7)) == [1, 0, 1, 0, 2, 2, 0]
    assert list(fill([b0, b2], 7)) == [0, 0, 0, 0, 2, 2, 2]


WALK = st.tuples(st.integers(0, 250), st.integers(1, 250), st.integers(1, 20), st.integers(0, 0xFFFE))


@given(st.lists(WALK, min_size=1, max_size=30))
def test_the_native_loop_is_the_python_loop(walks: list[tuple[int, int, int, int]]) -> None:
    assert maglev.fill(walks, 251) == maglev.fill_here(walks, 251)


@pytest.mark.parametrize("slots", [2, 3, 61, 67, 131, SLOTS])
def test_the_native_loop_is_the_python_loop_whatever_the_size(slots: int) -> None:
    rnd = random.Random(slots)
    for count in (1, 2, 5, 200):
        walks = [(rnd.randrange(slots), rnd.randrange(1, slots), rnd.randrange(1, 9), n) for n in range(count)]
        assert maglev.fill(walks, slots) == maglev.fill_here(walks, slots)


def test_owners_have_the_numbers_that_they_are_given() -> None:
    pool = servers(5)
    numbered = [(7 * n + 3, *share) for n, share in enumerate(pool)]
    assert list(maglev.build_table_for(numbered, 251, SEED)) == [7 * n + 3 for n in build_table(pool, 251, SEED)]


@given(
    st.dictionaries(st.binary(min_size=4, max_size=4), st.integers(1, 9), min_size=2, max_size=40),
    st.integers(0, 2**32 - 1),
)
def test_servers_walk_natively_as_in_python(pool: dict[bytes, int], seed: int) -> None:
    """The hash of their addresses, and their order: whatever order they come in."""
    addresses, weights, owners = list(pool), list(pool.values()), [7 * n + 3 for n in range(len(pool))]
    table = maglev.build_table_for(list(zip(owners, addresses, weights, strict=True)), 251, seed)
    assert table == maglev.fill_here(maglev.walks(addresses, weights, owners, 251, seed), 251)


def test_this_machine_has_the_native_loop() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("a native loop is shipped for x86_64 alone")
    assert library.function("maglev", "fill") is not None
    assert library.function("maglev", "build") is not None


def test_native_loops_are_built_of_their_source(tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", str(library.FOLDER), f"OUT={tmp_path}"], check=True)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_bytes() for path in library.FOLDER.glob("*.so")}
    assert len(built) == len(list(library.FOLDER.glob("*.c")))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 100, 1000])
def test_equal_weights_differ_by_one_slot_at_most(count: int) -> None:
    shares = Counter(build_table(servers(count), SLOTS, SEED))
    assert len(shares) == count
    assert max(shares.values()) - min(shares.values()) <= 1


@pytest.mark.parametrize(
    "weights", [[1, 2], [1, 20], [3, 5, 7], [20, 1, 1, 1, 1], [n % 20 + 1 for n in range(40)]], ids=str
)
def test_shares_are_true_to_weights(weights: list[int]) -> None:
    pool = [(address, weight) for (address, _), weight in zip(servers(len(weights)), weights, strict=True)]
    shares = Counter(build_table(pool, SLOTS, SEED))
    for index, weight in enumerate(weights):
        assert shares[index] / SLOTS == pytest.approx(weight / sum(weights), rel=0.01)


@pytest.mark.parametrize(("count", "points"), [(10, 0.3), (100, 0.7)])
def test_removing_a_server_moves_little_more_than_it_must(count: int, points: float) -> None:
    for seed in range(3):
        pool = servers(count)
        before = owners(pool, seed=seed)
        for gone in (0, count // 2, count - 1):
            after = owners(pool[:gone] + pool[gone + 1 :], seed=seed)
            moved = sum(a != b for a, b in zip(before, after, strict=True)) / SLOTS * 100
            assert moved - 100 / count <= points


@given(st.permutations(range(12)), st.integers(0, 2**32 - 1))
def test_the_order_of_servers_never_matters(order: list[int], seed: int) -> None:
    pool = [(address, n % 3 + 1) for n, (address, _) in enumerate(servers(12))]
    assert owners([pool[i] for i in order], 251, seed) == owners(pool, 251, seed)


def test_the_seed_makes_another_table() -> None:
    pool = servers(3)
    assert owners(pool, seed=1) != owners(pool, seed=2)
    assert owners(pool, seed=1) == owners(pool, seed=1)


def test_no_server_and_one() -> None:
    assert build_table([], 11, SEED) == array("H", [NO_SERVER] * 11)
    assert build_table(servers(1), 11, SEED) == array("H", [0] * 11)


def test_the_flow_hash_never_changes() -> None:
    """Two engines of different versions must agree; the XDP program is compared elsewhere."""
    assert flow_hash(0, 0, 0) == 0
    assert flow_hash(0xC0000201, 0, 0) == 0xB41D76F7
    assert flow_hash(0xC0000201, 80, 0) == 0xFC589525
    assert flow_hash(0xFFFFFFFF, 0xFFFF, 0xFFFFFFFF) == 0x1D8A75CE


CLIENTS: dict[str, Callable[[int], tuple[int, int]]] = {
    "addresses": lambda n: (0xC0000200 + n, 0),
    "every third address": lambda n: (0xC0000200 + 3 * n, 0),
    "networks of 256": lambda n: (0x0A000000 + 256 * n, 0),
    "networks of 65,536": lambda n: (n % 50_000 << 16 | n // 50_000, 0),
    "ports of one address": lambda n: (0xC0000200, n),
    "even ports": lambda n: (0xC0000200 + n // 32_768, 2 * n % 65_536),
    "ports of a hundred addresses": lambda n: (0xC0000200 + n // 500, 32_768 + n % 500),
}


@pytest.mark.parametrize("clients", CLIENTS)
def test_flows_spread_evenly_over_slots(clients: str) -> None:
    """Chi-square of 50,000 flows on 251 slots; 99.9 % of random spreads lie below 323."""
    for seed in (0, 1, SEED, 0xDEADBEEF):
        hits = Counter(slot_of(*CLIENTS[clients](n), seed, 251) for n in range(50_000))
        expected = 50_000 / 251
        assert sum((hits[slot] - expected) ** 2 / expected for slot in range(251)) < 323


def test_slots_are_never_out_of_the_table() -> None:
    rng = random.Random(2)
    for _ in range(2000):
        slots = rng.choice([1, 2, 251, SLOTS])
        assert 0 <= slot_of(rng.getrandbits(32), rng.getrandbits(16), rng.getrandbits(32), slots) < slots
    assert maglev.NO_SERVER >= 0xFFFF


@pytest.mark.parametrize("servers", [0, 1, 3, 700])
def test_shares_are_counted(servers: int) -> None:
    """Natively as in Python; slots of nobody, and of servers beyond, are nobody's."""
    owners = random.Random(servers).choices([*range(servers + 2), maglev.NO_SERVER], k=65537)
    table = array("H", owners)
    counted = maglev.shares(table, servers)
    assert counted == maglev.shares_here(table, servers)
    assert list(counted[:3]) == [owners.count(server) for server in range(min(servers, 3))]
