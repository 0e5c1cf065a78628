"""Rules across objects: each one accepted and refused, from whichever object it is broken."""

from typing import Any

import pytest

from avi_shell.configuration.document import Document, reference
from avi_shell.errors import InvalidObject

from .addresses import address, prefix
from .conftest import Site, tcp_profile
from .rulesaccepted import ACCEPTED
from .rulesamples import DSR, Step, servers
from .rulesrefused import REFUSED


@pytest.mark.parametrize(("steps", "path", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(site: Site, steps: list[Step], path: str, message: str) -> None:
    for step in steps[:-1]:
        step(site)
    with pytest.raises(InvalidObject, match=message) as refusal:
        steps[-1](site)
    assert refusal.value.path == path


@pytest.mark.parametrize(("steps", "notices"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_accepted(site: Site, steps: list[Step], notices: list[str]) -> None:
    for step in steps[:-1]:
        step(site)
    saved: Any = steps[-1](site)
    assert saved.changed
    assert list(saved.notices) == notices


def test_a_running_engines_own_address_is_no_vip(site: Site) -> None:
    site.configuration._engine_addresses = lambda: ["10.0.0.100"]
    with pytest.raises(InvalidObject, match=r"10\.0\.0\.100 is an address of a running service engine's own interface"):
        site.dsr()
    site.dsr(vip="10.0.0.101")


@pytest.mark.parametrize(
    ("kind", "document", "path"),
    [
        ("pool", {"name": " "}, "name"),
        ("pool", {"name": "a\nb"}, "name"),
        ("pool", {"name": "p", "servers": [{"port": 80}]}, "servers[1].ip"),
        ("pool", {"name": "p", "servers": servers("10.0.0.1", port=70000)}, "servers[1].port"),
        ("pool", {"name": "p", "servers": servers("10.0.0.1", "10.0.0.1")}, "servers[2]"),
        ("pool", {"name": "p", "graceful_disable_timeout": -2}, "graceful_disable_timeout"),
        ("pool", {"name": "p", "lb_algorithm": "ROUND"}, "lb_algorithm"),
        ("networkprofile", {"name": "n"}, "profile"),
        ("networkprofile", {"name": "n", "profile": tcp_profile(dsr_type="L2")}, f"profile.{DSR}.dsr_type"),
        ("healthmonitor", {"name": "m"}, "type"),
        ("healthmonitor", {"name": "m", "type": "HEALTH_MONITOR_TCP", "send_interval": 0}, "send_interval"),
        ("vsvip", {"name": "v", "vip": [{"vip_id": "0"}, {"vip_id": "0"}]}, "vip[2]"),
        ("vsvip", {"name": "v", "bgp_peer_labels": ["x"] * 129}, "bgp_peer_labels"),
        ("vsvip", {"name": "v", "vip": [{"subnet": {"ip_addr": address("10.0.0.0"), "mask": 33}}]}, "vip[1].subnet"),
        ("vrfcontext", {"name": "v", "bgp_profile": {}}, "bgp_profile.local_as"),
        ("debugvirtualservice", {"name": "nobody"}, "name"),
    ],
)  # fmt: skip
def test_an_object_wrong_by_itself(site: Site, kind: str, document: Document, path: str) -> None:
    with pytest.raises(InvalidObject) as refusal:
        site.configuration.save(kind, document, "admin")
    assert refusal.value.path == path
    assert document["name"] in str(refusal.value) or path == "name"


L3_FILLED = {
    "type": "PROTOCOL_TYPE_TCP_FAST_PATH",
    "tcp_fast_path_profile": {
        "session_idle_timeout": 300,
        "enable_syn_protection": False,
        "dsr_profile": {"dsr_type": "DSR_TYPE_L3", "dsr_encap_type": "ENCAP_IPINIP"},
    },
}
REFERENCES = {
    "tenant_ref": "/api/tenant/?name=admin",
    "cloud_ref": reference("cloud", "Default-Cloud"),
    "vrf_context_ref": reference("vrfcontext", "global"),
    "se_group_ref": reference("serviceenginegroup", "Default-Group"),
    "network_profile_ref": reference("networkprofile", "System-TCP-Proxy"),
    "application_profile_ref": reference("applicationprofile", "System-HTTP"),
}


@pytest.mark.parametrize(
    ("kind", "document", "fields"),
    [
        ("pool", {"graceful_disable_timeout": -1}, {"graceful_disable_timeout": -1}),
        ("pool", {"servers": servers("10.0.0.1", port=0)}, {"enabled": True}),
        (
            "healthmonitor",
            {"type": "HEALTH_MONITOR_TCP", "monitor_port": 0},
            {"monitor_port": 0, "is_federated": False},
        ),
        ("networkprofile", {"profile": tcp_profile()}, {"profile": L3_FILLED}),
        ("virtualservice", {}, REFERENCES),
        ("pool", {}, {"vrf_ref": reference("vrfcontext", "global"), "cloud_ref": reference("cloud", "Default-Cloud")}),
    ],
)
def test_what_a_save_adds(site: Site, kind: str, document: Document, fields: Document) -> None:
    stored = site.save(kind, name="x", **document).document
    assert {name: stored[name] for name in fields} == fields
    assert stored["uuid"].startswith(f"{kind}-")


def test_positions_ports_and_host_names_are_filled(site: Site) -> None:
    vips = site.save("vsvip", name="v", vip=[{}, {"vip_id": "0"}, {}]).document["vip"]
    assert [vip["vip_id"] for vip in vips] == ["1", "0", "2"]
    routes = [{"prefix": prefix(f"10.{n}.0.0/16"), "next_hop": address("10.0.0.1")} for n in (1, 2)]
    stored = site.save("vrfcontext", name="x", static_routes=routes).document
    assert [route["route_id"] for route in stored["static_routes"]] == ["1", "2"]
    services = site.save("virtualservice", name="s", services=[{"port": 80}]).document["services"]
    assert services[0]["port_range_end"] == 80
    changed = site.save("virtualservice", name="s", services=[{**services[0], "port": 90}]).document["services"]
    assert changed[0]["port_range_end"] == 90
    members = site.save("pool", name="p", servers=servers("10.0.0.1")).document["servers"]
    assert members[0]["hostname"] == "10.0.0.1"
    members = site.save("pool", name="p", servers=[{**members[0], "ip": address("10.0.0.2")}]).document["servers"]
    assert members[0]["hostname"] == "10.0.0.2"
    members = site.save("pool", name="p", servers=[{**members[0], "hostname": "web"}]).document["servers"]
    members = site.save("pool", name="p", servers=[{**members[0], "ip": address("10.0.0.3")}]).document["servers"]
    assert members[0]["hostname"] == "web"


def test_a_debugged_virtual_service_takes_its_debug_object_along(site: Site) -> None:
    traced = site.save("virtualservice", name="a").document
    made = site.save("debugvirtualservice", name="a", capture=True).document
    assert made["uuid"] == f"debug{traced['uuid']}"
    assert site.save("debugvirtualservice", name="a", capture=False).document["uuid"] == made["uuid"]
    stored = site.configuration.find("virtualservice", "a", "admin") or {}
    site.configuration.save("virtualservice", {**stored, "name": "b"}, "admin")
    assert site.configuration.names("debugvirtualservice", "admin") == ["b"]
    site.configuration.delete("virtualservice", "b", "admin")
    assert site.configuration.names("debugvirtualservice", "admin") == []
