"""The plan's part on BGP: a VRF context's speakers, and how VIPs are announced to routers. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from avi_shell.configuration.assembly import GLOBAL, Assembly
from avi_shell.configuration.document import Document, address_text, prefix_text
from dataplane import plan
from dataplane.plan import checks

COMMUNITIES = {"internet": "0:0", "no-export": "65535:65281", "no-advertise": "65535:65282", "local-as": "65535:65283"}
"""Communities that have a name (RFC 1997; `internet` as routers read it)."""


def speakers(context: Document) -> plan.Bgp:
    """The speakers of a VRF context with a `bgp_profile`."""
    profile, bfd = context["bgp_profile"], context.get("bfd_profile", {})
    defaults = plan.Bgp(profile["local_as"])
    return plan.Bgp(
        local_as=profile["local_as"],
        peers=tuple(_peer(profile, peer) for peer in profile.get("peers", ()) if _is_possible(peer)),
        bfd_multiplier=bfd.get("multi", defaults.bfd_multiplier),
        bfd_transmit=bfd.get("mintx", defaults.bfd_transmit),
        bfd_receive=bfd.get("minrx", defaults.bfd_receive),
    )


def local_as(profile: Document, peer: Document) -> int:
    """The engines' autonomous system towards a peer; an internal peer has another one only if it says so."""
    own: int = profile["local_as"]
    if profile["ibgp"] and not peer.get("ibgp_local_as_override"):
        return own
    return int(peer.get("local_as", own))


def _is_possible(peer: Document) -> bool:
    """Whether engines can use a peer; an older release also stored peers that they cannot."""
    subnet = prefix_text(peer["subnet"]) if "subnet" in peer else "0.0.0.0/0"
    address = address_text(peer.get("peer_ip", {}))
    return checks.is_address(address) and checks.is_network(subnet) and checks.is_secret(peer.get("md5_secret", ""))


def _peer(profile: Document, peer: Document) -> plan.Peer:
    own = local_as(profile, peer)
    timers = {**profile, **peer}
    hold, keepalive = int(timers["hold_time"]), int(timers["keepalive_interval"])
    return plan.Peer(
        address=address_text(peer["peer_ip"]),
        local_as=own,
        remote_as=own if profile["ibgp"] else peer.get("remote_as", own),
        subnet=prefix_text(peer["subnet"]) if "subnet" in peer else "",
        label=peer.get("label", ""),
        secret=peer.get("md5_secret", ""),
        bfd=peer["bfd"],
        advertise=peer["advertise_vip"],
        shutdown=profile["shutdown"] or peer["shutdown"],
        connect_timer=peer["connect_timer"],
        keepalive=max(1, min(keepalive or hold, hold // 3)),  # three in a hold time (RFC 4271 section 4.4)
        hold_time=hold,
        multihop=peer["ebgp_multihop"] or 255 * (profile["ibgp"] and not is_neighbour(peer)),
    )


def is_neighbour(peer: Document) -> bool:
    """Whether a peer is in its own `subnet`, in which its engines are; a peer without one counts as a neighbour."""
    if "subnet" not in peer:
        return True
    network = ipaddress.IPv4Network(prefix_text(peer["subnet"]), strict=False)
    return ipaddress.IPv4Address(address_text(peer["peer_ip"])) in network


def labels(assembly: Assembly) -> tuple[str, ...]:
    """The labels of the peers that learn a virtual service's VIPs; none = all peers."""
    return tuple(_chosen(assembly, "bgp_peer_labels", ()))


def route(assembly: Assembly, vip: str) -> plan.Route | None:
    """How a VIP is announced to routers; None if it is not."""
    profile = assembly.context.get("bgp_profile")
    if not assembly.document.get("enable_rhi") or profile is None:
        return None
    found: list[str] = []
    if profile["send_community"]:
        found += profile.get("community", ())
        for one in profile.get("ip_communities", ()):
            found += one["community"] if _holds(one, vip) else ()
    prepend = _chosen(assembly, "bgp_num_as_path_prepend", profile.get("num_as_path_prepend", 0))
    return plan.Route(
        labels=labels(assembly),
        communities=tuple(filter(checks.is_community, dict.fromkeys(COMMUNITIES.get(c.lower(), c) for c in found))),
        local_preference=_chosen(assembly, "bgp_local_preference", profile.get("local_preference")),
        prepend=0 if profile["ibgp"] else prepend,
    )


def notices(context: Document) -> Iterator[str]:
    """What an operator should know of a VRF context with a `bgp_profile`."""
    title, profile = f"VrfContext {context['name']}", context["bgp_profile"]
    if context["name"] != GLOBAL:
        yield f"{title}: bgp_profile has no effect: service engines forward in the VRF context {GLOBAL} alone"
        return
    if profile["ibgp"] and "num_as_path_prepend" in profile:
        yield f"{title}: num_as_path_prepend has no effect with ibgp: peers would take their own routes for a loop"
    if not profile["ibgp"] and "local_preference" in profile:
        yield f"{title}: local_preference has no effect without ibgp: it is not sent to other autonomous systems"
    for peer in profile.get("peers", ()):
        if profile["ibgp"] and "local_as" in peer and not peer.get("ibgp_local_as_override"):
            yield (
                f"{title}: local_as of peer {address_text(peer.get('peer_ip', {}))} has no effect with ibgp, unless "
                "ibgp_local_as_override is set"
            )
    if not profile.get("peers"):
        yield f"{title}: its bgp_profile has no peers: nobody is told of VIPs"


def _chosen(assembly: Assembly, name: str, otherwise: Any) -> Any:
    """A field of a virtual service's VsVip, else its own, else another value."""
    typed = (document.get(name) for document in (assembly.holder, assembly.document))
    return next((value for value in typed if value not in (None, [])), otherwise)


def _holds(one: Document, vip: str) -> bool:
    """Whether a VIP is in a range of addresses that has communities of its own."""
    first = address_text(one["ip_begin"])
    last = address_text(one["ip_end"]) if "ip_end" in one else first
    if not (checks.is_address(first) and checks.is_address(last)):
        return False
    return ipaddress.IPv4Address(first) <= ipaddress.IPv4Address(vip) <= ipaddress.IPv4Address(last)
