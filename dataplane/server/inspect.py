"""Finds out what a pool member is like now: the `Host` that `preparation` judges."""

from __future__ import annotations

from dataplane.errors import ServerError
from dataplane.network import sysctl
from dataplane.server import decapsulation, iproute, mssclamp
from dataplane.server.preparation import GRE, IPIP, L3, LOOPBACK, OWN_TUNNELS, Host, Tunnel, Wanted, needed_settings

_ANYBODY = ("any", "0.0.0.0", None)


def look(wanted: Wanted) -> Host:
    """The host, as far as it matters for what is wanted, in this namespace. Raises ServerError."""
    ends = tunnels() if wanted.mode == L3 else []
    try:
        settings = {key: sysctl.read(key) for key in needed_settings(wanted.interface, ends)}
    except OSError as exc:
        raise ServerError(f"cannot read the kernel settings of {wanted.interface}: {exc}") from exc
    (link,) = iproute.told("link", "show", "dev", wanted.interface)
    addresses = iproute.addresses()
    return Host(
        "UP" in iproute.told("link", "show", "dev", LOOPBACK)[0]["flags"],
        addresses,
        settings,
        {client: _egress(client, _source(wanted, addresses)) for client in wanted.clients},
        int(link["mtu"]),
        ends,
        decapsulation.vips(wanted.interface) if wanted.mode == L3 else None,
        mssclamp.limits() if wanted.mode == L3 else {},
    )


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


def _egress(client: str, source: str | None) -> str | None:
    """The interface that answers to a client leave by; None if there is no route."""
    try:
        found = iproute.told("route", "get", client, *(("from", source) if source else ()))
    except ServerError:
        return None
    return str(found[0]["dev"])
