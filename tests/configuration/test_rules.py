"""Rules across objects: each one accepted and refused, from whichever object it is broken."""

from collections.abc import Callable
from typing import Any

import pytest

from avi_shell.configuration.document import Document, address, prefix, reference
from avi_shell.errors import InvalidObject

from .conftest import Site, tcp_profile, udp_profile


def servers(*addresses: str, port: int = 80) -> list[Document]:
    return [{"ip": address(text), "port": port} for text in addresses]


def l2(**fields: Any) -> Document:
    profile = tcp_profile(dsr_type="DSR_TYPE_L2")
    profile["tcp_fast_path_profile"].update(fields)
    return profile


def monitor(type_: str = "HEALTH_MONITOR_TCP", **tcp: Any) -> dict[str, Any]:
    return {"name": "m", "type": type_, **({"tcp_monitor": tcp} if tcp else {})}


HASH = "LB_ALGORITHM_CONSISTENT_HASH"
DSR = "tcp_fast_path_profile.dsr_profile"
PROFILE, POOL, VIP, SERVICE = "vs1-profile", "vs1-pool", "vs1-vip", "vs1"

Step = Callable[[Site], object]

REFUSED: list[tuple[str, list[Step], str, str]] = [
    # what is tried | the last step is refused | the field it points at | what the refusal says
    (
        "another algorithm, at the pool",
        [lambda s: s.dsr(), lambda s: s.save("pool", name=POOL, lb_algorithm="LB_ALGORITHM_ROUND_ROBIN")],
        "lb_algorithm",
        r"VirtualService vs1: its pool vs1-pool has lb_algorithm LB_ALGORITHM_ROUND_ROBIN",
    ),
    (
        "another algorithm, at the virtual service",
        [lambda s: s.save("pool", name="p"), lambda s: s.dsr(pool_ref=reference("pool", "p"))],
        "pool_ref",
        r"its pool p has lb_algorithm LB_ALGORITHM_LEAST_CONNECTIONS",
    ),
    (
        "another algorithm, at the profile",
        [
            lambda s: s.save("networkprofile", name="plain", profile={"tcp_fast_path_profile": {}}),
            lambda s: s.save("pool", name="p"),
            lambda s: s.dsr(network_profile_ref=reference("networkprofile", "plain"), pool_ref=reference("pool", "p")),
            lambda s: s.save("networkprofile", name="plain", profile=l2()),
        ],
        "",
        r"VirtualService vs1: its pool p has lb_algorithm",
    ),
    (
        "a hash of what layer 4 does not see",
        [lambda s: s.dsr(), lambda s: s.save("pool", name=POOL, lb_algorithm_hash=f"{HASH}_URI")],
        "lb_algorithm_hash",
        r"lb_algorithm_hash LB_ALGORITHM_CONSISTENT_HASH_URI",
    ),
    (
        "a VIP without IPv4, at the VsVip",
        [lambda s: s.dsr(), lambda s: s.save("vsvip", name=VIP, vip=[{"ip_address": address("2001:db8::1")}])],
        "vip[1].ip_address",
        r"VirtualService vs1: vip\[1\].ip_address is 2001:db8::1",
    ),
    (
        "a VIP with IPv6 beside IPv4",
        [
            lambda s: s.dsr(),
            lambda s: s.save(
                "vsvip", name=VIP, vip=[{"ip_address": address("10.0.0.100"), "ip6_address": address("2001:db8::1")}]
            ),
        ],
        "vip[1].ip6_address",
        r"needs an IPv4 address",
    ),
    (
        "a VIP without an address, at the virtual service",
        [
            lambda s: s.save("vsvip", name="v", vip=[{"auto_allocate_ip": True}]),
            lambda s: s.dsr(vsvip_ref=reference("vsvip", "v")),
        ],
        "vsvip_ref",
        r"vip\[1\].ip_address is not set",
    ),
    (
        "a server with IPv6",
        [lambda s: s.dsr(), lambda s: s.save("pool", name=POOL, servers=servers("10.1.1.1", "2001:db8::2"))],
        "servers[2].ip",
        r"servers\[2\] of its pool vs1-pool is 2001:db8::2",
    ),
    (
        "a server that is a name",
        [lambda s: s.dsr(), lambda s: s.save("pool", name=POOL, servers=servers("web.example"))],
        "servers[1].ip",
        r"is web\.example",
    ),
    (
        "a server that no host can be",
        [lambda s: s.dsr(), lambda s: s.save("pool", name=POOL, servers=servers("224.0.0.5"))],
        "servers[1].ip",
        r"224\.0\.0\.5, which no host can have",
    ),
    (
        "the same server twice",
        [
            lambda s: s.dsr(),
            lambda s: s.save("pool", name=POOL, servers=servers("10.1.1.1") + servers("10.1.1.1", port=81)),
        ],
        "servers[2].ip",
        r"has the address 10\.1\.1\.1 of servers\[1\]",
    ),
    (
        "an application profile of layer 7, at the virtual service",
        [lambda s: s.dsr(application_profile_ref=None)],
        "application_profile_ref",
        r"application profile System-HTTP is of type APPLICATION_PROFILE_TYPE_HTTP",
    ),
    (
        "an application profile of layer 7, at the profile",
        [
            lambda s: s.save("applicationprofile", name="a", type="APPLICATION_PROFILE_TYPE_L4"),
            lambda s: s.dsr(application_profile_ref=reference("applicationprofile", "a")),
            lambda s: s.save("applicationprofile", name="a", type="APPLICATION_PROFILE_TYPE_SSL"),
        ],
        "type",
        r"application profile a is of type APPLICATION_PROFILE_TYPE_SSL",
    ),
    (
        "an application profile of layer 7 for one port",
        [
            lambda s: s.dsr(
                services=[
                    {"port": 80},
                    {
                        "port": 81,
                        "override_application_profile_ref": reference("applicationprofile", "System-DNS"),
                    },
                ]
            )
        ],
        "services[2].override_application_profile_ref",
        r"application profile System-DNS",
    ),
    (
        "a pool of another DSR virtual service",
        [lambda s: s.dsr(), lambda s: s.dsr("vs2", "10.0.0.101", pool_ref=reference("pool", POOL))],
        "pool_ref",
        r"pool vs1-pool serves VirtualService vs2 and VirtualService vs1",
    ),
    (
        "SYN protection, at the profile",
        [lambda s: s.dsr(), lambda s: s.save("networkprofile", name=PROFILE, profile=l2(enable_syn_protection=True))],
        "profile.tcp_fast_path_profile.enable_syn_protection",
        r"network profile vs1-profile has enable_syn_protection",
    ),
    (
        "SYN protection, at the virtual service",
        [
            lambda s: s.save("networkprofile", name="syn", profile=l2(enable_syn_protection=True)),
            lambda s: s.dsr(network_profile_ref=reference("networkprofile", "syn")),
        ],
        "network_profile_ref",
        r"network profile syn has enable_syn_protection",
    ),
    (
        "a cloud without DSR, at the virtual service",
        [
            lambda s: s.save("cloud", name="aws", vtype="CLOUD_AWS"),
            lambda s: s.dsr(cloud_ref=reference("cloud", "aws")),
        ],
        "cloud_ref",
        r"cloud aws is of vtype CLOUD_AWS",
    ),
    (
        "a cloud without DSR, at the cloud",
        [lambda s: s.dsr(), lambda s: s.save("cloud", name="Default-Cloud", vtype="CLOUD_OPENSTACK")],
        "vtype",
        r"VirtualService vs1: its cloud Default-Cloud is of vtype CLOUD_OPENSTACK",
    ),
    (
        "a VMware cloud with read access",
        [
            lambda s: s.dsr(),
            lambda s: s.save(
                "cloud",
                name="Default-Cloud",
                vtype="CLOUD_VCENTER",
                vcenter_configuration={"privilege": "READ_ACCESS"},
            ),
        ],
        "vcenter_configuration.privilege",
        r"read access only",
    ),
    (
        "the same VIP, protocol and port twice",
        [lambda s: s.dsr(), lambda s: s.dsr("vs2", vip="10.0.0.101", vsvip_ref=reference("vsvip", VIP))],
        "services[1].port",
        r"VirtualService vs2: tcp port 80 of VIP 10\.0\.0\.100 belongs to VirtualService vs1",
    ),
    (
        "the same VIP, protocol and port, at the VsVip",
        [
            lambda s: s.dsr(),
            lambda s: s.dsr("vs2", "10.0.0.101"),
            lambda s: s.save("vsvip", name="vs2-vip", vip=[{"ip_address": address("10.0.0.100")}]),
        ],
        "vip[1].ip_address",
        r"VirtualService vs2: tcp port 80 of VIP 10\.0\.0\.100 belongs to VirtualService vs1",
    ),
    (
        "the same VIP and port without DSR",
        [
            lambda s: s.save("vsvip", name="v", vip=[{"ip_address": address("10.0.0.5")}]),
            lambda s: s.save("virtualservice", name="a", vsvip_ref=reference("vsvip", "v"), services=[{"port": 80}]),
            lambda s: s.save("virtualservice", name="b", vsvip_ref=reference("vsvip", "v"), services=[{"port": 80}]),
        ],
        "services[1].port",
        r"VirtualService b: tcp port 80 of VIP 10\.0\.0\.5 belongs to VirtualService a",
    ),
    (
        "a port range over another's port",
        [
            lambda s: s.dsr(),
            lambda s: s.dsr(
                "vs2",
                "10.0.0.101",
                vsvip_ref=reference("vsvip", VIP),
                services=[{"port": 70, "port_range_end": 90}],
            ),
        ],
        "services[1].port",
        r"tcp ports 70-90 of VIP 10\.0\.0\.100 belongs to VirtualService vs1",
    ),
    (
        "a port that another's range covers, through the profile's protocol",
        [
            lambda s: s.dsr(),
            lambda s: s.save("networkprofile", name="udp", profile=udp_profile()),
            lambda s: s.dsr(
                "vs2",
                "10.0.0.101",
                vsvip_ref=reference("vsvip", VIP),
                network_profile_ref=reference("networkprofile", "udp"),
            ),
            lambda s: s.save("networkprofile", name="udp", profile=l2()),
        ],
        "",
        r"VirtualService vs2: tcp port 80 of VIP 10\.0\.0\.100 belongs to VirtualService vs1",
    ),
    (
        "overlapping ranges of one virtual service",
        [lambda s: s.dsr(services=[{"port": 80}, {"port": 70, "port_range_end": 90}])],
        "services[2].port",
        r"services\[2\] and services\[1\] overlap: tcp ports 70-90 and port 80",
    ),
    (
        "a VIP that is a server of its own pool",
        [lambda s: s.dsr(), lambda s: s.save("pool", name=POOL, servers=servers("10.0.0.100"))],
        "servers[1].ip",
        r"10\.0\.0\.100 is a VIP of VirtualService vs1 and a server of VirtualService vs1",
    ),
    (
        "a VIP that is a server of another's pool, at the VsVip",
        [
            lambda s: s.dsr(),
            lambda s: s.dsr("vs2", "10.0.0.101"),
            lambda s: s.save("vsvip", name="vs2-vip", vip=[{"ip_address": address("10.1.100.10")}]),
        ],
        "vip[1].ip_address",
        r"10\.1\.100\.10 is a VIP of VirtualService vs2 and a server of VirtualService vs1",
    ),
    (
        "a server that is another's VIP, at the pool",
        [
            lambda s: s.dsr(),
            lambda s: s.dsr("vs2", "10.0.0.101"),
            lambda s: s.save("pool", name="vs2-pool", servers=servers("10.0.0.100")),
        ],
        "servers[1].ip",
        r"10\.0\.0\.100 is a VIP of VirtualService vs1 and a server of VirtualService vs2",
    ),
    (
        "a VIP that is a gateway, at the VRF context",
        [
            lambda s: s.dsr(),
            lambda s: s.save(
                "vrfcontext",
                name="global",
                static_routes=[{"prefix": prefix("10.8.0.0/16"), "next_hop": address("10.0.0.100")}],
            ),
        ],
        "static_routes[1].next_hop",
        r"10\.0\.0\.100 is a VIP of VirtualService vs1 and a gateway in VrfContext global",
    ),
    (
        "a VIP that is a monitored gateway, at the virtual service",
        [
            lambda s: s.save("vrfcontext", name="global", gateway_mon=[{"gateway_ip": address("10.0.0.100")}]),
            lambda s: s.dsr(),
        ],
        "vsvip_ref",
        r"10\.0\.0\.100 is a VIP of VirtualService vs1 and a gateway in VrfContext global",
    ),
    (
        "a VIP that is a host of the cloud",
        [
            lambda s: s.dsr(),
            lambda s: s.save(
                "cloud", name="lx", linuxserver_configuration={"hosts": [{"host_ip": address("10.0.0.100")}]}
            ),
        ],
        "linuxserver_configuration.hosts[1].host_ip",
        r"10\.0\.0\.100 is a VIP of VirtualService vs1 and a service engine's own address in Cloud lx",
    ),
    (
        "a server that is a service engine's interface",
        [
            lambda s: s.save(
                "serviceengine",
                name="se1",
                data_vnics=[{"vnic_networks": [{"ip": {"ip_addr": address("10.1.100.10"), "mask": 24}}]}],
            ),
            lambda s: s.dsr(),
        ],
        "pool_ref",
        r"10\.1\.100\.10 is a server of VirtualService vs1 and a service engine's own address in ServiceEngine se1",
    ),
    *(
        (
            f"the VIP {bad}",
            [lambda s, bad=bad: s.save("vsvip", name="v", vip=[{"ip_address": address(bad)}])],  # type: ignore[misc]
            "vip[1].ip_address",
            rf"vip\[1\].ip_address is {bad}, which no VIP can be",
        )
        for bad in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255")
    ),
    *(
        (
            f"the VIP {bad} of 10.0.0.0/24",
            [
                lambda s, bad=bad: s.save(  # type: ignore[misc]
                    "vsvip", name="v", vip=[{"ip_address": address(bad), "subnet": prefix("10.0.0.0/24")}]
                )
            ],
            "vip[1].ip_address",
            r"network or broadcast address of its subnet 10\.0\.0\.0/24",
        )
        for bad in ("10.0.0.0", "10.0.0.255")
    ),
    (
        "two ways to one pool, at the virtual service",
        [
            lambda s: s.save("networkprofile", name="l3", profile=udp_profile(dsr_profile={"dsr_type": "DSR_TYPE_L3"})),
            lambda s: s.dsr(
                services=[
                    {"port": 80},
                    {"port": 80, "override_network_profile_ref": reference("networkprofile", "l3")},
                ]
            ),
        ],
        "services[2].override_network_profile_ref",
        r"its services reach one pool by DSR_TYPE_L2 and DSR_TYPE_L3 ENCAP_IPINIP",
    ),
    (
        "a monitor that engines do not run, at the pool",
        [
            lambda s: s.dsr(),
            lambda s: s.save("pool", name=POOL, health_monitor_refs=[reference("healthmonitor", "System-DNS")]),
        ],
        "health_monitor_refs[1]",
        r"health monitor System-DNS of its pool vs1-pool is of type HEALTH_MONITOR_DNS",
    ),
    (
        "a monitor that engines do not run, at the monitor",
        [
            lambda s: s.save("healthmonitor", **monitor()),
            lambda s: s.dsr(),
            lambda s: s.save("pool", name=POOL, health_monitor_refs=[reference("healthmonitor", "m")]),
            lambda s: s.save("healthmonitor", **monitor("HEALTH_MONITOR_HTTPS")),
        ],
        "type",
        r"health monitor m of its pool vs1-pool is of type HEALTH_MONITOR_HTTPS",
    ),
    (
        "a pool group",
        [lambda s: s.dsr(), lambda s: s.save("virtualservice", name=SERVICE, pool_group_ref="/api/poolgroup/?name=g")],
        "pool_group_ref",
        r"pool_group_ref chooses between pools",
    ),
    (
        "a pool that does not exist",
        [lambda s: s.save("virtualservice", name="v", pool_ref=reference("pool", "nobody"))],
        "pool_ref",
        r"VirtualService v: pool_ref names pool nobody, which does not exist",
    ),
    (
        "an alternative that the type contradicts",
        [
            lambda s: s.save(
                "networkprofile",
                name="n",
                profile={"type": "PROTOCOL_TYPE_UDP_FAST_PATH", "tcp_fast_path_profile": {}},
            )
        ],
        "profile.type",
        r"profile.type is PROTOCOL_TYPE_UDP_FAST_PATH, but profile.tcp_fast_path_profile is entered",
    ),
]


