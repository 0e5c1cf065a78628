"""From configuration to plan: tables of a changed field and the planned service's changed fields."""

import time
from dataclasses import replace
from typing import Any

import pytest

from avi_shell.configuration import compiler
from avi_shell.configuration.document import Document, reference
from dataplane import plan
from dataplane.plan.redundancy import Redundancy

from .addresses import address
from .conftest import Site, tcp_profile, udp_profile

KEY = "10.0.0.100/tcp/80-80"


def test_a_service_with_everything_at_its_default(site: Site, read: Any) -> None:
    version = site.dsr().version
    pool = site.configuration.find("pool", "vs1-pool", "admin")
    service = site.configuration.find("virtualservice", "vs1", "admin")
    assert pool is not None
    assert service is not None
    expected = plan.Service(
        virtualservice="vs1",
        uuid=service["uuid"],
        tenant="admin",
        vip="10.0.0.100",
        protocol="tcp",
        port=80,
        port_end=80,
        mode=plan.L2,
        hash_key=plan.BY_ADDRESS,
        idle_timeout=300,
        pool="vs1-pool",
        pool_uuid=pool["uuid"],
        slots=plan.SLOTS,
        seed=compiler.seed_of(pool["uuid"]),
        servers=(
            plan.Server("10.1.100.10", 80, generation=version),
            plan.Server("10.1.100.11", 80, generation=version),
        ),
        monitors=(plan.Monitor("System-TCP", "HEALTH_MONITOR_TCP"),),
        version=version,
    )
    assert read().services == {KEY: expected}


def server(last: int, **fields: Any) -> Document:
    return {"ip": address(f"10.1.100.{last}"), "port": 80, **fields}


CHANGES: list[tuple[str, str, Document, dict[str, Any]]] = [
    ("virtual service off", "virtualservice", {"name": "vs1", "enabled": False}, {"enabled": False}),
    (
        "its VIP off",
        "vsvip",
        {"name": "vs1-vip", "vip": [{"ip_address": address("10.0.0.100"), "enabled": False}]},
        {"enabled": False},
    ),
    ("advertised when down", "virtualservice", {"name": "vs1", "advertise_down_vs": True}, {"advertise_down": True}),
    ("pool off", "pool", {"name": "vs1-pool", "enabled": False}, {"pool_enabled": False}),
    (
        "address and port",
        "pool",
        {"name": "vs1-pool", "lb_algorithm_hash": "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS_AND_PORT"},
        {"hash_key": plan.BY_ADDRESS_AND_PORT},
    ),
    (
        "infinite flows",
        "networkprofile",
        {
            "name": "vs1-profile",
            "profile": {
                "tcp_fast_path_profile": {"session_idle_timeout": 0, "dsr_profile": {"dsr_type": "DSR_TYPE_L2"}}
            },
        },
        {"idle_timeout": 0},
    ),
    ("no monitors", "pool", {"name": "vs1-pool", "health_monitor_refs": []}, {"monitors": ()}),
    (
        "weights, disabled servers, default port, the first commit's generation",
        "pool",
        {
            "name": "vs1-pool",
            "default_server_port": 8080,
            "servers": [server(10, ratio=20), server(11, enabled=False), server(12, port=0)],
        },
        {
            "servers": (
                plan.Server("10.1.100.10", 80, 20, True, 4),
                plan.Server("10.1.100.11", 80, 1, False, 4),
                plan.Server("10.1.100.12", 8080, 1, True, 5),
            )
        },
    ),
    (
        "the service's port for monitors",
        "pool",
        {"name": "vs1-pool", "use_service_port": True, "servers": [server(10, port=81)]},
        {"servers": (plan.Server("10.1.100.10", 80, 1, True, 4),)},
    ),
]


