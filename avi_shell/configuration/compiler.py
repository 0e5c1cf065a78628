"""Compiles a virtual service, with everything that it refers to, into the plan's services. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256

from avi_shell.configuration import bgp, redundancy
from avi_shell.configuration.assembly import GLOBAL, Assembly, Service, Vip
from avi_shell.configuration.document import (
    ADMIN,
    Document,
    address_text,
    owned_name,
    reference_name,
    target,
    tenant_of,
)
from dataplane import plan
from dataplane.plan.redundancy import Redundancy
from grammar import schema

HASH_KEYS = {
    "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS": plan.BY_ADDRESS,
    "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS_AND_PORT": plan.BY_ADDRESS_AND_PORT,
}
"""The hash keys that engines support: the pool's `lb_algorithm_hash` → the plan's word."""

_FORMER = 16
"""How many former shares a plan carries, for changes that follow one another faster than flows end."""

_ENABLED = "SE_STATE_ENABLED"
_TUNNELS = {"ENCAP_IPINIP": plan.L3_IPIP, "ENCAP_GRE": plan.L3_GRE}


def services(assembly: Assembly, previous: Iterable[plan.Service], commit: int, now: float) -> dict[str, plan.Service]:
    """The planned services of a virtual service, by key: one for each VIP and each service with a `dsr_profile`. While
    its traffic is off: none.

    previous: the services that the plan had for it. From them the pool's table keeps its size; servers that stay keep
    the generation at which they were added (new ones get `commit`) and, while disabled, the time until which they serve
    on. Former shares are kept while their flows may live. now: seconds since the epoch.
    """
    pool = assembly.pool
    if pool is None or not assembly.is_planned:
        return {}
    same_pool = [service for service in previous if service.pool_uuid == pool["uuid"]]
    before = same_pool[0] if same_pool else None
    known = {server.address: server for server in before.servers} if before else {}
    planned = {}
    for vip in assembly.vips:
        for service in assembly.dsr_services:
            servers = _servers(assembly, service, known, commit, now)
            made = _service(assembly, pool, vip, service, before.slots if before else plan.SLOTS, servers)
            planned[made.key] = replace(made, former=former_shares(made, before, now)) if before else made
    return planned


def former_shares(made: plan.Service, before: plan.Service | None, now: float) -> tuple[plan.Former, ...]:
    """The former shares of the pool's table, oldest first. They are kept as long as a flow may be idle; without an idle
    timeout, as long as one of their members may still serve."""
    if before is None:
        return ()
    former = before.former
    if _shares(before) and _shares(before) != _shares(made):
        former = (*former, plan.Former(now, _shares(before)))
    lives = {(s.address, s.generation) for s in made.servers if s.enabled or s.serve_until}
    return tuple(
        one for one in former if (now - one.until < made.idle_timeout if made.idle_timeout else _any_lives(one, lives))
    )[-_FORMER:]


def _any_lives(former: plan.Former, lives: set[tuple[str, int]]) -> bool:
    return any((address, generation) in lives for address, _, generation in former.servers)


def _shares(service: plan.Service) -> tuple[tuple[str, int, int], ...]:
    if not service.pool_enabled:
        return ()
    return tuple((s.address, s.weight, s.generation) for s in service.servers if s.enabled)


def changes(
    planned: Mapping[str, plan.Service], previous: Mapping[str, plan.Service]
) -> tuple[list[plan.Service], list[str]]:
    """The differences from the current plan: services that are new or changed, and the keys of those that are gone."""
    changed = [
        made for key, made in planned.items() if key not in previous or replace(previous[key], version=0) != made
    ]
    return changed, [key for key in previous if key not in planned]


def common(groups: Iterable[Document], engines: Iterable[Document], contexts: Iterable[Document]) -> plan.Common:
    """The plan's common document: driver, announcements, BGP and redundancy of each service engine group; group and
    state of each named engine. contexts: the VRF contexts; a group's BGP is in `global` of its cloud."""
    named = {owned_name(group["name"], tenant_of(group), reference_name(group["cloud_ref"])): group for group in groups}
    drivers = {name: group.get("se_use_dpdk", 0) for name, group in named.items()}
    pmds, workers, queues = (
        {name: group[field] for name, group in named.items() if group.get(field, default) != default}
        for field, default in (("se_dpdk_pmd", 0), ("num_dispatcher_cores", 0), ("max_queues_per_vnic", 1))
    )
    announcing = {
        name: group["gratarp_permanent_periodicity"] * 60.0
        for name, group in named.items()
        if group.get("enable_gratarp_permanent")
    }
    speaking = {
        reference_name(context["cloud_ref"]): context
        for context in contexts
        if (context["name"], tenant_of(context)) == (GLOBAL, ADMIN) and "bgp_profile" in context
    }
    speakers = {
        name: bgp.speakers(speaking[cloud])
        for name, group in named.items()
        if (cloud := reference_name(group["cloud_ref"])) in speaking
    }
    standing_in = {name: redundancy.of_group(group) for name, group in named.items()}
    usual = Redundancy()
    known = list(engines)
    return plan.Common(
        drivers,
        {engine["name"]: _group(engine) for engine in known},
        pmds=pmds,
        workers=workers,
        queues=queues,
        announcing=announcing,
        bgp=speakers,
        redundancy={name: one for name, one in standing_in.items() if one != usual},
        disabled={
            engine["name"]: state for engine in known if (state := engine.get("enable_state", _ENABLED)) != _ENABLED
        },
    )


