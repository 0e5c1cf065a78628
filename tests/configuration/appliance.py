"""An export as the appliance writes one: two clouds that use the same names, two tenants, and kinds that this product
does not have. `meant` is what it says, in this product's own words; `written` says the same in all the forms that
protobuf's JSON mapping and the appliance's references have."""

from __future__ import annotations

import random
from typing import Any

from avi_shell.configuration.document import Document, copy, reference, target
from grammar import schema

from .addresses import address, prefix

HOST = "https://10.1.1.1"
CLOUDS = ("Default-Cloud", "linux")
SECRET = "of the peers"
UNKNOWN: dict[str, Any] = {
    "WafPolicy": [{"name": "w", "uuid": "wafpolicy-1", "paranoia_level": "1", "crs_groups": None}],
    "StringGroup": [{"name": "a", "kv": [{"key": "k", "value": ""}]}, {"name": "b", "tenant_ref": f"{HOST}/x#y"}],
    "SystemConfiguration": {"uuid": "default", "dns_configuration": {"server_list": []}},
}
"""Kinds of which nothing is known: they come back as they came."""


def meant() -> dict[str, list[Document]]:
    """The objects, by kinds."""
    data: dict[str, list[Document]] = {name: [] for name in schema.SEGMENTS.values()}
    data["Tenant"] += [{"name": "admin", "uuid": "admin"}, {"name": "t1", "local": False, "description": "one"}]
    access = {"privilege": "WRITE_ACCESS", "username": "u", "vcenter_url": "10.9.9.9", "password": "secret"}
    data["Cloud"] += [
        {"name": "Default-Cloud", "vtype": "CLOUD_VCENTER", "vcenter_configuration": access},
        {
            "name": "linux",
            "vtype": "CLOUD_LINUXSERVER",
            "mtu": 9000,
            "linuxserver_configuration": {
                "hosts": [{"host_ip": address("10.7.0.1"), "se_group_ref": at("serviceenginegroup", "grp", "linux")}],
                "se_inband_mgmt": True,
            },
        },
    ]
    dsr: Document = {"dsr_profile": {"dsr_type": "DSR_TYPE_L2", "dsr_encap_type": "ENCAP_GRE"}}
    data["NetworkProfile"] += [
        profile("dsr", "TCP_FAST_PATH", session_idle_timeout=600, **dsr),
        profile("udp", "UDP_FAST_PATH", per_pkt_loadbalance=True, snat=False, **dsr),
        profile("proxy", "TCP_PROXY", receive_window=128, slow_start_scaling_factor=2),
    ]
    data["ApplicationProfile"] += [
        {"name": "l4", "type": "APPLICATION_PROFILE_TYPE_L4", "preserve_client_ip": False},
        {"name": "web", "type": "APPLICATION_PROFILE_TYPE_HTTP", "http_profile": {"x_forwarded_proto_enabled": "1"}},
    ]
    data["HealthMonitor"] += [
        monitor("tcp", tcp_monitor={"tcp_half_open": True, "tcp_request": "GET\\n"}, monitor_port=8080),
        monitor("http", http_monitor={"http_response_code": ["HTTP_2XX", "HTTP_3XX"], "maintenance_code": [503, 504]}),
        monitor("udp", udp_monitor={"udp_request": "12", "udp_response": "true"}, send_interval=3),
        monitor("ping", failed_checks=5),
        monitor("external", external_monitor={"command_code": "#!/bin/sh\nexit 0\n", "command_variables": "A=1"}),
    ]
    for number, cloud in enumerate(CLOUDS):
        for name, objects in in_cloud(number, cloud).items():
            data[name] += objects
    own = {"tenant_ref": reference("tenant", "t1"), "cloud_ref": reference("cloud", "Default-Cloud")}
    data["Pool"].append({"name": "x", **own, "enabled": False})
    data["VirtualService"].append({"name": "x", **own, "pool_ref": reference("pool", "x", "t1"), "enabled": False})
    for name, objects in data.items():
        for one_of in objects:
            segment = name.lower()
            if not one_of["name"].startswith("vsvip-old-"):
                one_of.setdefault("uuid", f"{segment}-{len(objects):04}-{objects.index(one_of):04}")
            if segment != "tenant":
                one_of.setdefault("tenant_ref", reference("tenant", "admin"))
    return data


