"""Finds out what a pool member is like now: the `Host` that `preparation` judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataplane.errors import ServerError
from dataplane.network import sysctl
from dataplane.server import backpath, decapsulation, iproute, mssclamp
from dataplane.server.preparation import (
    GRE,
    IPIP,
    L3,
    LOOPBACK,
    OWN_TUNNELS,
    BadHop,
    Host,
    Tunnel,
    Wanted,
    needed_settings,
)

_ANYBODY = ("any", "0.0.0.0", None)


def look(wanted: Wanted, *, ask: bool = False) -> Host:
    """Look at the host in this namespace, as far as `wanted` needs it. ask: also ask its next hops towards clients by
    ARP. Raises ServerError."""
    ends = tunnels() if wanted.mode == L3 else []
    try:
        settings = {key: sysctl.read(key) for key in needed_settings(wanted.interface, ends)}
    except OSError as exc:
        raise ServerError(f"cannot read the kernel settings of {wanted.interface}: {exc}") from exc
    (link,) = iproute.told("link", "show", "dev", wanted.interface)
    addresses = iproute.addresses()
    routes = {client: _route(client, _source(wanted, addresses)) for client in wanted.clients}
    return Host(
        "UP" in iproute.told("link", "show", "dev", LOOPBACK)[0]["flags"],
        addresses,
        settings,
        {client: None if route is None else str(route["dev"]) for client, route in routes.items()},
        int(link["mtu"]),
        ends,
        decapsulation.vips(wanted.interface) if wanted.mode == L3 else None,
        mssclamp.limits() if wanted.mode == L3 else {},
        {client: hop for client, hop in _hops(routes if ask else {}).items() if hop is not None},
    )


def _hops(routes: Mapping[str, dict[str, Any] | None]) -> dict[str, BadHop | None]:
    """By client, the next hop towards it that its answers do not reach."""
    return {
        client: backpath.bad_next_hop(route, client)
        for client, route in routes.items()
        if route is not None and route["dev"] != LOOPBACK
    }


def tunnels() -> list[Tunnel]:
    """The kernel's tunnel devices that take packets from any sender to any address of this host: ours, and others that
    are up."""
    found = []
    for kind in (IPIP, GRE):
        for link in iproute.told("-details", "link", "show", "type", kind):
            about = link.get("linkinfo", {}).get("info_data", {})
            everybody = all(about.get(end) in _ANYBODY for end in ("remote", "local")) and "ikey" not in about
            up, name = "UP" in link.get("flags", ()), link["ifname"]
            if (up or name in OWN_TUNNELS.values()) and (about.get("external") or everybody):
                found.append(Tunnel(name, kind, up))
    return found


def interfaces() -> tuple[list[str], list[str]]:
    """The names of all interfaces but the loopback; and of those that packets can arrive on: they have an IPv4 address
    and are no tunnels."""
    links = iproute.told("-details", "link", "show")
    inner = {link["ifname"] for link in links if link.get("linkinfo", {}).get("info_kind") in (IPIP, GRE)}
    addressed = {name for name, _, _ in iproute.addresses()} - {LOOPBACK} - inner
    return [link["ifname"] for link in links if link["ifname"] != LOOPBACK], sorted(addressed)


def _source(wanted: Wanted, addresses: list[tuple[str, str, int]]) -> str | None:
    """A VIP that is an address of this host already, so that answers can be sent from it."""
    there = {address for _, address, _ in addresses}
    return next((vip for vip in wanted.vips if vip in there), None)


def _route(client: str, source: str | None) -> dict[str, Any] | None:
    """The route that answers to a client take; None if there is none."""
    try:
        return dict(iproute.told("route", "get", client, *(("from", source) if source else ()))[0])
    except ServerError:
        return None
