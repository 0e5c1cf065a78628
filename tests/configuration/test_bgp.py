"""BGP from configuration to plan: what speaks, how routers are told of VIPs, what is refused and what is said."""

from typing import Any

import pytest

from avi_shell.configuration.document import Document
from avi_shell.errors import InvalidObject
from dataplane import plan

from .addresses import address, prefix
from .conftest import Site

KEY = "10.0.0.100/tcp/80-80"
ROUTER = {"peer_ip": address("10.0.0.254"), "subnet": prefix("10.0.0.0/24"), "remote_as": 65000}


def context(site: Site, *peers: Document, **fields: Any) -> Any:
    profile = {"local_as": 65001, "ibgp": False, "peers": list(peers or [ROUTER]), **fields}
    return site.save("vrfcontext", name="global", bgp_profile=profile)


def test_a_peer_with_everything_at_its_default(site: Site, read: Any) -> None:
    context(site)
    peer = plan.Peer("10.0.0.254", 65001, 65000, "10.0.0.0/24")
    assert read().common.bgp == {"Default-Group": plan.Bgp(65001, (peer,))}
    site.save("vrfcontext", name="global", bgp_profile=None)
    assert read().common.bgp == {}


@pytest.mark.parametrize(
    ("fields", "peer", "expected"),
    [
        ({"ibgp": True}, {"remote_as": None}, {"remote_as": 65001}),
        ({"ibgp": True}, {"remote_as": None, "local_as": 7}, {"remote_as": 65001}),
        (
            {"ibgp": True},
            {"remote_as": None, "local_as": 7, "ibgp_local_as_override": True},
            {"remote_as": 7, "local_as": 7},
        ),
        ({"ibgp": True}, {"remote_as": None, "peer_ip": address("10.9.0.1")}, {"address": "10.9.0.1", "multihop": 255}),
        ({}, {"local_as": 7, "ebgp_multihop": 3}, {"local_as": 7, "multihop": 3}),
        ({}, {"md5_secret": "s", "label": "core", "bfd": False}, {"secret": "s", "label": "core", "bfd": False}),
        ({}, {"advertise_vip": False, "connect_timer": 3}, {"advertise": False, "connect_timer": 3}),
        ({}, {"shutdown": True}, {"shutdown": True}),
        ({"shutdown": True}, {}, {"shutdown": True}),
        ({"hold_time": 9}, {}, {"hold_time": 9, "keepalive": 3}),
        ({}, {"hold_time": 30, "keepalive_interval": 5}, {"hold_time": 30, "keepalive": 5}),
        ({"keepalive_interval": 0}, {}, {"keepalive": 60}),
    ],
)
def test_a_peers_fields_act(site: Site, read: Any, fields: Document, peer: Document, expected: dict[str, Any]) -> None:
    context(site, {k: v for k, v in {**ROUTER, **peer}.items() if v is not None}, **fields)
    (found,) = read().common.bgp["Default-Group"].peers
    default = {"address": "10.0.0.254", "local_as": 65001, "remote_as": 65000, "subnet": "10.0.0.0/24"}
    if fields.get("ibgp"):
        default["remote_as"] = 65001
    assert found == plan.Peer(**{**default, **expected})


def test_bfd_and_another_cloud(site: Site, read: Any) -> None:
    context(site)
    site.save("vrfcontext", name="global", bfd_profile={"multi": 4, "mintx": 500, "minrx": 600})
    site.save("cloud", name="other", vtype="CLOUD_NONE")
    site.save("serviceenginegroup", name="g", cloud_ref="/api/cloud/?name=other&tenant=admin")
    bgp = read().common.bgp
    assert bgp.keys() == {"Default-Group"}  # the other cloud has a VRF context of its own
    found = bgp["Default-Group"]
    assert (found.bfd_multiplier, found.bfd_transmit, found.bfd_receive) == (4, 500, 600)


