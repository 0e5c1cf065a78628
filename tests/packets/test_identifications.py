"""Identifications of outer headers, as the reference counts them."""

from dataplane.forwarding.tracking import OLD, TAKEN_AT_ONCE, Flows

from .world import ip


def test_identifications_of_a_server_repeat_after_all_others() -> None:
    """Pieces of one packet have theirs side by side, and nobody else has them."""
    flows, server = Flows(), ip("172.16.0.11")
    single = [flows.identification(server) for _ in range(10)]
    first = flows.identifications(server, 100)
    pieces = list(range(first, first + 100))
    later = [flows.identification(server) for _ in range(60_000)]
    assert single == list(range(1, 11))
    assert len({*single, *pieces, *later}) == 10 + 100 + 60_000
    assert flows.identification(ip("172.16.0.12")) == 1, "another server's are its own"


def test_identifications_that_were_left_for_long_are_not_used() -> None:
    flows, server = Flows(), ip("172.16.0.11")
    assert flows.identification(server) == 1
    first = flows.identifications(server, OLD + 1)
    assert flows.identification(server) == first + (OLD + TAKEN_AT_ONCE)


def test_servers_that_share_a_place_share_their_identifications() -> None:
    """A place has 16 bits, an address has 32: no two addresses of one /16 network share one."""
    flows = Flows()
    assert [flows.identification(ip(f"10.1.{n >> 8}.{n & 255}")) for n in range(1 << 16)] == [1] * (1 << 16)
    assert flows.identification(ip("10.0.0.0")) == 2, "10.1.0.1 has the same place"
