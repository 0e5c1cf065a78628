"""Differences by key: what they say, and that they lead from one document to the other and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avi_shell.configuration.differences import What, apply, compare, same
from avi_shell.configuration.document import Document, copy, reference
from avi_shell.output import differences
from grammar import schema
from tests.configuration.addresses import address, prefix
from tests.configuration.strategies import documents
from tests.examples import examples

POOL, SERVICE, VRF = schema.kind("pool"), schema.kind("virtualservice"), schema.kind("vrfcontext")
UDP = reference("networkprofile", "System-UDP-Fast-Path")


def servers(*numbers: int, **fields: Any) -> list[Document]:
    return [{"ip": address(f"10.0.0.{n}"), "port": 80, **fields} for n in numbers]


ONE_EACH: list[tuple[str, schema.Kind, Document, Document, list[tuple[str, str, str]]]] = [
    (
        "the first of a hundred servers goes",
        POOL,
        {"servers": servers(*range(1, 101))},
        {"servers": servers(*range(2, 101))},
        [("servers[10.0.0.1:80]", "ip 10.0.0.1 port 80", "")],
    ),
    (
        "one comes in the middle",
        POOL,
        {"servers": servers(1, 3)},
        {"servers": [*servers(1), *servers(2, ratio=1), *servers(3)]},
        [("servers[10.0.0.2:80]", "", "ip 10.0.0.2 port 80")],
    ),
    (
        "one has another weight, behind one that goes",
        POOL,
        {"servers": servers(1, 2)},
        {"servers": servers(2, ratio=3)},
        [("servers[10.0.0.1:80]", "ip 10.0.0.1 port 80", ""), ("servers[10.0.0.2:80].ratio", "", "3")],
    ),
    (
        "one has another port",
        POOL,
        {"servers": servers(1, 2)},
        {"servers": [*servers(1), *servers(2, port=81)]},
        [("servers[10.0.0.2:80].port", "80", "81")],
    ),
    (
        "the last changes places with the first",
        POOL,
        {"servers": servers(1, 2, 3)},
        {"servers": servers(3, 1, 2)},
        [("servers[10.0.0.3:80]", "position 3", "position 1")],
    ),
    (
        "the first server of all",
        POOL,
        {},
        {"servers": servers(1)},
        [("servers[10.0.0.1:80]", "", "ip 10.0.0.1 port 80")],
    ),
    (
        "two services of one port: tcp goes",
        SERVICE,
        {"services": [{"port": 53}, {"port": 53, "override_network_profile_ref": UDP}]},
        {"services": [{"port": 53, "override_network_profile_ref": UDP}]},
        [("services[53]", "port 53", "")],
    ),
    (
        "a reference in a list, by name",
        POOL,
        {"health_monitor_refs": [reference("healthmonitor", name) for name in "abc"]},
        {"health_monitor_refs": [reference("healthmonitor", name) for name in "bcd"]},
        [("health_monitor_refs[a]", "a", ""), ("health_monitor_refs[d]", "", "d")],
    ),
    (
        "routes by their id, messages in messages, a secret",
        VRF,
        {"static_routes": [{"route_id": "1", "prefix": prefix("10.1.0.0/16")}], "bgp_profile": {"local_as": 1}},
        {
            "static_routes": [{"route_id": "1", "prefix": prefix("10.2.0.0/16")}],
            "bgp_profile": {"local_as": 1, "peers": [{"peer_ip": address("10.0.0.9"), "md5_secret": "x"}]},
        },
        [
            ("static_routes[1].prefix", "10.1.0.0/16", "10.2.0.0/16"),
            ("bgp_profile.peers[10.0.0.9]", "", "peer_ip 10.0.0.9 md5_secret <sensitive>"),
        ],
    ),
    (
        "an element whose key nobody types has its position, from 1 as show tells it",
        schema.kind("vsvip"),
        {"vip": [{"vip_id": "0", "enabled": True}, {"vip_id": "1", "enabled": True}]},
        {"vip": [{"vip_id": "0", "enabled": True}, {"vip_id": "1", "enabled": False}]},
        [("vip[2].enabled", "True", "False")],
    ),
    (
        "what the model does not describe",
        POOL,
        {"future": [{"name": "a", "x": 1}, {"name": "b"}], "token": "t", "flag": True},
        {"future": [{"name": "b", "y": [1]}], "token": "u", "flag": 1},
        [
            ("future[a]", "name a x 1", ""),
            ("future[b].y[1]", "", "1"),
            ("token", "<sensitive>", "<sensitive>"),
            ("flag", "True", "1"),
        ],
    ),
]


@pytest.mark.parametrize(("kind", "before", "after", "rows"), [c[1:] for c in ONE_EACH], ids=[c[0] for c in ONE_EACH])
def test_a_change_is_told_by_key(
    kind: schema.Kind, before: Document, after: Document, rows: list[tuple[str, str, str]]
) -> None:
    assert sorted(differences.rows(kind, compare(kind, before, after))) == sorted(rows)


def test_an_object_that_is_new_is_one_difference() -> None:
    (one,) = compare(POOL, None, {"name": "p", "servers": servers(1)})
    assert (one.path, one.what) == ((), What.ADDED)
    assert differences.rows(POOL, [one]) == [("name", "", "p"), ("servers[10.0.0.1:80]", "", "ip 10.0.0.1 port 80")]


def test_a_sentence_names_the_first_and_counts_the_others() -> None:
    found = compare(POOL, {"servers": servers(*range(1, 9)), "enabled": True}, {"enabled": False, "name": "p"})
    told = differences.sentence(POOL, found, 3)
    assert "name is new: p" in told
    assert told.endswith(", 7 more")


@pytest.mark.parametrize("segment", schema.SEGMENTS)
@given(data=st.data())
@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck), deadline=None)
def test_forward_and_backward_are_identities(segment: str, data: st.DataObject) -> None:
    kind = schema.kind(segment)
    before, after = data.draw(documents(segment)), data.draw(documents(segment))
    for message in (before, after):  # lists that share elements, in any order, and what the model does not know
        items = st.sampled_from([{"name": "a"}, {"name": "a", "x": True}, {"x": 1}, 1, True, "a", [1], None])
        message["future"] = data.draw(st.lists(items, max_size=6))
        for name, value in list(before.items()):
            if isinstance(value, list) and data.draw(st.booleans()):
                message[name] = data.draw(st.lists(st.sampled_from(value or [0]), max_size=5)) + value
    found, kept = compare(kind, before, after), (copy(before), copy(after))
    assert same(apply(before, found), after)
    assert same(apply(after, found, backward=True), before)
    assert same([before, after], list(kept))
    assert (found == []) == same(before, after)
    differences.rows(kind, found)


@given(
    before=st.permutations(range(8)),
    after=st.permutations(range(8)),
    gone=st.integers(0, 8),
    weights=st.lists(st.integers(1, 3), min_size=8, max_size=8),
)
@settings(max_examples=examples(30), deadline=None)
def test_any_rearrangement_of_servers_leads_back(
    before: list[int], after: list[int], gone: int, weights: list[int]
) -> None:
    old = {"servers": [{**servers(n)[0], "ratio": 1} for n in before]}
    new = {"servers": [{**servers(n)[0], "ratio": weights[n]} for n in after[gone:]]}
    found = compare(POOL, old, new)
    assert same(apply(old, found), new)
    assert same(apply(new, found, backward=True), old)
    assert len([d for d in found if d.what is What.REMOVED]) == gone
