"""A virtual service with everything that it refers to, for rules, notices and the compiler. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from avi_shell.configuration.document import Document, Target, address_text, target

FAST_PATHS = {
    "PROTOCOL_TYPE_TCP_FAST_PATH": "tcp_fast_path_profile",
    "PROTOCOL_TYPE_UDP_FAST_PATH": "udp_fast_path_profile",
}
"""The types of network profiles that can hold a `dsr_profile`, each with the message that holds it."""

GLOBAL = "global"
"""The VRF context in which engines forward."""

Lookup = Callable[[str], Document | None]
"""A stored document by reference; None where it is not stored."""


Holding = tuple[str, str]
"""Something that an object holds: its role, and the value."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Ports of a VIP that a virtual service takes."""

    vrf: str  # its VRF context
    vip: str  # its address
    protocol: str  # "tcp", "udp" or "sctp"
    port: int  # the first
    port_end: int  # the last


class Part(NamedTuple):
    """A field of an object, as the subject of a rule."""

    segment: str  # the object's kind; "" = no object
    name: str  # the object's
    path: str  # the field's


@dataclass(frozen=True, slots=True)
class Vip:
    """A VIP of a virtual service."""

    document: Document  # the model's message `Vip`
    part: Part  # the field that configures it
    address: str = field(init=False)  # as text, "" where it has none

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", address_text(self.document.get("ip_address", {})))


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of `services` with its effective profiles."""

    index: int  # from 1
    document: Document  # the model's message `Service`
    profile: Document  # its network profile
    profile_part: Part  # the reference that chose it
    application: Document  # its application profile
    application_part: Part  # the reference that chose it

    # its profile's fast-path message, {} where it is of another type
    fast_path: Document = field(init=False)
    dsr: Document | None = field(init=False)  # its `dsr_profile`, None without one

    def __post_init__(self) -> None:
        inner = self.profile.get("profile", {})
        found = inner.get(FAST_PATHS.get(inner.get("type", ""), ""), {})
        object.__setattr__(self, "fast_path", found if isinstance(found, dict) else {})
        object.__setattr__(self, "dsr", self.fast_path.get("dsr_profile"))

    @property
    def protocol(self) -> str:
        """The protocol that its ports are of: "tcp", "udp" or "sctp"."""
        type_: str = self.profile.get("profile", {}).get("type", "PROTOCOL_TYPE_TCP_PROXY")
        return type_.split("_")[2].lower()

    @property
    def ports(self) -> tuple[int, int]:
        """First and last port."""
        first: int = self.document["port"]
        last: int = self.document.get("port_range_end", first)
        return first, last


@dataclass(frozen=True, slots=True)
class Assembly:
    """A virtual service with its parts."""

    document: Document  # the virtual service
    profile: Document  # the network profile of the whole virtual service
    application: Document  # the application profile of the whole virtual service
    services: tuple[Service, ...]  # in the order of the virtual service
    vips: tuple[Vip, ...]  # the VIPs of its VsVip, else its own
    pool: Document | None  # None = it names none
    monitors: tuple[Document, ...]  # in the pool's order
    cloud: Document  # in which it stands
    context: Document  # its VRF context
    holder: Document  # its VsVip, else itself
    dsr_services: tuple[Service, ...] = field(init=False)  # the services that are forwarded by direct server return
    # whether the rules of direct server return apply: a service has a `dsr_profile`, or would get one
    is_dsr: bool = field(init=False)
    vrf: Target = field(init=False)  # its VRF context
    has_traffic: bool = field(init=False)  # whether it takes traffic; only then no other may have its VIPs and ports
    is_planned: bool = field(init=False)  # whether engines get it: it is in a VRF context `global`

    def __post_init__(self) -> None:
        chosen = tuple(service for service in self.services if service.dsr is not None)
        object.__setattr__(self, "dsr_services", chosen)
        object.__setattr__(self, "is_dsr", bool(chosen or not (self.services or self._whole.dsr is None)))
        object.__setattr__(self, "vrf", target(self.document["vrf_context_ref"]))
        object.__setattr__(self, "has_traffic", bool(self.document["traffic_enabled"]))
        object.__setattr__(self, "is_planned", self.is_dsr and self.has_traffic and self.vrf.name == GLOBAL)

    @property
    def name(self) -> str:
        """The virtual service's name."""
        return str(self.document["name"])

    @property
    def title(self) -> str:
        """Its name in refusals and notices."""
        return f"VirtualService {self.name}"

    def part(self, path: str) -> Part:
        """A field of the virtual service itself."""
        return Part("virtualservice", self.name, path)

    def holder_part(self, path: str) -> Part:
        """A field of the object that has its VIPs."""
        segment = "vsvip" if "vsvip_ref" in self.document else "virtualservice"
        return Part(segment, str(self.holder.get("name", "")), path)

    def pool_part(self, path: str) -> Part:
        """A field of its pool."""
        return Part("pool", self.pool["name"] if self.pool else "", path)

    @property
    def _whole(self) -> Service:
        """A service as it would be without profiles of its own."""
        return Service(0, {}, self.profile, self.part("network_profile_ref"), {}, self.part(""))

    @property
    def members(self) -> Sequence[Document]:
        """The pool's servers."""
        found: Sequence[Document] = (self.pool or {}).get("servers", ())
        return found

    def servers(self) -> Iterator[tuple[Part, Document]]:
        """The pool's servers and where each is configured."""
        for index, server in enumerate(self.members, 1):
            yield self.pool_part(f"servers[{index}]"), server

    def server_port(self, server: Document) -> int:
        """The port that a server's monitors probe."""
        return int(server.get("port") or (self.pool or {}).get("default_server_port", 80))


def assemble(document: Document, lookup: Lookup) -> Assembly:
    """Join a virtual service with what it refers to."""
    name = document["name"]
    profile, part = document.get("network_profile_ref", ""), Part("virtualservice", name, "network_profile_ref")
    application = document.get("application_profile_ref", "")
    application_part = Part("virtualservice", name, "application_profile_ref")
    services = []
    for index, service in enumerate(document.get("services", ()), 1):
        own, own_application = "override_network_profile_ref", "override_application_profile_ref"
        place = f"services[{index}]."
        services.append(
            Service(
                index,
                service,
                lookup(service.get(own, profile)) or {},
                Part("virtualservice", name, place + own) if own in service else part,
                lookup(service.get(own_application, application)) or {},
                Part("virtualservice", name, place + own_application)
                if own_application in service
                else application_part,
            )
        )
    pool = lookup(document["pool_ref"]) if "pool_ref" in document else None
    holder, segment = document, "virtualservice"  # its own VIPs count if it names no VsVip
    if "vsvip_ref" in document:
        holder, segment = lookup(document["vsvip_ref"]) or {}, "vsvip"
    monitors = [lookup(ref) or {} for ref in (pool or {}).get("health_monitor_refs", ())]
    return Assembly(
        document,
        lookup(profile) or {},
        lookup(application) or {},
        tuple(services),
        _vips(segment, holder),
        pool,
        tuple(monitors),
        lookup(document.get("cloud_ref", "")) or {},
        lookup(document["vrf_context_ref"]) or {},
        holder,
    )


def _vips(segment: str, holder: Document) -> tuple[Vip, ...]:
    return tuple(
        Vip(vip, Part(segment, holder["name"], f"vip[{index}]")) for index, vip in enumerate(holder.get("vip", ()), 1)
    )