@pytest.mark.parametrize(("steps", "path", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(site: Site, steps: list[Step], path: str, message: str) -> None:
    for step in steps[:-1]:
        step(site)
    with pytest.raises(InvalidObject, match=message) as refusal:
        steps[-1](site)
    assert refusal.value.path == path


BY_HASH = "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS"
ACCEPTED: list[tuple[str, list[Step], list[str]]] = [
    # what | steps, the last of which gives the notices | the notices
    ("a DSR virtual service", [lambda s: s.dsr()], []),
    (
        "hashing address and port",
        [
            lambda s: s.dsr(),
            lambda s: s.save("pool", name=POOL, lb_algorithm_hash=f"{HASH}_SOURCE_IP_ADDRESS_AND_PORT"),
        ],
        [],
    ),
    (
        "a Linux server cloud",
        [lambda s: s.dsr(), lambda s: s.save("cloud", name="Default-Cloud", vtype="CLOUD_LINUXSERVER")],
        [],
    ),
    (
        "a VMware cloud with write access",
        [
            lambda s: s.dsr(),
            lambda s: s.save(
                "cloud",
                name="Default-Cloud",
                vtype="CLOUD_VCENTER",
                vcenter_configuration={"privilege": "WRITE_ACCESS"},
            ),
        ],
        [],
    ),
    ("a pool of another algorithm, used by nobody", [lambda s: s.save("pool", name="p")], []),
    (
        "the same pool without DSR twice",
        [
            lambda s: s.save("pool", name="p"),
            lambda s: s.save("virtualservice", name="a", pool_ref=reference("pool", "p")),
            lambda s: s.save("virtualservice", name="b", pool_ref=reference("pool", "p")),
        ],
        ["VirtualService b is stored, not forwarded: its network profile System-TCP-Proxy has no dsr_profile"],
    ),
    (
        "the same port of TCP and UDP on one VIP",
        [
            lambda s: s.save("networkprofile", name="udp", profile=udp_profile(snat=False)),
            lambda s: s.dsr(
                services=[
                    {"port": 80},
                    {"port": 80, "override_network_profile_ref": reference("networkprofile", "udp")},
                ]
            ),
        ],
        [],
    ),
    (
        "one port of two that is not forwarded",
        [
            lambda s: s.dsr(
                services=[
                    {"port": 80},
                    {"port": 81, "override_network_profile_ref": reference("networkprofile", "System-TCP-Proxy")},
                ]
            ),
        ],
        ["VirtualService vs1: services[2] is not forwarded: its network profile System-TCP-Proxy has no dsr_profile"],
    ),
    (
        "SNAT, at the profile",
        [lambda s: s.save("networkprofile", name="udp", profile=udp_profile())],
        ["NetworkProfile udp: snat is ignored with direct server return: servers see the client's own address"],
    ),
    (
        "SNAT, at the virtual service",
        [
            lambda s: s.save("networkprofile", name="udp", profile=udp_profile()),
            lambda s: s.dsr(network_profile_ref=reference("networkprofile", "udp")),
        ],
        ["NetworkProfile udp: snat is ignored with direct server return: servers see the client's own address"],
    ),
    (
        "more servers must be up than are enabled",
        [
            lambda s: s.dsr(),
            lambda s: s.save("pool", name=POOL, servers=servers("10.1.1.1"), min_servers_up=2),
            lambda s: s.save("pool", name=POOL, servers=servers("10.1.1.1", "10.1.1.2"), min_servers_up=3),
        ],
        ["Pool vs1-pool: min_servers_up is 3, 2 of its servers are enabled: it stays down"],
    ),
    (
        "a server's port that is not the service's",
        [lambda s: s.dsr(), lambda s: s.save("pool", name=POOL, servers=servers("10.1.1.1", port=8080))],
        [
            "Pool vs1-pool: the port of 10.1.1.1:8080 is not one of VirtualService vs1 (80): direct server return "
            "delivers on the service's own port, the server's port only serves its health monitors"
        ],
    ),
    (
        "a server's port inside the service's range",
        [
            lambda s: s.dsr(services=[{"port": 8000, "port_range_end": 8999}]),
            lambda s: s.save("pool", name=POOL, servers=servers("10.1.1.1", port=8080)),
        ],
        [],
    ),
    (
        "a server's port of no interest",
        [
            lambda s: s.dsr(),
            lambda s: s.save("pool", name=POOL, use_service_port=True, servers=servers("10.1.1.1", port=8080)),
        ],
        [],
    ),
    (
        "a disabled server",
        [
            lambda s: s.dsr(),
            lambda s: s.save("pool", name=POOL, servers=[*servers("10.1.1.1"), *servers("10.1.1.2")], enabled=True),
            lambda s: s.save("pool", name=POOL, servers=[{**servers("10.1.1.1")[0], "enabled": False}]),
        ],
        [],
    ),
    ("layer 3", [lambda s: s.dsr(), lambda s: s.save("networkprofile", name=PROFILE, profile=tcp_profile())], []),
    (
        "a disabled server whose flows may leave",
        [
            lambda s: s.dsr(),
            lambda s: s.save(
                "pool",
                name=POOL,
                graceful_disable_timeout=0,
                servers=[{**servers("10.1.1.1")[0], "enabled": False}],
            ),
        ],
        [],
    ),
    (
        "fields that change nothing here",
        [
            lambda s: s.save("pool", name="p", ignore_server_port=True),
            lambda s: s.save(
                "pool",
                name="p",
                ignore_server_port=True,
                capacity_estimation=True,
                servers=servers("10.1.1.1", port=1),
                fail_action={"type": "FAIL_ACTION_BACKUP_POOL"},
                description="x",
            ),
        ],
        ["Pool p: stored, without effect here: capacity_estimation, fail_action"],
    ),
    (
        "a change after fields that change nothing",
        [
            lambda s: s.save("pool", name="p", servers=[{**servers("10.1.1.1")[0], "static": True}]),
            lambda s: s.save("pool", name="p", servers=[{**servers("10.1.1.1")[0], "static": True}], description="x"),
        ],
        [],
    ),
    (
        "what is hashed, of a pool that does not hash",
        [
            lambda s: s.save(
                "pool", name="p", lb_algorithm="LB_ALGORITHM_ROUND_ROBIN", lb_algorithm_hash=f"{BY_HASH}_AND_PORT"
            )
        ],
        [
            f"Pool p: lb_algorithm_hash {BY_HASH}_AND_PORT has no effect: lb_algorithm is LB_ALGORITHM_ROUND_ROBIN; "
            "direct server return needs lb_algorithm lb_algorithm_consistent_hash"
        ],
    ),
    (
        "round robin alone",
        [lambda s: s.save("pool", name="p", lb_algorithm="LB_ALGORITHM_ROUND_ROBIN")],
        [],
    ),
    (
        "BGP",
        [lambda s: s.save("vrfcontext", name="v", bgp_profile={"local_as": 65000})],
        ["VrfContext v: stored, without effect here: bgp_profile"],
    ),
    (
        "nothing yet to forward",
        [lambda s: s.dsr(pool_ref=None, vsvip_ref=None, services=None)],
        [
            "VirtualService vs1 has no services yet: nothing is forwarded",
            "VirtualService vs1 has no VIP yet: nothing is forwarded",
            "VirtualService vs1 has no pool yet: nothing is forwarded",
        ],
    ),
    (
        "nothing but a ping",
        [
            lambda s: s.dsr(),
            lambda s: s.save("pool", name=POOL, health_monitor_refs=[reference("healthmonitor", "System-Ping")]),
        ],
        [
            "Pool vs1-pool: its health monitor System-Ping proves nothing about the VIP's service: a server whose "
            "kernel answers echo requests is up, whether anything listens on the VIP or not"
        ],
    ),
    (
        "a ping besides",
        [
            lambda s: s.dsr(),
            lambda s: s.save(
                "pool",
                name=POOL,
                health_monitor_refs=[reference("healthmonitor", f"System-{name}") for name in ("Ping", "TCP")],
            ),
        ],
        [],
    ),
    (
        "a monitor that engines do not run, without DSR",
        [
            lambda s: s.save("pool", name="p", health_monitor_refs=[reference("healthmonitor", "System-Ping")]),
            lambda s: s.save("virtualservice", name="v", pool_ref=reference("pool", "p")),
        ],
        ["VirtualService v is stored, not forwarded: its network profile System-TCP-Proxy has no dsr_profile"],
    ),
    (
        "an alternative left behind by the type",
        [
            lambda s: s.save("networkprofile", name="n", profile={"tcp_fast_path_profile": {}}),
            lambda s: s.save(
                "networkprofile",
                name="n",
                profile={"type": "PROTOCOL_TYPE_UDP_FAST_PATH", "tcp_fast_path_profile": {}},
            ),
        ],
        ["NetworkProfile n: profile.tcp_fast_path_profile is dropped: profile.type is PROTOCOL_TYPE_UDP_FAST_PATH now"],
    ),
    (
        "an alternative left behind by another",
        [
            lambda s: s.save("networkprofile", name="n", profile={"tcp_fast_path_profile": {}}),
            lambda s: s.save(
                "networkprofile",
                name="n",
                profile={
                    "type": "PROTOCOL_TYPE_UDP_FAST_PATH",
                    "tcp_fast_path_profile": {},
                    "udp_fast_path_profile": {},
                },
            ),
        ],
        ["NetworkProfile n: profile.tcp_fast_path_profile is dropped: profile.type is PROTOCOL_TYPE_UDP_FAST_PATH now"],
    ),
    (
        "a VIP within its subnet",
        [
            lambda s: s.save(
                "vsvip", name="v", vip=[{"ip_address": address("10.0.0.9"), "subnet": prefix("10.0.0.0/24")}]
            )
        ],
        [],
    ),
    (
        "a VIP of a /31",
        [
            lambda s: s.save(
                "vsvip", name="v", vip=[{"ip_address": address("10.0.0.8"), "subnet": prefix("10.0.0.8/31")}]
            )
        ],
        [],
    ),
]


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
    site.save("virtualservice", name="a")
    site.save("debugvirtualservice", name="a", capture=True)
    stored = site.configuration.find("virtualservice", "a", "admin") or {}
    site.configuration.save("virtualservice", {**stored, "name": "b"}, "admin")
    assert site.configuration.names("debugvirtualservice", "admin") == ["b"]
    site.configuration.delete("virtualservice", "b", "admin")
    assert site.configuration.names("debugvirtualservice", "admin") == []