ROUTES: list[tuple[Document, Document, Document, plan.Route]] = [
    # of the profile | of the virtual service | of its VsVip | the route
    ({}, {}, {}, plan.Route()),
    ({"community": ["65001:1", "no-export"]}, {}, {}, plan.Route(communities=("65001:1", "65535:65281"))),
    ({"community": ["65001:1"], "send_community": False}, {}, {}, plan.Route()),
    (
        {
            "community": ["65001:1"],
            "ip_communities": [
                {"ip_begin": address("10.0.0.90"), "ip_end": address("10.0.0.110"), "community": ["65001:2"]},
                {"ip_begin": address("10.0.0.101"), "community": ["65001:3"]},
            ],
        },
        {},
        {},
        plan.Route(communities=("65001:1", "65001:2")),
    ),
    ({"num_as_path_prepend": 2}, {}, {}, plan.Route(prepend=2)),
    ({"num_as_path_prepend": 2}, {"bgp_num_as_path_prepend": 3}, {}, plan.Route(prepend=3)),
    ({}, {"bgp_num_as_path_prepend": 3}, {"bgp_num_as_path_prepend": 4}, plan.Route(prepend=4)),
    ({"local_preference": 5}, {"bgp_local_preference": 0}, {}, plan.Route(local_preference=0)),
    ({}, {"bgp_peer_labels": ["core"]}, {}, plan.Route(("core",))),
    ({}, {"bgp_peer_labels": ["core"]}, {"bgp_peer_labels": ["core", "edge"]}, plan.Route(("core", "edge"))),
]


@pytest.mark.parametrize(("profile", "service", "vip", "expected"), ROUTES)
def test_how_routers_are_told_of_a_vip(
    site: Site, read: Any, profile: Document, service: Document, vip: Document, expected: plan.Route
) -> None:
    context(site, {**ROUTER, "label": "core"}, **profile)
    site.dsr(enable_rhi=True, **service)
    if vip:
        site.save("vsvip", name="vs1-vip", **vip)
    assert read().services[KEY].route == expected
    context(site, {**ROUTER, "label": "core"}, community=["65001:9"])
    assert "65001:9" in read().services[KEY].route.communities  # it follows the VRF context
    site.save("virtualservice", name="vs1", enable_rhi=None)
    assert read().services[KEY].route is None


REFUSED: list[tuple[Document, str, str]] = [
    # of the profile, `peer` of its peer | the field | what is said
    ({"peer": {"peer_ip6": address("fd00::1")}}, "peers[1].peer_ip6", "IPv4 peers alone"),
    ({"peer": {"subnet6": prefix("fd00::/64")}}, "peers[1].subnet6", "IPv4 peers alone"),
    ({"peer": {"peer_ip": address("fd00::1")}}, "peers[1].peer_ip", "is fd00::1"),
    ({"peer": {"peer_ip": None}}, "peers[1].peer_ip", "is not set"),
    ({"peer": {"subnet": prefix("fd00::/64")}}, "peers[1].subnet", "is fd00::/64"),
    ({"peer": {"peer_ip": address("10.9.0.1")}}, "peers[1].peer_ip", "which is not in its subnet 10.0.0.0/24"),
    ({"peer": {"remote_as": None}}, "peers[1].remote_as", "is not set"),
    ({"peer": {"remote_as": 65001}}, "peers[1].remote_as", "is 65001, the own system"),
    ({"ibgp": True}, "peers[1].remote_as", "is 65000, but with ibgp peers are of the own system 65001"),
    ({"peer": {"md5_secret": 'a"b'}}, "peers[1].md5_secret", "cannot be a secret of BGP"),
    ({"peer": {"md5_secret": "x" * 81}}, "peers[1].md5_secret", "cannot be a secret of BGP"),
    ({"community": ["65001"]}, "community[1]", "is '65001', no community"),
    ({"community": ["65001:65536"]}, "community[1]", "is '65001:65536', no community"),
    (
        {"ip_communities": [{"ip_begin": address("10.0.0.9"), "ip_end": address("10.0.0.1"), "community": ["1:1"]}]},
        "ip_communities[1].ip_end",
        "is 10.0.0.1, before the first address 10.0.0.9",
    ),
    (
        {"ip_communities": [{"ip_begin": address("fd00::1"), "community": ["1:1"]}]},
        "ip_communities[1]",
        "is fd00::1-fd00::1",
    ),
    *(
        ({"routing_options": [{"label": "a", name: True}]}, f"routing_options[1].{name}", "announce VIPs alone")
        for name in (
            "learn_only_default_route",
            "learn_routes",
            "advertise_default_route",
            "advertise_learned_routes",
        )
    ),
]


