"""Tracking: every row of the table of slots, packets and entries; and what is forgotten."""

import dataclasses
from array import array

import pytest

from dataplane.forwarding import maglev
from dataplane.forwarding.tracking import FRAGMENT_LIFE, REPLIES_A_SECOND, SECOND, Flow, Flows, FragmentKey
from dataplane.forwarding.values import STABLE, TRACKED, TRANSITION, UDP, Pool, Service, ServiceKey, Target

from .world import ip

OLD, NEW, OTHER = (Target(ip(f"10.0.0.1{n}"), True, bytes(6), 2) for n in (1, 2, 3))
SERVICE = Service(ServiceKey(ip("10.0.0.100"), 6, 80, 80), "vs", "pool", by_port=True, idle_timeout=300)
FLOW = Flow(ip("192.0.2.1"), ip("10.0.0.100"), 6, 1234, 80)
SYN, ACK = True, False


def pool(phase: int, owner: int = 1, former: int = 0, targets: tuple[Target, ...] = (OLD, NEW, OTHER)) -> Pool:
    """One slot: NEW (1) took it over from OLD (0)."""
    return Pool("pool", 1, array("H", [owner]), targets, phases=bytes([phase]), fallback=array("H", [former]))


def send(flows: Flows, where: Pool, *, syn: bool, at: int = 0, service: Service = SERVICE, flow: Flow = FLOW) -> str:
    found = flows.server(flow, dataclasses.replace(service, pool=where.uuid), where, at * SECOND, syn=syn)
    names = {OLD.address: "old", NEW.address: "new", OTHER.address: "other"}
    return names[found.address] if found else "none"


@pytest.mark.parametrize("syn", [SYN, ACK])
def test_a_stable_slot_remembers_nothing(syn: bool) -> None:
    flows = Flows()
    assert send(flows, pool(STABLE), syn=syn) == "new"
    assert send(flows, dataclasses.replace(pool(STABLE), phases=b""), syn=syn) == "new"
    assert not flows.elder
    assert not flows.young


def test_in_transition_a_known_connection_stays() -> None:
    flows = Flows()
    assert send(flows, pool(TRANSITION), syn=ACK) == "old"
    assert FLOW in flows.elder


def test_in_transition_a_new_connection_goes_to_the_owner_and_stays_there() -> None:
    flows = Flows()
    assert send(flows, pool(TRANSITION), syn=SYN) == "new"
    assert FLOW in flows.young
    assert send(flows, pool(TRANSITION), syn=SYN) == "new"
    assert FLOW in flows.young, "a repeated SYN proves nothing"
    assert send(flows, pool(TRANSITION), syn=ACK) == "new"
    assert FLOW in flows.elder
    assert FLOW not in flows.young


def test_two_changes_in_a_row_keep_each_connection_where_it_is() -> None:
    flows = Flows()
    begun = FLOW._replace(client_port=1)
    assert send(flows, pool(TRANSITION), syn=ACK) == "old"
    assert send(flows, pool(TRANSITION), syn=SYN, flow=begun) == "new"
    again = pool(TRANSITION, owner=2)
    assert send(flows, again, syn=ACK) == "old"
    assert send(flows, again, syn=ACK, flow=begun) == "new"
    assert send(flows, again, syn=SYN, flow=FLOW._replace(client_port=2)) == "other"


def test_a_port_used_again_is_a_new_connection() -> None:
    flows = Flows()
    assert send(flows, pool(TRANSITION), syn=ACK) == "old"
    assert send(flows, pool(TRANSITION), syn=SYN) == "new"
    assert FLOW not in flows.elder
    assert send(flows, pool(TRANSITION), syn=ACK) == "new"


def test_a_tracked_slot_keeps_the_connections_it_knows_and_takes_no_others() -> None:
    flows = Flows()
    assert send(flows, pool(TRANSITION), syn=ACK) == "old"
    assert send(flows, pool(TRACKED), syn=ACK, at=100) == "old"
    assert send(flows, pool(TRACKED), syn=ACK, flow=FLOW._replace(client_port=9)) == "new"
    assert len(flows.elder) == 1
    assert send(flows, pool(TRACKED), syn=SYN, at=101) == "new"
    assert send(flows, pool(TRACKED), syn=ACK, at=102) == "new"
    assert not flows.elder


def test_an_entry_ends_when_idle_and_each_packet_renews_it() -> None:
    flows = Flows()
    assert send(flows, pool(TRANSITION), syn=ACK) == "old"
    assert send(flows, pool(TRACKED), syn=ACK, at=300) == "old"
    assert send(flows, pool(TRACKED), syn=ACK, at=600) == "old"
    assert send(flows, pool(TRACKED), syn=ACK, at=901) == "new"


def test_an_infinite_timeout_never_ends() -> None:
    flows, service = Flows(), dataclasses.replace(SERVICE, idle_timeout=0)
    assert send(flows, pool(TRANSITION), syn=ACK, service=service) == "old"
    assert send(flows, pool(TRACKED), syn=ACK, at=10**6, service=service) == "old"


