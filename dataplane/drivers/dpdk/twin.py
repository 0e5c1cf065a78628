"""The host's interface in the place of a network card that is taken from the kernel whole: one end of a veth.

Frames that are not for VIPs cross between its far end and the card; links, neighbours, routes and probes use it like
the card's own. Its alias (ip-link(8)) says whose it is. It is no process's: it stays while engine and forwarder are
killed.
"""

from __future__ import annotations

import socket
import subprocess
from contextlib import suppress

from dataplane.drivers.dpdk import iplink
from dataplane.errors import DriverError
from dataplane.forwarding.devices import FAR_END


def make(name: str, instance: str) -> bool:
    """Make the veth, and switch it on; one of a former engine of the instance stays as it is. Returns whether it was
    made. Raises DriverError."""
    if name in _names():
        if _alias(name) != _owner(instance):
            raise DriverError(f"there is an interface {name} already", remedy="give the card another name behind the =")
        return False
    far = name + FAR_END
    iplink.change("add", name, "type", "veth", "peer", "name", far)
    try:
        iplink.change("set", name, "alias", _owner(instance))
        for end in (name, far):  # nobody would do what this host leaves to a card
            subprocess.run(["ethtool", "-K", end, "tx", "off"], capture_output=True, check=False)
        iplink.change("set", far, "up")
        iplink.change("set", name, "up")
    except DriverError:
        remove(name)
        raise
    return True


def set_mac(name: str, mac: str) -> None:
    """Give it the card's MAC address. Raises DriverError."""
    if iplink.told(name).get("address") != mac.lower():
        iplink.change("set", name, "address", mac)


def set_link(name: str, *, up: bool) -> None:
    """Give it a carrier where the card has one, and none where it has none."""
    with suppress(DriverError):  # it is gone
        iplink.change("set", name + FAR_END, "up" if up else "down")


def remove(name: str) -> None:
    """Take it away."""
    with suppress(DriverError):  # somebody else was first
        iplink.change("del", name)


def of(instance: str) -> list[str]:
    """The interfaces of an instance that are there."""
    return [name for name in _names() if _alias(name) == _owner(instance)]


def _owner(instance: str) -> str:
    return f"avi-se/{instance}"


def _alias(name: str) -> str:
    return str(iplink.told(name).get("ifalias", ""))


def _names() -> list[str]:
    return [name for _, name in socket.if_nameindex()]
