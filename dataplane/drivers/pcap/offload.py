"""Work that a sender's stack left undone in a frame (checksum, segmentation), as a packet socket tells of it.

Source: struct virtio_net_hdr of linux/virtio_net.h, in the machine's byte order on packet sockets.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from dataplane.drivers.pcap import segmentation
from dataplane.forwarding.decision import ETH_HLEN, ETH_P_8021Q, TCP_HLEN, UDP_HLEN, VLAN_HLEN
from dataplane.forwarding.values import TCP, UDP

_VNET = struct.Struct("=BBHHHH")
_NEEDS_CHECKSUM = 1
_IPV4 = tuple(bytes([0x40 | words]) for words in range(5, 16))
_PROTOCOLS = (bytes([TCP]), bytes([UDP]))
_UFO = 3  # VIRTIO_NET_HDR_GSO_UDP: to be cut into IP fragments; else the pieces are packets of their own


class Undone(NamedTuple):
    """A virtio_net_hdr."""

    flags: int  # whether the checksum is left undone
    kind: int  # of segmentation, 0: none
    headers: int  # bytes in front of the data
    size: int  # bytes of a piece's data
    start: int  # where layer 4 begins, without a tag that the kernel took off
    offset: int  # of the checksum in layer 4

    @property
    def checksum(self) -> bool:
        """Whether the layer-4 checksum is to be filled in."""
        return bool(self.flags & _NEEDS_CHECKSUM)


def read(header: bytes) -> Undone:
    """The header's fields."""
    return Undone(*_VNET.unpack(header))


def segment_size(frame: bytes, undone: Undone) -> int:
    """Bytes of the IP packets that a frame left to segmentation offload will be cut into; 0 where it was not."""
    at = _start_of_ip(frame)
    if not undone.kind or len(frame) < undone.start + TCP_HLEN or undone.start <= at:
        return 0
    layer4 = (frame[undone.start + 12] >> 4) * 4 if frame[at + 9] == TCP else UDP_HLEN
    return undone.start - at + layer4 + undone.size


def finished(frame: bytes, undone: Undone) -> list[bytes]:
    """The frames that a frame with work left undone stands for, each whole: checksums filled in, segments cut."""
    at = _start_of_ip(frame)
    ethernet, packet = frame[:at], frame[at:]
    if packet[:1] not in _IPV4 or packet[9:10] not in _PROTOCOLS or packet[6] & 0x3F or packet[7]:
        return [frame]  # nothing that a tunnel takes
    packet = packet[: packet[2] << 8 | packet[3]]
    if undone.kind and undone.kind != _UFO:
        return [ethernet + piece for piece in segmentation.segments(packet, undone.size)]
    return [ethernet + segmentation.filled(packet)]


def carried_on(undone: Undone, shorter: int) -> bytes:
    """The virtio_net_hdr to send a frame with: what was left undone at reception still is; shorter: bytes that were
    taken off in front of layer 4."""
    flags, kind, headers, size, start, offset = undone
    if not undone.checksum:
        return bytes(_VNET.size)
    return _VNET.pack(_NEEDS_CHECKSUM, kind, max(0, headers - shorter), size, start - shorter, offset)


def _start_of_ip(frame: bytes) -> int:
    return ETH_HLEN + (VLAN_HLEN if frame[12:14] == ETH_P_8021Q else 0)