def test_a_server_that_may_not_serve_loses_its_flows_at_once() -> None:
    flows = Flows()
    gone = (dataclasses.replace(OLD, serves=False), NEW, OTHER)
    assert send(flows, pool(TRANSITION), syn=ACK) == "old"
    assert send(flows, pool(TRANSITION, targets=gone), syn=ACK) == "new"
    assert flows.elder[FLOW].member_id.address == NEW.address


def test_a_server_that_comes_back_does_not_revive_what_it_had() -> None:
    flows = Flows()
    assert send(flows, pool(TRANSITION), syn=ACK) == "old"
    reborn = (dataclasses.replace(OLD, generation=2), NEW, OTHER)
    assert send(flows, pool(TRACKED, targets=reborn), syn=ACK) == "new"


def test_a_flow_stays_known_where_its_vip_has_another_pool_of_the_family() -> None:
    flows, begun = Flows(), FLOW._replace(client_port=1)
    parent, own, strange = (dataclasses.replace(pool(TRACKED), uuid=n) for n in ("pool", "pool/10.0.0.100", "x"))
    assert send(flows, dataclasses.replace(parent, phases=bytes([TRANSITION])), syn=ACK) == "old"
    assert send(flows, dataclasses.replace(parent, phases=bytes([TRANSITION])), syn=SYN, flow=begun) == "new"
    assert send(flows, own, syn=ACK) == "old"
    assert send(flows, dataclasses.replace(own, phases=bytes([TRANSITION])), syn=ACK, flow=begun) == "new"
    assert send(flows, parent, syn=ACK) == "old"
    assert send(flows, strange, syn=ACK) == "new"


def test_a_fallback_that_is_no_member_any_more() -> None:
    assert send(Flows(), pool(TRANSITION, former=maglev.NO_SERVER), syn=ACK) == "new"


def test_an_owner_that_is_none() -> None:
    flows = Flows()
    nobody = pool(TRANSITION, owner=maglev.NO_SERVER)
    assert send(flows, nobody, syn=SYN) == "none"
    assert not flows.young
    assert send(flows, nobody, syn=ACK) == "old"


def test_udp_flows_that_begin_in_the_window_go_to_the_fallback() -> None:
    flows = Flows()
    flow = FLOW._replace(protocol=UDP)
    assert send(flows, pool(TRANSITION), syn=False, flow=flow) == "old"
    assert flow in flows.elder


def test_per_packet_balancing_tracks_nothing() -> None:
    flows = Flows()
    each = dataclasses.replace(SERVICE, per_packet=True)
    assert send(flows, pool(TRANSITION), syn=ACK, service=each) == "new"
    assert not flows.elder


def test_a_flood_of_syns_pushes_out_no_connection_that_lives() -> None:
    flows = Flows(flows=100)
    assert send(flows, pool(TRANSITION), syn=ACK) == "old"
    for port in range(1000):
        send(flows, pool(TRANSITION), syn=SYN, flow=FLOW._replace(client_port=10_000 + port))
    assert len(flows.young) == 100
    assert send(flows, pool(TRACKED), syn=ACK) == "old"


def test_an_error_about_a_flow_finds_its_server_and_changes_nothing() -> None:
    flows = Flows()

    def about(where: Pool, flow: Flow = FLOW) -> bytes | None:
        found = flows.owner(flow, SERVICE, where, 0)
        return found.address if found else None

    assert about(pool(STABLE)) == NEW.address
    assert about(pool(TRANSITION)) == OLD.address
    assert about(pool(TRACKED)) == NEW.address
    send(flows, pool(TRANSITION), syn=SYN)
    assert about(pool(TRANSITION)) == NEW.address
    known = FLOW._replace(client_port=5)
    send(flows, pool(TRANSITION), syn=ACK, flow=known)
    assert about(pool(TRACKED), known) == OLD.address
    assert set(flows.young) == {FLOW}
    assert set(flows.elder) == {known}


def test_fragments_are_forgotten_after_their_time() -> None:
    flows, key = Flows(fragments=2), FragmentKey(ip("192.0.2.1"), ip("10.0.0.100"), 17, 1)
    flows.remember_fragments(key, SERVICE, pool(STABLE), NEW, 0)
    assert flows.fragment(key, FRAGMENT_LIFE) is not None
    assert flows.fragment(key, FRAGMENT_LIFE + 1) is None
    for n in (2, 3):
        flows.remember_fragments(key._replace(identification=n), SERVICE, pool(STABLE), NEW, 0)
    assert flows.fragment(key, 0) is None


def test_too_big_messages_are_limited_a_second() -> None:
    flows = Flows()
    assert sum(flows.may_reply(SECOND) for _ in range(REPLIES_A_SECOND + 50)) == REPLIES_A_SECOND
    assert flows.may_reply(2 * SECOND)