@pytest.mark.parametrize(("fields", "path", "told"), REFUSED, ids=[row[1] + " " + row[2] for row in REFUSED])
def test_what_engines_do_not_speak_is_refused(site: Site, fields: Document, path: str, told: str) -> None:
    peer = {k: v for k, v in {**ROUTER, **fields.get("peer", {})}.items() if v is not None}
    with pytest.raises(InvalidObject, match=told) as refused:
        context(site, peer, **{name: value for name, value in fields.items() if name != "peer"})
    assert refused.value.path == f"bgp_profile.{path}"
    assert "ax" not in refused.value.what.replace("max", "")  # no secret is told


def test_announcing_by_bgp_needs_a_profile(site: Site) -> None:
    with pytest.raises(InvalidObject, match="VRF context global has no bgp_profile") as refused:
        site.dsr(enable_rhi=True)
    assert refused.value.path == "enable_rhi"
    context(site)
    site.dsr(enable_rhi=True)
    with pytest.raises(InvalidObject, match="VRF context global has no bgp_profile") as refused:
        site.save("vrfcontext", name="global", bgp_profile=None)
    assert refused.value.path == "bgp_profile"


def test_announcing_by_bgp_needs_a_peer_of_its_label(site: Site) -> None:
    context(site)
    with pytest.raises(InvalidObject, match="no peer in VRF context global has the label core") as refused:
        site.dsr(enable_rhi=True, bgp_peer_labels=["core"])
    assert refused.value.path == "bgp_peer_labels"
    context(site, {**ROUTER, "label": "core"})
    site.dsr(enable_rhi=True, bgp_peer_labels=["core"])
    with pytest.raises(InvalidObject, match="has the label edge") as refused:
        site.save("vsvip", name="vs1-vip", bgp_peer_labels=["edge"])
    assert (refused.value.path, refused.value.hint) == ("bgp_peer_labels", "expected: one of core")
    with pytest.raises(InvalidObject, match="has the label core") as refused:
        context(site)
    assert refused.value.path == "bgp_profile.peers"


def test_what_has_no_effect_is_said(site: Site) -> None:
    peer = {**ROUTER, "remote_as": 65001, "local_as": 7, "advertise_snat_ip": False, "advertisement_interval": 9}
    title = "VrfContext global: "
    assert context(site, peer, ibgp=True, num_as_path_prepend=2).notices == (
        f"{title}stored, without effect here: advertise_snat_ip, advertisement_interval",
        f"{title}num_as_path_prepend has no effect with ibgp: peers would take their own routes for a loop",
        f"{title}local_as of peer 10.0.0.254 has no effect with ibgp, unless ibgp_local_as_override is set",
    )
    assert context(site, local_preference=3).notices[-1] == (
        f"{title}local_preference has no effect without ibgp: it is not sent to other autonomous systems"
    )
    profile = {"local_as": 65001, "ibgp": False}
    assert site.save("vrfcontext", name="global", bgp_profile=profile).notices[-1] == (
        f"{title}its bgp_profile has no peers: nobody is told of VIPs"
    )
    assert site.dsr(enable_rhi=True, enable_rhi_snat=True, scaleout_ecmp=True).notices == (
        "VirtualService vs1: stored, without effect here: enable_rhi_snat, scaleout_ecmp",
    )
