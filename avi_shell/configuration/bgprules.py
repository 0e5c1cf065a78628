"""Rules of BGP: what a VRF context's `bgp_profile` may hold, and what `enable_rhi` needs beside it. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from avi_shell.configuration import bgp
from avi_shell.configuration.assembly import Assembly, Part
from avi_shell.configuration.breach import Breach
from avi_shell.configuration.document import Document, address_text, prefix_text
from dataplane.plan import checks

_LEARNING = ("learn_only_default_route", "learn_routes", "advertise_default_route", "advertise_learned_routes")
"""Routing options by which engines would accept routes from peers, or pass on routes other than those to VIPs."""


def profile(context: Document) -> Iterator[Breach]:
    """Every rule that the `bgp_profile` of the VRF context in which engines forward breaks."""
    title, found = f"VrfContext {context['name']}", context["bgp_profile"]

    def breach(path: str, what: str, hint: str) -> Breach:
        part = Part("vrfcontext", context["name"], f"bgp_profile.{path}")
        return Breach(f"{title}: {part.path} {what}", (part,), hint)

    for index, option in enumerate(found.get("routing_options", ()), 1):
        for name in _LEARNING:
            if option.get(name):
                what = "is set: service engines announce VIPs alone, and learn and pass on no routes"
                yield breach(f"routing_options[{index}].{name}", what, f"no {name}")
    for path, community in _communities(found):
        if community.lower() not in bgp.COMMUNITIES and not checks.is_community(community):
            names = ", ".join(bgp.COMMUNITIES)
            yield breach(path, f"is {community!r}, no community", f"two numbers up to 65535, as 65000:100; or {names}")
    for index, one in enumerate(found.get("ip_communities", ()), 1):
        first = address_text(one["ip_begin"])
        last = address_text(one["ip_end"]) if "ip_end" in one else first
        if not (checks.is_address(first) and checks.is_address(last)):
            yield breach(f"ip_communities[{index}]", f"is {first}-{last}", "IPv4 addresses: VIPs have no others")
        elif ipaddress.IPv4Address(first) > ipaddress.IPv4Address(last):
            path = f"ip_communities[{index}].ip_end"
            yield breach(path, f"is {last}, before the first address {first}", "the last address of the range")
    for index, peer in enumerate(found.get("peers", ()), 1):
        for field, what, hint in _peer(found, peer):
            yield breach(f"peers[{index}].{field}", what, hint)


def injection(assembly: Assembly) -> Iterator[Breach]:
    """What announcing the VIPs of a virtual service by BGP needs beside it."""
    if not (assembly.is_planned and assembly.document.get("enable_rhi")):
        return
    context, rhi = assembly.vrf.name, assembly.part("enable_rhi")
    found = assembly.context.get("bgp_profile")
    if found is None:
        yield Breach(
            f"{assembly.title}: enable_rhi announces its VIP by BGP, but VRF context {context} has no bgp_profile",
            (rhi, Part("vrfcontext", context, "bgp_profile")),
            f"configure vrfcontext {context}, bgp_profile; or no enable_rhi",
        )
        return
    wanted = set(bgp.labels(assembly))
    known = [str(peer["label"]) for peer in found.get("peers", ()) if "label" in peer]
    if wanted and not wanted.intersection(known):
        yield Breach(
            f"{assembly.title}: no peer in VRF context {context} has the label {' or '.join(sorted(wanted))} of its "
            "bgp_peer_labels",
            (
                assembly.holder_part("bgp_peer_labels"),
                assembly.part("bgp_peer_labels"),
                rhi,
                Part("vrfcontext", context, "bgp_profile.peers"),
            ),
            f"one of {', '.join(sorted(set(known)))}" if known else "a peer with that label; or no bgp_peer_labels",
        )


def _communities(found: Document) -> Iterator[tuple[str, str]]:
    for index, community in enumerate(found.get("community", ()), 1):
        yield f"community[{index}]", community
    for index, one in enumerate(found.get("ip_communities", ()), 1):
        for inner, community in enumerate(one.get("community", ()), 1):
            yield f"ip_communities[{index}].community[{inner}]", community


def _peer(found: Document, peer: Document) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a peer: field, sentence, what would be right."""
    for field in ("peer_ip6", "subnet6"):
        if field in peer:
            yield field, "is set: service engines have IPv4 peers alone, as VIPs are IPv4", f"peer_ip; no {field}"
    address, subnet = address_text(peer.get("peer_ip", {})), peer.get("subnet", {})
    if not checks.is_address(address):
        yield "peer_ip", f"is {address or 'not set'}", "the IPv4 address of a router"
        return
    if subnet and not checks.is_network(prefix_text(subnet)):
        yield "subnet", f"is {prefix_text(subnet)}", "the IPv4 network of the engines' interface"
        return
    if not (found["ibgp"] or peer["ebgp_multihop"] or bgp.is_neighbour(peer)):
        what = f"is {address}, which is not in its subnet {prefix_text(subnet)}"
        yield "peer_ip", what, "a router in that network; or ebgp_multihop"
    own, remote = bgp.local_as(found, peer), peer.get("remote_as")
    if found["ibgp"] and remote not in (None, own):
        yield "remote_as", f"is {remote}, but with ibgp peers are of the own system {own}", f"{own}; or no ibgp"
    if not found["ibgp"] and remote is None:
        what = "is not set; without ibgp a peer is of another autonomous system"
        yield "remote_as", what, "remote_as with the peer's; or ibgp"
    if not found["ibgp"] and remote == own:
        yield "remote_as", f"is {own}, the own system; ibgp is not set", "another one's number; or ibgp"
    if not checks.is_secret(peer.get("md5_secret", "")):
        yield "md5_secret", "cannot be a secret of BGP", checks.SECRET.words
