"""BIRD's configuration as text: the speaker, its peers, and the routes to VIPs. Pure.

Three files: `bird.conf` holds the speaker, and includes `labels.conf`, which VIPs the peers of a label learn, and
`vips.conf`, the routes. The last is of plain statements, so that another BIRD can include it (BIRD User's Guide,
sections 3 and 6).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence

from dataplane import plan

SPEAKER, LABELS, ROUTES = "bird.conf", "labels.conf", "vips.conf"
"""The files."""
PROTOCOL = "vips"
"""BIRD's name for the routes to VIPs."""
LOST = 2
"""The fewest seconds until a lost session begins again, so that a look once a second notices the loss."""
_PEER = "peer_"
_MOST_PREPENDED = 10
_LOG_SIZE = 1 << 20


def name(peer: plan.Peer) -> str:
    """BIRD's name for a peer, made of its address, so that a change of one peer leaves the others' sessions alone."""
    return _PEER + peer.address.replace(".", "_")


def met(peers: Iterable[plan.Peer], addresses: Iterable[bytes]) -> tuple[plan.Peer, ...]:
    """The peers of an engine with these addresses: those in whose subnet one of the addresses is."""
    own = [ipaddress.IPv4Address(address) for address in addresses]
    return tuple(
        peer
        for peer in peers
        if not peer.subnet or any(one in ipaddress.IPv4Network(peer.subnet, strict=False) for one in own)
    )


def speaker(bgp: plan.Bgp, peers: Sequence[plan.Peer], addresses: Sequence[bytes]) -> str:
    """The text of `bird.conf`. peers: those to have a session with; addresses: the engine's own, of which the first is
    its router's id."""
    router = socket.inet_ntoa(addresses[0]) if addresses else "0.0.0.1"
    own = [ipaddress.IPv4Address(address) for address in addresses]
    head = f"""\
log "bird.log" {_LOG_SIZE} "bird.log.1" {{ info, warning, error, fatal, bug, auth, remote }};
router id {router};
timeformat protocol iso long us;
protocol device {{ scan time 10; }}
protocol bfd {{ }}
include "{LABELS}";
protocol static {PROTOCOL} {{
  ipv4 {{ }};
  include "{ROUTES}";
}}
"""
    return head + "".join(_peer(bgp, peer, own) for peer in peers if not peer.shutdown)


def _peer(bgp: plan.Bgp, peer: plan.Peer, own: Sequence[ipaddress.IPv4Address]) -> str:
    subnet = ipaddress.IPv4Network(peer.subnet or "0.0.0.0/0", strict=False)
    source = next((f" {one}" for one in own if peer.subnet and one in subnet), "")
    lines = [
        f"local{source} as {peer.local_as};",
        f"neighbor {peer.address} as {peer.remote_as};",
        f"multihop {peer.multihop};" if peer.multihop else "direct;",
        f"hold time {peer.hold_time}; keepalive time {peer.keepalive};",
        f"connect delay time 1; connect retry time {peer.connect_timer};",
        f"error wait time {max(peer.connect_timer, LOST)}, {max(peer.connect_timer, LOST)};",
        "graceful restart off;",
    ]
    if peer.secret:
        lines.append(f'password "{peer.secret}";')
    if peer.bfd:
        times = f"min tx interval {bgp.bfd_transmit} ms; min rx interval {bgp.bfd_receive} ms"
        lines.append(f"bfd {{ {times}; multiplier {bgp.bfd_multiplier}; }};")
    lines.append(f"ipv4 {{ import none; next hop self; export filter {{ {_filter(bgp, peer)} }}; }};")
    return f"protocol bgp {name(peer)} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _filter(bgp: plan.Bgp, peer: plan.Peer) -> str:
    """Which routes a peer learns: those to VIPs for everybody, or for its label."""
    if not peer.advertise:
        return "reject;"
    words = [f'if proto != "{PROTOCOL}" then reject;']
    if peer.label:
        words.append(f"if net ~ labelled && ! (net ~ {_label(peer.label)}) then reject;")
    else:
        words.append("if net ~ labelled then reject;")
    if peer.local_as != bgp.local_as:  # what stands in the path before is of the speaker's usual system
        steps = "".join(f" if n > {i} then bgp_path.prepend({peer.local_as});" for i in range(_MOST_PREPENDED))
        words[:0] = ["int n = bgp_path.len;"]
        words.append(f"bgp_path.empty;{steps}")
    return " ".join((*words, "accept;"))


def labels(bgp: plan.Bgp, routes: Mapping[bytes, plan.Route]) -> str:
    """The text of `labels.conf`: sets of the VIPs that are for the peers of some label alone. routes: by VIP."""
    sets: dict[str, list[bytes]] = {_label(peer.label): [] for peer in bgp.peers if peer.label}
    sets["labelled"] = []
    for vip, route in sorted(routes.items()):
        for label in route.labels:
            if _label(label) in sets:
                sets[_label(label)].append(vip)
        if route.labels:
            sets["labelled"].append(vip)
    # A set is never empty in BIRD's grammar: 0.0.0.0/32 is no VIP.
    return "".join(
        f"define {key} = [ {', '.join(f'{socket.inet_ntoa(vip)}/32' for vip in vips or [bytes(4)])} ];\n"
        for key, vips in sorted(sets.items())
    )


def _label(label: str) -> str:
    """A label as a name that BIRD takes, whatever is in it."""
    return f"label_{label.encode().hex()}"


def routes(bgp: plan.Bgp, told: Mapping[bytes, plan.Route]) -> str:
    """The text of `vips.conf`. told: by VIP."""
    return "".join(
        f"route {socket.inet_ntoa(vip)}/32 blackhole{_attributes(bgp, told[vip])};\n" for vip in sorted(told)
    )


def _attributes(bgp: plan.Bgp, route: plan.Route) -> str:
    words = [f"bgp_community.add(({community.replace(':', ',')}));" for community in route.communities]
    words += [f"bgp_path.prepend({bgp.local_as});"] * route.prepend
    if route.local_preference is not None:
        words.append(f"bgp_local_pref = {route.local_preference};")
    return f" {{ {' '.join(words)} }}" if words else ""
