"""Steering to AF_XDP sockets: a program of ours on an interface gives the forwarder what is for VIPs, and leaves all
else to the host (`steer.c`).

Program, maps and links are pinned, and outlive the process; the next one adopts them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.drivers.maps import layout
from dataplane.drivers.xdp.attachment import Attachments
from dataplane.drivers.xdp.keeper import XdpKeeper
from dataplane.drivers.xdp.pins import SOCKETS, Pins
from dataplane.errors import DriverError
from dataplane.forwarding.program import STEER
from dataplane.forwarding.values import Interface, Vip
from dataplane.kernel.objects import Owner

PROGRAM = "steer"
INTERFACES, VIPS = "interfaces", "vips"
NAMES = (INTERFACES, VIPS, SOCKETS)
VERSION = 1
"""Of what stands in the maps. Those of another version are not adopted."""
QUEUES = 16
"""Places for sockets that an interface has."""
_STEERED = struct.Struct("=6sH")  # struct steered of steer.c


class Steering:
    """held: the instance's pins, which are closed with this. Raises DriverError."""

    def __init__(self, held: Pins) -> None:
        self._held = held
        self._folder = held.root / f"v{VERSION}"
        self._program, self._maps = self._load()
        self.attachments = Attachments(self._program, self._folder)
        self.attachments.adopt()
        self._places: dict[int, int] = {
            int.from_bytes(key, "little"): _STEERED.unpack(value)[1] for key, value in self._maps[INTERFACES].items()
        }
        self._owner = XdpKeeper(self.attachments, held, self._folder, self._maps)

    @property
    def sockets(self) -> Path:
        """Where the map is pinned that the forwarder puts its sockets into."""
        return self._folder / SOCKETS

    def put_interface(self, interface: Interface) -> int:
        """Steer an interface's frames. Returns the place of its first queue's socket. Raises DriverError."""
        index = interface.index
        if index not in self._places:
            taken = set(self._places.values())
            self._places[index] = next(place for place in range(0, 1 << 16, QUEUES) if place not in taken)
        place = self._places[index]
        self._maps[INTERFACES].update(layout.u32(index), _STEERED.pack(interface.mac, place))
        if index in self.attachments:
            self.attachments.rename(index, interface.name)
        else:
            self.attachments.attach(interface.name, index)
        return place

    def remove_interface(self, index: int) -> None:
        """Leave its frames to the host."""
        if index in self._places:
            self.attachments.detach(index)
            self._maps[INTERFACES].delete(layout.u32(index))
            del self._places[index]

    def put_vip(self, vip: Vip) -> None:
        """Steer a VIP's frames. Raises DriverError."""
        flags = layout.ADDRESS_VIP | (layout.ADDRESS_VIP_OWNED if vip.owned else 0)
        self._maps[VIPS].update(vip.address, layout.u32(flags))

    def remove_vip(self, address: bytes) -> None:
        """Leave its frames to the host."""
        self._maps[VIPS].delete(address)

    def keep_vips(self, addresses: Sequence[bytes]) -> None:
        """Steer the frames of these VIPs alone."""
        for address in [key for key, _ in self._maps[VIPS].items() if key not in addresses]:
            self.remove_vip(address)

    def owner(self) -> Owner:
        """The owner of what is kept in the kernel."""
        return self._owner

    def close(self, *, keep: bool) -> None:
        """End. keep: what is pinned stays."""
        if not keep:
            for index in self.attachments:
                self.attachments.detach(index)
            self._held.remove()
        self.attachments.close()
        for one in self._maps.values():
            one.close()
        self._program.close()
        self._held.close()

    def _load(self) -> tuple[Program, Mapping[str, Map]]:
        """The program, with the maps that are pinned, or with new ones."""
        with Object(STEER) as loaded:
            found = self._pinned(loaded)
            if not found:
                self._held.clear()
            for name, one in found.items():
                loaded.reuse(name, one)
                one.close()
            loaded.load()
            maps = {name: loaded.map(name) for name in NAMES}
            if not found:
                self._folder.mkdir(mode=0o700)
                for name, one in maps.items():
                    one.pin(self._folder / name)
            return loaded.program(PROGRAM), maps

    def _pinned(self, loaded: Object) -> dict[str, Map]:
        """All maps of a former run; none where they are not all there in the shapes that are needed."""
        found: dict[str, Map] = {}
        try:
            for name in NAMES if self._folder.is_dir() else ():
                found[name] = Map.pinned(self._folder / name)
                if found[name].shape != loaded.shape(name):
                    raise DriverError(f"{name} has another shape")
        except DriverError:
            for one in found.values():
                one.close()
            return {}
        return found