@pytest.mark.parametrize(("kind", "change", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_change_and_what_it_does_to_the_plan(
    site: Site, read: Any, kind: str, change: Document, expected: dict[str, Any]
) -> None:
    site.dsr()
    before = read().services[KEY]
    saved = site.save(kind, **change)
    after = read(before.version)
    assert after.version == saved.version == before.version + 1
    assert after.common is None
    found = timeless(after.services[KEY])
    changed = {name for name in plan.Service.__slots__ if getattr(found, name) != getattr(before, name)}
    assert changed == {*expected, "version"}
    assert {name: getattr(found, name) for name in expected} == expected


def timeless(service: plan.Service) -> plan.Service:
    """Without what depends on the time of the commits."""
    return replace(service, former=(), servers=tuple(replace(s, serve_until=0) for s in service.servers))


def test_who_shared_the_table_before(site: Site, read: Any) -> None:
    begun = time.time()
    version = site.dsr().version
    assert read().services[KEY].former == ()
    first = (("10.1.100.10", 1, version), ("10.1.100.11", 1, version))
    grown = site.save("pool", name="vs1-pool", servers=[server(10), server(11), server(12)]).version
    (former,) = read().services[KEY].former
    assert former.servers == first
    assert begun <= former.until <= time.time()
    site.save("pool", name="vs1-pool", description="nothing about shares")
    site.save("pool", name="vs1-pool", servers=[server(10), server(11), server(12, ratio=3)])
    former = read().services[KEY].former
    assert [one.servers for one in former] == [first, (*first, ("10.1.100.12", 1, grown))]
    assert former[0].until <= former[1].until


def test_who_shared_it_longer_ago_than_a_flow_may_be_idle_is_forgotten() -> None:
    old, young = plan.Former(1000, (("10.1.100.10", 1, 1),)), plan.Former(1250, (("10.1.100.11", 1, 1),))
    before = replace(BARE, former=(old, young), servers=(plan.Server("10.1.100.12", 80),))
    made = replace(BARE, servers=(plan.Server("10.1.100.12", 80),))
    assert compiler.former_shares(made, before, 1299) == (old, young)
    assert compiler.former_shares(made, before, 1300) == (young,)
    assert compiler.former_shares(made, before, 1550) == ()
    for_ever = replace(made, idle_timeout=0, servers=(*made.servers, plan.Server("10.1.100.11", 80, 1, True, 1)))
    assert compiler.former_shares(for_ever, replace(before, servers=for_ever.servers), 10**9) == (young,)


BARE = plan.Service(
    "vs", "vs-1", "admin", "10.0.0.100", "tcp", 80, 80, plan.L2, plan.BY_ADDRESS, 300, "p", "pool-1", plan.SLOTS, 1
)


@pytest.mark.parametrize(("minutes", "seconds"), [(0, 0), (1, 60), (-1, None), (7200, 432000)])
def test_how_long_a_disabled_server_serves_on(site: Site, read: Any, minutes: int, seconds: int | None) -> None:
    site.dsr()
    begun = time.time()
    disabled = [server(10), server(11, enabled=False)]
    site.save("pool", name="vs1-pool", graceful_disable_timeout=minutes, servers=disabled)
    until = read().services[KEY].servers[1].serve_until
    if seconds is None:
        assert until == plan.FOR_EVER
    elif seconds:
        assert begun + seconds <= until <= time.time() + seconds
    else:
        assert until == 0
    site.save("pool", name="vs1-pool", graceful_disable_timeout=5, servers=[*disabled, server(12)])
    assert read().services[KEY].servers[1].serve_until == until, "counted from the commit that disabled it"
    site.save("pool", name="vs1-pool", servers=[server(10), server(11), server(12)])
    assert read().services[KEY].servers[1].serve_until == 0


def test_layer_3(site: Site, read: Any) -> None:
    site.dsr()
    site.save("networkprofile", name="vs1-profile", profile=tcp_profile())
    assert read().services[KEY].mode == plan.L3_IPIP
    gre = tcp_profile(dsr_type="DSR_TYPE_L3", dsr_encap_type="ENCAP_GRE")
    site.save("networkprofile", name="vs1-profile", profile=gre)
    assert read().services[KEY].mode == plan.L3_GRE


def test_a_monitor_in_full(site: Site, read: Any) -> None:
    site.save(
        "healthmonitor", name="m", type="HEALTH_MONITOR_TCP", send_interval=5, receive_timeout=3, successful_checks=4,
        failed_checks=6, monitor_port=8081, disable_quickstart=True,
        tcp_monitor={"tcp_request": "ping\n", "tcp_response": "pong", "maintenance_response": "away"},
    )  # fmt: skip
    site.dsr()
    site.save("pool", name="vs1-pool", health_monitor_refs=[reference("healthmonitor", "m")])
    wanted = plan.Monitor("m", "HEALTH_MONITOR_TCP", 5, 3, 4, 6, 8081, False, "ping\n", "pong", "away")
    assert read().services[KEY].monitors == (wanted,)


MONITORS = [
    (
        {"type": "HEALTH_MONITOR_TCP", "tcp_monitor": {"tcp_half_open": True}},
        plan.Monitor("m", "HEALTH_MONITOR_TCP", half_open=True),
    ),
    (
        {
            "type": "HEALTH_MONITOR_UDP",
            "udp_monitor": {"udp_request": "a", "udp_response": "b", "maintenance_response": "c"},
        },
        plan.Monitor("m", "HEALTH_MONITOR_UDP", request="a", response="b", maintenance="c"),
    ),
    ({"type": "HEALTH_MONITOR_PING"}, plan.Monitor("m", "HEALTH_MONITOR_PING")),
    (
        {
            "type": "HEALTH_MONITOR_HTTP",
            "http_monitor": {
                "http_request": "HEAD /x HTTP/1.1", "http_response_code": ["HTTP_2XX", "HTTP_ANY"],
                "http_response": "b", "maintenance_code": [503], "maintenance_response": "c",
                "exact_http_request": True, "http_request_body": "d", "response_size": 4096,
            },
        },
        plan.Monitor(
            "m", "HEALTH_MONITOR_HTTP", request="HEAD /x HTTP/1.1", response="b", maintenance="c",
            codes=("HTTP_2XX", "HTTP_ANY"), maintenance_codes=(503,), exact=True, body="d", response_size=4096,
        ),
    ),
    ({"type": "HEALTH_MONITOR_HTTP"}, plan.Monitor("m", "HEALTH_MONITOR_HTTP", request="GET / HTTP/1.0")),
    (
        {
            "type": "HEALTH_MONITOR_EXTERNAL",
            "external_monitor": {"command_code": "a", "command_parameters": "b", "command_variables": "C=d"},
        },
        plan.Monitor("m", "HEALTH_MONITOR_EXTERNAL", script="a", parameters="b", variables="C=d"),
    ),
]  # fmt: skip
"""Every field of a monitor that is offered and acts, and what becomes of it in the plan."""


@pytest.mark.parametrize(("document", "wanted"), MONITORS, ids=[made.type for _, made in MONITORS])
def test_every_type_of_monitor(site: Site, read: Any, document: dict[str, Any], wanted: plan.Monitor) -> None:
    site.save("healthmonitor", name="m", **document)
    site.dsr()
    site.save(
        "pool",
        name="vs1-pool",
        health_monitor_refs=[reference("healthmonitor", "m")],
        min_health_monitors_up=1,
        min_servers_up=2,
    )
    assert read().services[KEY].monitors == (wanted,)
    assert (read().services[KEY].monitors_needed, read().services[KEY].servers_needed) == (1, 2)


def test_every_type_that_engines_run_is_there() -> None:
    assert {made.type for _, made in MONITORS} == set(plan.MONITORS)


def test_one_service_for_each_vip_and_port(site: Site, read: Any) -> None:
    site.save("networkprofile", name="udp", profile=udp_profile(per_pkt_loadbalance=True, session_idle_timeout=60))
    udp = {"override_network_profile_ref": reference("networkprofile", "udp")}
    proxy = {"override_network_profile_ref": reference("networkprofile", "System-TCP-Proxy")}
    site.dsr(services=[{"port": 80}, {"port": 5000, "port_range_end": 5999, **udp}, {"port": 443, **proxy}])
    site.save("vsvip", name="vs1-vip", vip=[{"ip_address": address(f"10.0.0.{last}")} for last in (100, 200)])
    services = read().services
    assert set(services) == {
        "10.0.0.100/tcp/80-80",
        "10.0.0.100/udp/5000-5999",
        "10.0.0.200/tcp/80-80",
        "10.0.0.200/udp/5000-5999",
    }
    ranged = services["10.0.0.200/udp/5000-5999"]
    assert (ranged.protocol, ranged.per_packet, ranged.idle_timeout) == ("udp", True, 60)
    assert len({(service.pool_uuid, service.seed, service.servers) for service in services.values()}) == 1


def test_what_is_gone_is_told(site: Site, read: Any) -> None:
    version = site.dsr().version
    site.save("vsvip", name="vs1-vip", vip=[{"ip_address": address("10.0.0.99")}])
    moved = read(version).services
    assert moved[KEY] is None
    assert moved["10.0.0.99/tcp/80-80"].servers[0].generation == version  # the pool's servers are the same
    site.save("networkprofile", name="vs1-profile", profile={"tcp_fast_path_profile": {}})
    assert set(read(version + 1).services.values()) == {None}
    site.save("networkprofile", name="vs1-profile", profile=tcp_profile(dsr_type="DSR_TYPE_L2"))
    site.configuration.delete("virtualservice", "vs1", "admin")
    assert set(read().services.values()) == {None}


def test_a_port_that_changes_hands_in_one_commit(site: Site, read: Any) -> None:
    """What one virtual service gives up another may take at once, whichever is looked at first."""
    site.dsr()
    site.dsr("vs2", "10.0.0.101", vsvip_ref=reference("vsvip", "vs1-vip"), services=[{"port": 81}])
    from avi_shell.configuration import transfer

    data = transfer.export(site.configuration)
    one, two = data["VirtualService"]
    one["services"], two["services"] = two["services"], one["services"]
    transfer.import_(site.configuration, data, keep_uuid=True)
    assert {key: service.virtualservice for key, service in read().services.items()} == {
        "10.0.0.100/tcp/80-80": "vs2",
        "10.0.0.100/tcp/81-81": "vs1",
    }


def test_a_server_that_comes_back_is_a_new_one(site: Site, read: Any) -> None:
    site.dsr()
    site.save("pool", name="vs1-pool", servers=[server(10)])
    version = site.save("pool", name="vs1-pool", servers=[server(10), server(11)]).version
    kept, back = read().services[KEY].servers
    assert (kept.generation, back.generation) == (4, version)


def test_what_changes_nothing_about_forwarding_is_no_new_plan(site: Site, read: Any) -> None:
    version = site.dsr().version
    site.save("virtualservice", name="vs1", description="x")
    site.save("pool", name="vs1-pool", description="x")
    site.save("serviceenginegroup", name="Default-Group", description="x")
    found = read(version)
    assert (found.version, found.services, found.common) == (version, {}, None)


def test_a_pool_of_admin_keeps_its_tenant_in_a_service_of_another_one(site: Site, read: Any) -> None:
    site.save("tenant", name="t1")
    site.dsr()
    stored = site.configuration.find("virtualservice", "vs1", "admin")
    assert stored is not None
    site.configuration.delete("virtualservice", "vs1", "admin")
    own = {name: value for name, value in stored.items() if name not in ("uuid", "tenant_ref")}
    site.configuration.save("virtualservice", own, "t1")
    service = read().services[KEY]
    assert (service.tenant, service.pool, service.pool_tenant) == ("t1", "vs1-pool", "admin")


def test_groups_and_engines(site: Site, read: Any) -> None:
    assert read().common == plan.Common({"Default-Group": 0}, {}, 0)
    site.save("tenant", name="t1")
    site.save("serviceenginegroup", name="edge", se_use_dpdk=2)
    site.configuration.save("serviceenginegroup", {"name": "edge"}, "t1")
    version = site.save("serviceengine", name="se1", se_group_ref=reference("serviceenginegroup", "edge")).version
    assert read().common == plan.Common({"Default-Group": 0, "edge": 2, "t1/edge": 0}, {"se1": "edge"}, version)
    site.dsr(se_group_ref=reference("serviceenginegroup", "edge"))
    assert read().services[KEY].group == "edge"
    version = site.configuration.delete("serviceengine", "se1", "admin")
    assert read().common == plan.Common({"Default-Group": 0, "edge": 2, "t1/edge": 0}, {}, version)


def test_groups_say_how_dpdk_is_used(site: Site, read: Any) -> None:
    site.save("serviceenginegroup", name="usual")
    site.save("serviceenginegroup", name="edge", se_dpdk_pmd=1, num_dispatcher_cores=2, max_queues_per_vnic=4)
    common = read().common
    assert (common.pmds, common.workers, common.queues) == ({"edge": 1}, {"edge": 2}, {"edge": 4})


def test_groups_say_how_often_vips_are_announced(site: Site, read: Any) -> None:
    group: Document = {"name": "edge", "gratarp_permanent_periodicity": 5}
    site.save("serviceenginegroup", **group)
    assert read().common.announcing == {}
    saved = site.save("serviceenginegroup", **group, enable_gratarp_permanent=True)
    assert not [notice for notice in saved.notices if "gratarp" in notice]
    assert read().common.announcing == {"edge": 300.0}


def test_how_engines_stand_in_for_each_other(site: Site, read: Any) -> None:
    group: Document = {"name": "edge"}
    site.save("serviceenginegroup", **group)
    assert read().common.redundancy == {}, "a group with the defaults"
    site.save(
        "serviceenginegroup",
        **group,
        active_standby=True,
        aggressive_failure_detection=True,
        dp_aggressive_hb_frequency=50,
        max_vs_per_se=20,
    )
    wanted = Redundancy("HA_MODE_LEGACY_ACTIVE_STANDBY", max_vips=20, heartbeat=0.05)
    assert read().common.redundancy == {"edge": wanted}
    site.save("serviceengine", name="se1", enable_state="SE_STATE_DISABLED")
    assert read().common.disabled == {"se1": "SE_STATE_DISABLED"}
    site.dsr(active_standby_se_tag="ACTIVE_STANDBY_SE_2")
    assert read().services[KEY].tag == 2


def test_seeds_are_the_same_everywhere() -> None:
    assert compiler.seed_of("pool-00000000-0000-0000-0000-000000000000") == 0x8E734090
