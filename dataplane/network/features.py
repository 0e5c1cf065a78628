"""What network cards do for frames (ethtool(8) -K), read and written by keys as settings are: "rxvlan of eth0".

A card may take the VLAN tag off a frame and tell of it beside the frame, where an XDP program does not look: it would
take the frame for one of the interface's own network. A veth's tags come beside the frame from its far end, whatever is
set here.
"""

from __future__ import annotations

import errno
from contextlib import suppress

from dataplane import errors
from dataplane.network import ethtool

UNTAGGING = {"rxvlan": "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse": "rx-vlan-stag-hw-parse"}
"""The kernel's names of what takes tags off (802.1Q, 802.1ad), by ethtool's."""
ON, OFF = "on", "off"
_OF = " of "


def key(interface: str, name: str) -> str:
    """The key of an interface's feature, by ethtool's name."""
    return f"{name}{_OF}{interface}"


def is_key(word: str) -> bool:
    """Whether a key is one of these."""
    return _OF in word


def cards(interface: str) -> list[str]:
    """The interfaces whose cards receive an interface's frames: those that a bond is made of, or itself; none of a
    veth."""
    several = ethtool.bonded(interface) or [interface]
    return [one for one in several if ethtool.network_driver(one) != "veth"]


def untagging(interface: str, *, changeable: bool = True) -> list[str]:
    """The keys of what takes tags off an interface's frames now. changeable: of those that can be switched off, or of
    the others."""
    found = []
    for card in cards(interface):
        with suppress(OSError):  # it tells nothing, or is gone
            told = ethtool.features(card)
            for name, feature in UNTAGGING.items():
                if feature in told and told[feature] == (True, changeable):
                    found.append(key(card, name))
    return found


def read(key: str) -> str:
    """ON or OFF. Raises OSError; FileNotFoundError where the interface is gone."""
    name, _, interface = key.partition(_OF)
    try:
        return ON if ethtool.features(interface)[UNTAGGING[name]].active else OFF
    except OSError as exc:
        raise _gone(exc) from exc


def write(key: str, value: str) -> None:
    """Switch on or off. Raises OSError; FileNotFoundError where the interface is gone."""
    name, _, interface = key.partition(_OF)
    try:
        ethtool.set_feature(interface, UNTAGGING[name], value == ON)
    except OSError as exc:
        raise _gone(exc) from exc
    if read(key) != value:
        raise OSError(errno.EOPNOTSUPP, "its network driver does not do so")


def command(key: str, value: str) -> str:
    """What an operator types for the same."""
    name, _, interface = key.partition(_OF)
    return errors.command("ethtool -K {} {} {}", interface, name, value)


def _gone(exc: OSError) -> OSError:
    return FileNotFoundError(errno.ENOENT, exc.strerror) if exc.errno == errno.ENODEV else exc
