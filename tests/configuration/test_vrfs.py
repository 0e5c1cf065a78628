"""VRF contexts, and services whose traffic is off: what is claimed, planned and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration.document import reference
from avi_shell.errors import InvalidObject
from avi_shell.transcripts import document, play
from dataplane import plan

from .addresses import address
from .conftest import Site, tcp_profile

TRANSCRIPTS = Path(__file__).parents[1] / "shell" / "transcripts"
KEY = "10.0.0.100/tcp/80-80"
BLUE = reference("vrfcontext", "blue")


def proxy(site: Site, name: str, **fields: Any) -> list[str]:
    """Save a layer 7 service of the VIP of vs1. Returns the notices."""
    vip: dict[str, Any] = {"vip": [{"ip_address": address("10.0.0.100")}], "services": [{"port": 80}]}
    return list(site.save("virtualservice", name=name, **vip, **fields).notices)


def test_the_two_tiers_of_the_vendor_are_accepted(site: Site, read: Callable[..., plan.Plan]) -> None:
    """Tier 1 is direct server return to the addresses of service engines. Tier 2, on those, is a proxy of the same VIP
    that takes no traffic of its own, in another VRF context."""
    site.configuration._engine_addresses = lambda: ["10.1.100.10", "10.1.100.11"]
    interface = {"vnic_networks": [{"ip": {"ip_addr": address("10.1.100.10"), "mask": 24}}]}
    site.save("serviceengine", name="tier2-se1", data_vnics=[{"mac_address": "02:00:00:00:00:01", **interface}])
    site.dsr()
    assert site.save("networkprofile", name="vs1-profile", profile=tcp_profile()).notices == ()
    live = read().services[KEY]
    assert live is not None
    assert live.mode == plan.L3_IPIP
    site.save("vrfcontext", name="tier2")
    told = proxy(site, "tier2", vrf_context_ref=reference("vrfcontext", "tier2"), traffic_enabled=False)
    assert told == [
        "VirtualService tier2 is stored, not forwarded: its network profile System-TCP-Proxy has no dsr_profile"
    ]
    assert read().services == {KEY: live}


def test_of_two_tiers_typed_as_a_session_the_first_is_forwarded(tmp_path: Path) -> None:
    """The session of the transcript `two_tiers`: the first tier's plan does not change by one of the second's lines."""
    player = play.Player(document.read(TRANSCRIPTS / "two_tiers.transcript"), tmp_path, None)
    session, plans = player.session, []
    for _ in player.steps():
        with session.configuration.snapshot() as store:
            plans.append(store.whole_plan().services)
    begun = next(number for number, services in enumerate(plans) if services)
    (live,) = plans[begun].values()
    assert live is not None
    assert (live.virtualservice, live.key, live.mode) == ("tier1", "10.1.1.100/tcp/80-80", plan.L3_IPIP)
    assert [server.address for server in live.servers] == ["10.1.100.10", "10.1.100.11"]
    assert {service for services in plans[begun:] for service in services.values()} == {live}
    assert session.configuration.find("virtualservice", "tier2", "admin") is not None


@pytest.mark.parametrize(
    ("fields", "notice"),
    [
        ({}, "traffic_enabled is off"),
        ({"vrf_context_ref": BLUE}, "traffic_enabled is off, and its VRF context is blue"),
    ],
)
def test_a_service_without_traffic_leaves_the_live_one_of_its_vip_alone(
    site: Site, read: Callable[..., plan.Plan], fields: dict[str, Any], notice: str
) -> None:
    site.save("vrfcontext", name="blue")
    site.dsr()
    live = read().services
    saved = site.dsr("vs2", traffic_enabled=False, **fields)
    assert saved.notices == (f"VirtualService vs2 is stored, not forwarded: {notice}",)
    assert not saved.needs_engine
    site.save("virtualservice", name="vs2", description="changed")
    assert read().services == live
    with pytest.raises(InvalidObject) as told:
        site.save("virtualservice", name="vs2", traffic_enabled=True)
    right = "tcp port 80 of VIP 10.0.0.100 belongs to VirtualService vs1" if not fields else "its VRF context is blue"
    assert right in told.value.what
    assert read().services == live


def test_traffic_off_takes_a_service_out_of_the_plan_and_its_port_is_free(
    site: Site, read: Callable[..., plan.Plan]
) -> None:
    site.dsr()
    site.save("virtualservice", name="vs1", traffic_enabled=False)
    assert read().services == {KEY: None}
    site.dsr("vs2")
    with pytest.raises(InvalidObject, match="belongs to VirtualService vs2"):
        site.save("virtualservice", name="vs1", traffic_enabled=True)
    site.configuration.delete("virtualservice", "vs1", "admin")
    found = read().services[KEY]
    assert found is not None
    assert found.virtualservice == "vs2"


def test_a_port_belongs_to_one_service_of_each_vrf(site: Site) -> None:
    site.save("vrfcontext", name="blue")
    proxy(site, "a")
    proxy(site, "b", vrf_context_ref=BLUE)
    with pytest.raises(InvalidObject, match="belongs to VirtualService a"):
        proxy(site, "c")
    with pytest.raises(InvalidObject, match="belongs to VirtualService b"):
        proxy(site, "c", vrf_context_ref=BLUE)


def test_a_gateway_of_another_vrf_may_have_the_address_of_a_vip(site: Site) -> None:
    site.dsr()
    site.save("vrfcontext", name="blue", gateway_mon=[{"gateway_ip": address("10.0.0.100")}])
    with pytest.raises(InvalidObject, match="a gateway in VrfContext global"):
        site.save("vrfcontext", name="global", gateway_mon=[{"gateway_ip": address("10.0.0.100")}])
