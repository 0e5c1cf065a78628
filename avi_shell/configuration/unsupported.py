"""The only list of what the model allows but this product's engines cannot do yet; a save refuses it or gives a notice.

A row is a condition and a sentence. When an engine learns something, its row goes; nothing else refers to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from avi_shell.configuration.assembly import GLOBAL, Assembly, Part, Service
from avi_shell.configuration.breach import Breach
from dataplane import plan


def exceeded(assembly: Assembly) -> Iterator[Breach]:
    """Every limit that a virtual service with direct server return is beyond."""
    if assembly.is_dsr:
        yield from _vrfs(assembly)
        yield from _modes(assembly)
        yield from _monitors(assembly)
        yield from _pools(assembly)


def _vrfs(assembly: Assembly) -> Iterator[Breach]:
    """Engines forward in one network, the VRF context `global`; what takes no traffic may be of any."""
    if assembly.has_traffic and assembly.vrf.name != GLOBAL:
        yield Breach(
            f"{assembly.title}: its VRF context is {assembly.vrf.name}; service engines forward in the VRF context "
            f"{GLOBAL} alone",
            (assembly.part("vrf_context_ref"), assembly.part("traffic_enabled")),
            f"vrf_context_ref {GLOBAL}; or no traffic_enabled, to store it without forwarding",
        )


def _modes(assembly: Assembly) -> Iterator[Breach]:
    """A pool's servers are reached in one mode."""
    modes = {_mode(service) for service in assembly.dsr_services}
    if len(modes) > 1:
        service = next(s for s in assembly.dsr_services if _mode(s) != _mode(assembly.dsr_services[0]))
        yield Breach(
            f"{assembly.title}: its services reach one pool by {' and '.join(sorted(modes))}, which service engines do "
            "not do yet",
            (service.profile_part, assembly.part(f"services[{service.index}]")),
            "network profiles with one dsr_type and dsr_encap_type for all services",
        )


def _mode(service: Service) -> str:
    dsr = service.dsr or {}
    return str(dsr["dsr_type"] if dsr["dsr_type"] == "DSR_TYPE_L2" else f"{dsr['dsr_type']} {dsr['dsr_encap_type']}")


def _monitors(assembly: Assembly) -> Iterator[Breach]:
    for index, monitor in enumerate(assembly.monitors, 1):
        name = str(monitor.get("name", ""))
        place = assembly.pool_part(f"health_monitor_refs[{index}]")
        title = f"{assembly.title}: health monitor {name} of its pool {place.name}"
        if monitor.get("type") not in plan.MONITORS:
            yield Breach(
                f"{title} is of type {monitor.get('type')}, which service engines do not run yet with direct server "
                "return",
                (place, Part("healthmonitor", name, "type")),
                f"a health monitor of type {' or '.join(type_.lower() for type_ in plan.MONITORS)}",
            )
        elif monitor["type"] == plan.MONITOR_EXTERNAL and any(
            (service.dsr or {}).get("dsr_type") != "DSR_TYPE_L2" for service in assembly.dsr_services
        ):
            yield Breach(
                f"{title} is a script, which service engines cannot lead into a tunnel of layer 3 yet",
                (place, Part("healthmonitor", name, "type")),
                "with layer 3 a health monitor of type health_monitor_tcp, _udp, _ping or _http",
            )


def _pools(assembly: Assembly) -> Iterator[Breach]:
    for field in ("pool_group_ref", "service_pool_select"):
        if assembly.document.get(field):
            yield Breach(
                f"{assembly.title}: {field} chooses between pools, which service engines do not do yet with direct "
                "server return",
                (assembly.part(field),),
                "pool_ref alone",
            )
