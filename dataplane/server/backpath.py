"""The way back to clients: whether the next hop of a pool member's answers is there, asked by ARP."""

from __future__ import annotations

import socket
import time
from typing import Any

from dataplane.errors import ServerError
from dataplane.server import iproute
from dataplane.server.preparation import BadHop
from dataplane.vip import arp

_TIMES, _WAIT = 3, 0.3
"""How many ARP requests to send, and seconds to wait for each answer."""


def bad_next_hop(route: dict[str, Any], client: str) -> BadHop | None:
    """What is wrong with the next hop of a route to a client (as ip(8) tells it); None where nothing is, or where
    nobody can be asked: no Ethernet, no rights."""
    hop, interface = str(route.get("gateway", client)), str(route["dev"])
    try:
        (link,) = iproute.told("link", "show", "dev", interface)
        if link.get("link_type") != "ether" or "NOARP" in link.get("flags", ()):
            return None
        mac = _mac_of(interface, bytes.fromhex(link["address"].replace(":", "")), _own(interface), hop)
        if not mac:
            return BadHop(hop)
        entered = _entered(interface, hop)
        return BadHop(hop, entered, mac) if entered and entered != mac else None
    except (OSError, ServerError):
        return None


def _own(interface: str) -> str:
    return next((address for name, address, _ in iproute.addresses() if name == interface), "0.0.0.0")


def _entered(interface: str, hop: str) -> str:
    """The MAC address that somebody entered for a next hop by hand, else ""."""
    entries = iproute.told("-4", "neigh", "show", "to", hop, "dev", interface, "nud", "permanent")
    return next((str(entry.get("lladdr", "")) for entry in entries), "")


def _mac_of(interface: str, mac: bytes, own: str, hop: str) -> str:
    """The MAC address that answers ARP for a next hop; "" where none does."""
    wanted = socket.inet_aton(hop)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind((interface, arp.ETH_P_ARP))
        for _ in range(_TIMES):
            wire.send(arp.request(mac, socket.inet_aton(own), wanted))
            end = time.monotonic() + _WAIT
            while (left := end - time.monotonic()) > 0:
                wire.settimeout(left)
                try:
                    packet = arp.parse(wire.recv(128))
                except TimeoutError:
                    break
                if packet is not None and (packet.operation, packet.sender) == (arp.REPLY, wanted):
                    return packet.mac.hex(":")
    return ""
