"""Ports: what DPDK is told of the interfaces that it serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dataplane.drivers.dpdk import iplink
from dataplane.drivers.dpdk.process import Port
from dataplane.errors import DriverError
from dataplane.forwarding.devices import AF_PACKET, AF_XDP, PCI, Device
from dataplane.forwarding.values import Interface

LEAST_FRAME = 2048
HEADERS = 14 + 2 * 4
"""Bytes of a frame beside the packet: addresses and two tags."""
_BLOCK = 1 << 16
_SLOT_HEAD = 128
"""What a slot needs beside the frame."""
_RING = 4 << 20
"""Bytes of a ring of a packet socket."""
LARGEST_XDP = LEAST_FRAME - HEADERS - _SLOT_HEAD
"""Bytes of a packet that an AF_XDP socket takes: a frame's room and what is in front of it lie within a page."""


def frame_for(mtus: list[int]) -> int:
    """Bytes that a frame has room in, where interfaces have these MTUs: a slot of a packet socket's ring."""
    return max(LEAST_FRAME, 1 << (max(mtus, default=0) + HEADERS + _SLOT_HEAD - 1).bit_length())


def check(devices: Iterable[Device]) -> None:
    """Raises DriverError where these cannot be served together."""
    several = list(devices)
    if AF_XDP not in {device.kind for device in several}:
        return
    for device in several:
        if device.kind != PCI and mtu(device.where) > LARGEST_XDP:
            what = f"with AF_XDP sockets, an MTU is at most {LARGEST_XDP}"
            raise DriverError(
                f"{what}: that of {device.where} is {mtu(device.where)}",
                remedy=f"--interface {AF_PACKET}:NAME for all interfaces",
            )


def mtu(name: str) -> int:
    """An interface's MTU; 0 where it is not there."""
    return int(iplink.told(name).get("mtu", 0))


def port(interface: Interface, device: Device, queues: int, frame: int) -> Port:
    """The port for an interface; its sockets' places are still to be put in. Raises DriverError."""
    index, where = interface.index, device.where
    made = Port(index, interface.name, "", queues=queues, mtu=interface.mtu, twin=device.far_end)
    if device.kind == PCI:
        return replace(made, device=where)
    if device.kind == AF_PACKET:
        ring = f"blocksz={max(_BLOCK, frame)},framesz={frame},framecnt={_RING // frame}"
        return replace(made, device=f"net_af_packet{index}", where=where, more=f"qpairs={queues},{ring}")
    assert device.kind == AF_XDP
    return replace(made, device=f"net_af_xdp{index}", where=where, more=f"start_queue=0,queue_count={queues}")