def in_cloud(number: int, cloud: str) -> dict[str, list[Document]]:
    """The objects of one cloud; those of the other have the same names."""
    servers: list[Document] = [{"ip": address(f"10.{number}.1.{n}"), "port": 8000 + n, "ratio": n} for n in (1, 2, 3)]
    servers[1] |= {"enabled": False, "hostname": "two.example"}
    dsr = {"network_profile_ref": reference("networkprofile", "dsr")}
    dsr |= {"application_profile_ref": reference("applicationprofile", "l4")}
    route = {"prefix": prefix(f"10.{number + 50}.0.0/16"), "next_hop": address(f"10.{number}.0.1"), "route_id": "7"}
    peer = {"peer_ip": address(f"10.{number}.0.2"), "md5_secret": SECRET, "bfd": False, "remote_as": 65001}
    vip = {"vip_id": "1", "ip_address": address(f"10.{number}.0.100"), "subnet": prefix(f"10.{number}.0.0/24")}
    old = {"vip_id": "3", "ip_address": address(f"10.{number}.0.103")}
    hashed = {"lb_algorithm": "LB_ALGORITHM_CONSISTENT_HASH"}
    hashed |= {"lb_algorithm_hash": "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS_AND_PORT"}
    monitors = [reference("healthmonitor", name) for name in ("tcp", "http")]
    data: dict[str, list[Document]] = {
        "VrfContext": [
            {"name": "global", "static_routes": [route], "lldp_enable": False},
            {"name": "tier2", "bgp_profile": {"local_as": 65000, "ibgp": False, "peers": [peer], "community": ["1:2"]}},
        ],
        "ServiceEngineGroup": [
            {"name": "grp", "se_use_dpdk": number + 1, "max_se": 4, "extra_config_multiplier": 0.5},
            {"name": "Default-Group", "memory_per_se": 4096},
        ],
        "ServiceEngine": [{"name": "se-1", "se_group_ref": at("serviceenginegroup", "grp", cloud)}],
        "Pool": [
            {"name": "x", **hashed, "servers": servers, "health_monitor_refs": monitors, "use_service_port": True},
            {"name": "x2", **hashed, "servers": servers[:1], "graceful_disable_timeout": -1},
            {"name": "y", "lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN", "unknown_field": {"a": ["1", None, True]}},
        ],
        "VsVip": [
            {"name": "x", "vip": [vip]},
            {"name": f"vsvip-old-{cloud}", "vip": [old]},
        ],
        "VirtualService": [
            {"name": "x", **dsr, "pool_ref": at("pool", "x", cloud), "vsvip_ref": at("vsvip", "x", cloud)},
            {"name": "off", **dsr, "pool_ref": at("pool", "x2", cloud), "vsvip_ref": at("vsvip", "x", cloud)},
            {"name": "old", "vsvip_ref": at("vsvip", f"vsvip-old-{cloud}", cloud), "description": "of release 16"},
        ],
        "DebugVirtualService": [{"name": "x", "flags": [{"flag": "DEBUG_VS_TCP_ALL"}], "debug_hm": "DEBUG_VS_HM_ONLY"}],
    }
    live, off, inline = data["VirtualService"]
    udp = {"port": 53, "port_range_end": 63, "override_network_profile_ref": reference("networkprofile", "udp")}
    live |= {"services": [{"port": 80 + number}, udp], "se_group_ref": at("serviceenginegroup", "grp", cloud)}
    off |= {"services": [{"port": 80 + number}], "traffic_enabled": False}
    off |= {"vrf_context_ref": at("vrfcontext", "tier2", cloud)}
    inline |= {"services": [{"port": 443, "enable_ssl": True}]}
    for segment, objects in data.items():
        for index, one_of in enumerate(objects):
            one_of["cloud_ref"] = reference("cloud", cloud)
            if one_of["name"] != f"vsvip-old-{cloud}":  # which is made here
                one_of["uuid"] = f"{segment.lower()}-{number}-{index}"
    data["DebugVirtualService"][0]["uuid"] = f"debug{live['uuid']}"
    return data