def seed_of(pool_uuid: str) -> int:
    """The seed of a pool's table, 32 bits: the same wherever and whenever it is computed."""
    return int.from_bytes(sha256(pool_uuid.encode()).digest()[:4], "big")


def _service(
    assembly: Assembly, pool: Document, vip: Vip, service: Service, slots: int, servers: tuple[plan.Server, ...]
) -> plan.Service:
    document, fast_path, dsr = assembly.document, service.fast_path, service.dsr or {}
    layer_2 = dsr["dsr_type"] == "DSR_TYPE_L2"
    first, last = service.ports
    return plan.Service(
        virtualservice=assembly.name,
        uuid=document["uuid"],
        tenant=tenant_of(document),
        vip=vip.address,
        protocol=service.protocol,
        port=first,
        port_end=last,
        mode=plan.L2 if layer_2 else _TUNNELS[dsr["dsr_encap_type"]],
        hash_key=HASH_KEYS[pool["lb_algorithm_hash"]],
        idle_timeout=fast_path["session_idle_timeout"],
        pool=pool["name"],
        pool_uuid=pool["uuid"],
        slots=slots,
        servers=servers,
        seed=seed_of(pool["uuid"]),
        group=_group(document),
        enabled=document["enabled"] and vip.document["enabled"],
        pool_enabled=pool["enabled"],
        advertise_down=document["advertise_down_vs"],
        per_packet=fast_path.get("per_pkt_loadbalance", False),
        monitors=tuple(_monitor(monitor) for monitor in assembly.monitors),
        monitors_needed=pool.get("min_health_monitors_up", 0),
        servers_needed=pool.get("min_servers_up", 0),
        pool_tenant=tenant_of(pool) if tenant_of(pool) != tenant_of(document) else "",
        route=bgp.route(assembly, vip.address),
        tag=2 if document.get("active_standby_se_tag") == "ACTIVE_STANDBY_SE_2" else 1,
    )


def _servers(
    assembly: Assembly, service: Service, known: Mapping[str, plan.Server], commit: int, now: float
) -> tuple[plan.Server, ...]:
    pool = assembly.pool or {}
    service_port = service.ports[0] if pool.get("use_service_port") else 0
    found = []
    for server in assembly.members:
        address = address_text(server["ip"])
        port = service_port or assembly.server_port(server)
        before = known.get(address)
        generation = before.generation if before else commit
        until = 0.0
        if not server["enabled"]:
            until = _serve_until(pool, before, now)
        found.append(plan.Server(address, port, server["ratio"], server["enabled"], generation, until))
    return tuple(found)


def _serve_until(pool: Document, before: plan.Server | None, now: float) -> float:
    """Until when a disabled server's flows may go on (`graceful_disable_timeout`, minutes), counted from the commit
    that disabled it. A server that was never enabled has no flows."""
    if before is None:
        return 0.0
    if not before.enabled:
        return before.serve_until
    minutes = pool["graceful_disable_timeout"]
    return plan.FOR_EVER if minutes < 0 else now + minutes * 60 if minutes else 0.0


def _monitor(monitor: Document) -> plan.Monitor:
    kind = monitor["type"].removeprefix("HEALTH_MONITOR_").lower()
    talk = monitor.get(f"{kind}_monitor", {})
    return plan.Monitor(
        name=monitor["name"],
        type=monitor["type"],
        send_interval=monitor["send_interval"],
        receive_timeout=monitor["receive_timeout"],
        successful_checks=monitor["successful_checks"],
        failed_checks=monitor["failed_checks"],
        port=monitor.get("monitor_port", 0),
        quickstart=not monitor.get("disable_quickstart", False),
        request=talk.get(f"{kind}_request", _http_request() if kind == "http" else ""),
        response=talk.get(f"{kind}_response", ""),
        maintenance=talk.get("maintenance_response", ""),
        half_open=talk.get("tcp_half_open", False),
        codes=tuple(talk.get("http_response_code", ())),
        maintenance_codes=tuple(talk.get("maintenance_code", ())),
        exact=talk.get("exact_http_request", False),
        body=talk.get("http_request_body", ""),
        response_size=talk.get("response_size", 0),
        script=talk.get("command_code", ""),
        parameters=talk.get("command_parameters", ""),
        variables=talk.get("command_variables", ""),
    )


def _http_request() -> str:
    """The request of an HTTP monitor that has no `http_monitor`: the model's default."""
    return str(schema.kind("healthmonitor").messages["HealthMonitorHttp"].fields["http_request"].default)


def _group(document: Document) -> str:
    group = target(document["se_group_ref"])
    return owned_name(group.name, group.tenant, group.cloud)
