"""Sessions whose last step a rule refuses: a table of data for `test_rules`."""

from avi_shell.configuration.document import Document, reference

from .addresses import address, prefix
from .conftest import udp_profile
from .rulesamples import HASH, POOL, PROFILE, SERVICE, VIP, Step, l2, monitor, servers


def saved(vip: Document) -> list[Step]:
    """Save a VIP of one address."""
    return [lambda site: site.save("vsvip", name="v", vip=[vip])]


def engine(name: str) -> Step:
    """Save an engine of the group g."""
    return lambda site: site.save("serviceengine", name=name, se_group_ref=reference("serviceenginegroup", "g"))


PAIR = "HA_MODE_LEGACY_ACTIVE_STANDBY"
REFUSED: list[tuple[str, list[Step], str, str]] = [
    # what is tried | the last step is refused | the field it points at | what the refusal says
    (
        "a variable of the dynamic loader",
        [
            lambda s: s.save(
                "healthmonitor",
                name="m",
                type="HEALTH_MONITOR_EXTERNAL",
                external_monitor={"command_code": "echo", "command_variables": "A=b LD_PRELOAD=/tmp/x.so"},
            )
        ],
        "external_monitor.command_variables",
        r"HealthMonitor m: command_variables has LD_PRELOAD, which steers the dynamic loader or the C library",
    ),
    (
        "a word that is no variable",
        [
            lambda s: s.save(
                "healthmonitor",
                name="m",
                type="HEALTH_MONITOR_EXTERNAL",
                external_monitor={"command_code": "echo", "command_variables": "A=b 'c"},
            )
        ],
        "external_monitor.command_variables",
        r"HealthMonitor m: command_variables: No closing quotation",
    ),
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
        "a VIP that is a service engine's interface",
        [
            lambda s: s.save(
                "serviceengine",
                name="se1",
                data_vnics=[
                    {
                        "mac_address": "02:00:00:00:00:01",
                        "vnic_networks": [{"ip": {"ip_addr": address("10.0.0.100"), "mask": 24}}],
                    }
                ],
            ),
            lambda s: s.dsr(),
        ],
        "vsvip_ref",
        r"10\.0\.0\.100 is a VIP of VirtualService vs1 and a service engine's own address in ServiceEngine se1",
    ),
    (
        "traffic in another VRF context",
        [
            lambda s: s.save("vrfcontext", name="blue"),
            lambda s: s.dsr(vrf_context_ref=reference("vrfcontext", "blue")),
        ],
        "vrf_context_ref",
        r"its VRF context is blue; service engines forward in the VRF context global alone",
    ),
    (
        "the same port in the VRF contexts global of two clouds: engines share one plan",
        [
            lambda s: s.save("cloud", name="lx", vtype="CLOUD_LINUXSERVER"),
            lambda s: s.configuration.save(
                "vrfcontext", {"name": "global", "cloud_ref": reference("cloud", "lx")}, "admin"
            ),
            lambda s: s.dsr(),
            lambda s: s.dsr(
                "vs2", cloud_ref=reference("cloud", "lx"), vrf_context_ref=reference("vrfcontext", "global", cloud="lx")
            ),
        ],
        "services[1].port",
        r"tcp port 80 of VIP 10\.0\.0\.100 belongs to VirtualService vs1",
    ),
    *(
        (
            f"the VIP {bad}",
            saved({"ip_address": address(bad)}),
            "vip[1].ip_address",
            rf"vip\[1\].ip_address is {bad}, which no VIP can be",
        )
        for bad in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255")
    ),
    *(
        (
            f"the VIP {bad} of 10.0.0.0/24",
            saved({"ip_address": address(bad), "subnet": prefix("10.0.0.0/24")}),
            "vip[1].ip_address",
            r"network or broadcast address of its subnet 10\.0\.0\.0/24",
        )
        for bad in ("10.0.0.0", "10.0.0.255")
    ),
    (
        "two modes to one pool, at the virtual service",
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
    (
        "more engines at least than at most",
        [lambda s: s.save("serviceenginegroup", name="g", min_scaleout_per_vs=5)],
        "max_scaleout_per_vs",
        r"ServiceEngineGroup g: min_scaleout_per_vs is 5, max_scaleout_per_vs 4",
    ),
    (
        "active engines of which there is one",
        [lambda s: s.save("serviceenginegroup", name="g", ha_mode="HA_MODE_SHARED_PAIR", max_scaleout_per_vs=1)],
        "max_scaleout_per_vs",
        r"with ha_mode HA_MODE_SHARED_PAIR a virtual service has two engines at least, and max_scaleout_per_vs is 1",
    ),
    (
        "a third engine of a pair, at the engine",
        [lambda s: s.save("serviceenginegroup", name="g", ha_mode=PAIR), *map(engine, "abc")],
        "se_group_ref",
        r"ServiceEngineGroup g: with ha_mode HA_MODE_LEGACY_ACTIVE_STANDBY it has two engines, and engine c would be "
        r"one more than a, b",
    ),
    (
        "a third engine of a pair, at the group",
        [
            lambda s: s.save("serviceenginegroup", name="g"),
            *map(engine, "abc"),
            lambda s: s.save("serviceenginegroup", name="g", ha_mode=PAIR),
        ],
        "ha_mode",
        r"it has two engines, not a, b, c",
    ),
    (
        "a pair by its older name",
        [lambda s: s.save("serviceenginegroup", name="g", active_standby=True), *map(engine, "abc")],
        "se_group_ref",
        r"it has two engines, and engine c would be one more than a, b",
    ),
    (
        "an engine of a pair that is disabled",
        [
            lambda s: s.save("serviceenginegroup", name="g", ha_mode=PAIR),
            engine("a"),
            lambda s: s.save("serviceengine", name="a", enable_state="SE_STATE_DISABLED"),
        ],
        "enable_state",
        r"ServiceEngine a: an engine of a pair \(ServiceEngineGroup g, .*\) cannot have enable_state SE_STATE_DISABLED",
    ),
]
