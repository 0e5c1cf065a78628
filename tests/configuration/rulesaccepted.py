"""Sessions that every rule accepts, and the notices of their last step: a table of data for `test_rules`."""

from avi_shell.configuration.document import reference

from .addresses import address, prefix
from .conftest import tcp_profile, udp_profile
from .rulesamples import BY_HASH, HASH, POOL, PROFILE, Step, servers

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
        "servers that are not IPv4",
        [lambda s: s.save("pool", name="p", servers=servers("10.1.1.1", "2001:db8::1", "web.example"))],
        [
            "Pool p: servers[2].ip is 2001:db8::1, servers[3].ip is web.example: stored, not for direct server return, "
            "which needs IPv4 addresses; a virtual service that has it is refused"
        ],
    ),
    (
        "many servers that are not IPv4",
        [lambda s: s.save("pool", name="p", servers=servers(*(f"2001:db8::{n}" for n in range(1, 10))))],
        [
            "Pool p: servers[1].ip is 2001:db8::1, servers[2].ip is 2001:db8::2, servers[3].ip is 2001:db8::3, "
            "servers[4].ip is 2001:db8::4 and 5 more: stored, not for direct server return, which needs IPv4 "
            "addresses; a virtual service that has it is refused"
        ],
    ),
    (
        "a VIP that has an IPv6 address, too",
        [
            lambda s: s.save(
                "vsvip", name="v", vip=[{"ip_address": address("10.1.1.1"), "ip6_address": address("2001:db8::1")}]
            )
        ],
        [
            "VsVip v: vip[1].ip6_address is 2001:db8::1: stored, not for direct server return, which needs IPv4 "
            "addresses; a virtual service that has it is refused"
        ],
    ),
    (
        "a monitor that waits longer than its interval",
        [lambda s: s.save("healthmonitor", name="m", type="HEALTH_MONITOR_TCP", send_interval=3)],
        [
            "HealthMonitor m: receive_timeout is 4 sec, send_interval 3 sec: where a server is silent, the next probe "
            "begins before one has ended"
        ],
    ),
    (
        "a monitor that waits as long as its interval",
        [lambda s: s.save("healthmonitor", name="m", type="HEALTH_MONITOR_TCP", send_interval=2, receive_timeout=2)],
        [],
    ),
    (
        "round robin alone",
        [lambda s: s.save("pool", name="p", lb_algorithm="LB_ALGORITHM_ROUND_ROBIN")],
        [],
    ),
    (
        "BGP",
        [lambda s: s.save("vrfcontext", name="v", bgp_profile={"local_as": 65000})],
        ["VrfContext v: bgp_profile has no effect: service engines forward in the VRF context global alone"],
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
    (
        "a second VIP of a virtual service in use",
        [
            lambda s: s.dsr(),
            lambda s: s.save(
                "vsvip",
                name="vs1-vip",
                vip=[{"ip_address": address("10.0.0.100")}, {"ip_address": address("10.0.0.101")}],
            ),
        ],
        [
            "VirtualService vs1: servers of pool vs1-pool that do not have the VIP 10.0.0.101 yet are down for it, and "
            "for it alone; prepare them first: avi-server apply --vip 10.0.0.101 --mode l2 --interface IF "
            "(show pool vs1-pool server-setup)"
        ],
    ),
    (
        "a second VIP of a virtual service that is switched off",
        [
            lambda s: s.dsr(enabled=False),
            lambda s: s.save(
                "vsvip",
                name="vs1-vip",
                vip=[{"ip_address": address("10.0.0.100")}, {"ip_address": address("10.0.0.101")}],
            ),
        ],
        [],
    ),
]
