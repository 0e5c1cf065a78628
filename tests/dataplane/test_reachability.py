"""Why servers cannot be reached, and that nothing is remembered of servers that are gone."""

from __future__ import annotations

import random
from typing import cast

from dataplane.forwarding.values import Interface
from dataplane.network.prefixes import Prefixes
from dataplane.network.reachability import NO_FAULT, Reachability
from dataplane.network.state import Network
from dataplane.plan import L2

ETH0, ETH1 = (Interface(index, f"eth{index}", bytes(6), 1500) for index in range(2))


def address(*numbers: int) -> bytes:
    return bytes(numbers)


def test_the_longest_prefix_holds_an_address() -> None:
    networks = [
        (ETH0, address(10, 0, 0, 1), 8),
        (ETH1, address(10, 1, 0, 1), 16),
        (ETH0, address(10, 1, 2, 1), 24),
        (ETH1, address(10, 0, 0, 9), 8),
        (ETH1, address(10, 1, 2, 3), 32),
    ]
    own = {found: own for own, found in enumerate((interface, there) for interface, there, _ in networks)}
    wanted = {(10, 9, 9, 9): 0, (10, 1, 9, 9): 1, (10, 1, 2, 9): 2, (10, 1, 2, 3): 4, (11, 0, 0, 1): None}
    for given in (networks, random.Random(1).sample(networks[:3], 3) + networks[3:]):
        found = Prefixes(given).find_all([address(*numbers) for numbers in wanted])
        assert [own[one] if one else None for one in found] == list(wanted.values())
    assert Prefixes([(ETH0, address(0, 0, 0, 0), 0)]).find(address(192, 0, 2, 1)) == (ETH0, address(0, 0, 0, 0))
    assert Prefixes(networks[:1]).find_all([address(10, 2, 3, 4), address(9, 2, 3, 4)]) == [
        (ETH0, address(10, 0, 0, 1)),
        None,
    ]
    assert Prefixes([]).find(address(10, 0, 0, 1)) is None


class OneNetwork:
    """10/8 on eth0."""

    def networks(self, index: int) -> tuple[tuple[bytes, int], ...]:
        return ((address(10, 0, 0, 1), 8),)

    def prefixes(self, among: list[Interface]) -> Prefixes:
        return Prefixes((one, *network) for one in among for network in self.networks(one.index))

    def attached(self, server: bytes, among: list[Interface]) -> tuple[Interface, bytes] | None:
        return self.prefixes(among).find(server)

    def is_up(self, index: int) -> bool:
        return True

    def is_followed(self, server: bytes) -> bool:
        return False


def test_faults_come_go_and_are_forgotten_with_their_servers() -> None:
    reachability = Reachability(cast(Network, OneNetwork()), ["eth0"])
    near, far, farther = address(10, 0, 0, 2), address(192, 0, 2, 1), address(192, 0, 2, 2)
    there = {near, far, farther}

    def follow(*servers: bytes) -> set[tuple[bytes, str]]:
        return reachability.follow([(L2, servers)], {"eth0": ETH0}, lambda server, mode: server in there and mode == L2)

    assert reachability.sound
    assert follow(near, far, farther) == {(far, L2), (farther, L2)}
    assert not reachability.sound
    assert reachability.fault(near, L2) == NO_FAULT
    assert "on no network attached to eth0 (10.0.0.1/8)" in reachability.fault(far, L2).reason
    assert follow(near, far) == set()
    there.discard(far)
    assert follow(near) == set()
    assert reachability.fault(far, L2) == NO_FAULT
    there.discard(farther)
    follow(near)
    assert reachability.sound