def at(segment: str, name: str, cloud: str) -> str:
    """A reference to an object of a cloud, as an export has it."""
    ref = reference(segment, name, "admin", cloud)
    return ref if "&cloud=" in ref else f"{ref}&cloud=Default-Cloud"


def profile(name: str, of: str, **fields: Any) -> Document:
    """A network profile."""
    return {"name": name, "profile": {"type": f"PROTOCOL_TYPE_{of}", f"{of.lower()}_profile": fields}}


def monitor(name: str, **fields: Any) -> Document:
    """A health monitor that is called as its type."""
    return {"name": name, "type": f"HEALTH_MONITOR_{name.upper()}", **fields}


def written(chance: random.Random) -> dict[str, Any]:
    """The export."""
    data = meant()
    uuids = {}
    for name, objects in data.items():
        for one_of in objects:
            place = target(f"/api/{name.lower()}/?name={one_of['name']}")
            tenant = target(one_of["tenant_ref"]).name if "tenant_ref" in one_of else "admin"
            cloud = target(one_of["cloud_ref"]).name if "cloud_ref" in one_of else ""
            uuids[place._replace(tenant=tenant, cloud=cloud)] = one_of.get("uuid")
    inline = {name: next(v for v in data["VsVip"] if v["name"] == name) for name in (f"vsvip-old-{c}" for c in CLOUDS)}
    data["VsVip"] = [one_of for one_of in data["VsVip"] if one_of["name"] not in inline]
    for service in data["VirtualService"]:
        if service["name"] == "old":
            service["vip"] = inline[target(service.pop("vsvip_ref")).name]["vip"]
    for debug in data["DebugVirtualService"]:
        debug["uuid"] = debug["uuid"].removeprefix("debug")  # the appliance gives it that of its virtual service

    def ref(value: str) -> str:
        known = target(value)
        uuid = uuids.get(known)
        forms = [value, f"{HOST}{value}", f"{HOST}{value}#{known.name}", f"/api/{known.kind}?{value.partition('?')[2]}"]
        if uuid is not None:
            forms += [f"{HOST}/api/{known.kind}/{uuid}#{known.name}", f"/api/{known.kind}/{uuid}"] * 2
        return chance.choice(forms)

    def scalar(field: schema.Field, value: Any) -> Any:
        if field.type == "ref":
            return ref(value)
        if field.type == "enum":
            words = schema.enums()[field.enum or ""]
            return chance.choice([value, words.index(value), value.lower()])
        if field.type == "bool":
            return chance.choice([value, str(value), str(value).lower()])
        if field.type in schema.INTEGERS:
            return chance.choice([value, str(value), float(value), f"{value}.0"])
        if field.type in ("float", "double"):
            return chance.choice([value, str(value), f"{value:e}"])
        return int(value) if value.isdecimal() and value == str(int(value)) and chance.random() < 0.5 else value

    def message(kind: schema.Kind, of: schema.Message, document: Document) -> Document:
        made: Document = {}
        for name, value in document.items():
            field = of.fields.get(name)
            inner = kind.message(field) if field is not None else None
            if field is None or field.scope == "carried" or name in ("name", "uuid"):
                made[name] = value
            elif isinstance(value, list):
                made[name] = [message(kind, inner, v) if inner else scalar(field, v) for v in value]
            else:
                made[name] = message(kind, inner, value) if inner else scalar(field, value)
        absent = [name for name in of.fields if name not in document and name not in ("uuid", "name", "type", "vip")]
        made.update(dict.fromkeys(chance.sample(absent, min(2, len(absent)))))  # null: not there
        items = list(made.items())
        chance.shuffle(items)
        return dict(items)

    made: dict[str, Any] = {"META": {"version": {"Version": "22.1.4"}}, **copy(UNKNOWN)}
    for name, objects in data.items():
        kind = schema.kind(name.lower())
        made[name] = [message(kind, kind.root, one_of) for one_of in objects]
        chance.shuffle(made[name])
    return made
