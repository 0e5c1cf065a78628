"""The pcap driver: the reference decision on AF_PACKET sockets (packet(7)), for where XDP cannot be had.

One thread receives, decides and sends; the engine's thread puts values. The sockets ignore outgoing frames; a tag that
the kernel took off is put back before the decision; what the sender's stack left undone (checksum, segmentation)
travels in the virtio_net_hdr from the one socket to the other, so that real TCP arrives whole. Into a tunnel nothing
undone may go: it is done here first.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from . import decision, segmentation
from .errors import DriverError
from .flows import Flows
from .forwarding import TCP, UDP, Counters, Interface, Lingering, Pool, Service, ServiceKey, Vip
from .hostguard import HostGuard
from .plan import L2

log = logging.getLogger("avi-se")

# linux/if_packet.h
SOL_PACKET = 263
PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 8, 15, 23
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
_AUXDATA = struct.Struct("=IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
# linux/virtio_net.h
_VNET = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
_NEEDS_CHECKSUM = 1
_NOTHING_UNDONE = bytes(_VNET.size)
_IPV4 = tuple(bytes([0x40 | words]) for words in range(5, 16))
ETH_P_ALL = 0x0003

LARGEST = 1 << 16
"""Bytes of the largest frame: one that segmentation offload left whole."""
BURST = 256
"""Frames taken from one socket before the next has its turn."""
RECEIVE_BUFFER = 8 << 20


class PcapDriver:
    """A forwarding.Driver on packet sockets."""

    name = "pcap"

    def __init__(self, instance: str) -> None:
        self._values = decision.Values()
        self._flows = Flows()
        self._tunnels = False
        self._counters = Counters()
        self._sockets: dict[int, socket.socket] = {}
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._poll.register(self._wake, select.EPOLLIN)
        self._ending = False
        self._buffer = bytearray(_VNET.size + LARGEST)
        self._guard = HostGuard(instance)
        self._thread = threading.Thread(target=self._run, name="pcap-driver", daemon=True)
        self._thread.start()

    def put_interface(self, interface: Interface) -> None:
        """Forward frames of this interface. Raises DriverError."""
        if interface.index not in self._sockets:
            opened = _open(interface)
            self._do(lambda: self._add(interface.index, opened))
        self._values.put_interface(interface)
        self._guard.put_interface(interface)

    def remove_interface(self, index: int) -> None:
        """Leave this interface alone again."""
        self._guard.remove_interface(index)
        self._values.remove_interface(index)
        self._do(lambda: self._drop(index))

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """The engines' own addresses."""
        self._values.put_addresses(addresses)

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool."""
        self._values.put_pool(pool)
        self._tunnels = any(p.mode != L2 for p in self._values.pools.values())

    def put_pools(self, pools: Iterable[Pool]) -> None:
        """Add or replace several pools."""
        for pool in pools:
            self.put_pool(pool)

    def remove_pool(self, uuid: str) -> None:
        """Remove a pool and its counters."""
        self._values.remove_pool(uuid)
        self._do(lambda: self._forget_pool(uuid))

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""
        self._values.put_service(service)

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service and its counters."""
        self._values.remove_service(key)
        self._do(lambda: self._counters.services.pop(key, None))

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        self._values.put_vip(vip)
        self._guard.put_vips(self._values.vips)

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""
        self._values.remove_vip(address)
        self._guard.put_vips(self._values.vips)

    def modes(self) -> Mapping[str, str]:
        """AF_PACKET for every interface, with the fault where the host's stack could not be kept off."""
        mode = "AF_PACKET" if not self._guard.fault else f"AF_PACKET ({self._guard.fault})"
        return {interface.name: mode for interface in self._values.interfaces.values()}

    def adopted(self) -> Mapping[str, Pool]:
        """Nothing: this driver's forwarding ends with its process."""
        return {}

    def lingering(self, pools: Collection[str]) -> Lingering:
        """The flows that live in `elder`."""
        found: list[Lingering] = []
        values, now = self._values, time.monotonic_ns()
        self._do(lambda: found.append(self._flows.lingering(values.service, values.pools, pools, now)))
        return found[0]

    def prune(self) -> None:
        """Nothing is left over from a former run: its table was replaced at the start."""

    def counters(self) -> Counters:
        """A snapshot."""
        now = self._counters
        return Counters(now.answered, dict(now.dropped), dict(now.services), dict(now.servers))

    def close(self, *, keep: bool) -> None:
        """End; nothing can be kept."""
        self._ending = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for opened in self._sockets.values():
            opened.close()
        self._poll.close()
        os.close(self._wake)
        self._guard.close()

    def _do(self, command: Callable[[], Any]) -> None:
        """Have the receiving thread do something between two frames; returns when it is done."""
        done = threading.Event()

        def run() -> None:
            try:
                command()
            finally:
                done.set()

        self._commands.put(run)
        os.eventfd_write(self._wake, 1)
        done.wait()

    def _add(self, index: int, opened: socket.socket) -> None:
        self._sockets[index] = opened
        self._poll.register(opened, select.EPOLLIN)

    def _drop(self, index: int) -> None:
        opened = self._sockets.pop(index, None)
        if opened is not None:
            self._poll.unregister(opened)
            opened.close()

    def _forget_pool(self, uuid: str) -> None:
        for key in [key for key in self._counters.servers if key[0] == uuid]:
            del self._counters.servers[key]

    def _run(self) -> None:
        while not self._ending:
            for fd, _ in self._poll.poll():
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                    while not self._commands.empty():
                        self._commands.get()()
                    continue
                for index, opened in list(self._sockets.items()):
                    if opened.fileno() == fd:
                        self._receive(index, opened)

    def _receive(self, index: int, opened: socket.socket) -> None:
        for _ in range(BURST):
            try:
                size, auxiliary, _flags, _source = opened.recvmsg_into([self._buffer], 64)
            except BlockingIOError:
                return
            except OSError as exc:  # the link went down or away; the engine hears it from rtnetlink
                log.debug("receiving on interface %d: %s", index, exc)
                return
            interface = self._values.interfaces.get(index)
            if interface is None or size < _VNET.size + decision.ETH_HLEN:
                continue
            offload = _VNET.unpack_from(self._buffer)
            frame = bytes(memoryview(self._buffer)[_VNET.size : size])
            self._forward(with_tag(frame, auxiliary), frame, interface, offload)

    def _forward(self, frame: bytes, received: bytes, interface: Interface, offload: tuple[int, ...]) -> None:
        now = time.monotonic_ns()
        segment = segment_size(received, offload) if offload[1] else 0
        if offload[0] & _NEEDS_CHECKSUM and self._tunnels:
            for whole in finished(frame, offload):
                self._leave(decision.decide(whole, interface, self._values, self._flows, now), _NOTHING_UNDONE)
            return
        verdict = decision.decide(frame, interface, self._values, self._flows, now, segment)
        tagged = received[12:14] == decision.ETH_P_8021Q and verdict.action == decision.FORWARDED
        self._leave(verdict, carried_on(offload, decision.VLAN_HLEN if tagged else 0))

    def _leave(self, verdict: decision.Verdict, header: bytes) -> None:
        if verdict.action == decision.HOST:
            return
        try:
            for frame in verdict.frames:
                self._sockets[verdict.interface].send(header + frame)
        except (OSError, KeyError) as exc:
            log.debug("sending on interface %d: %s", verdict.interface, exc)
            verdict = decision.Verdict(decision.DROPPED, "transmit_failed")
        decision.count(verdict, self._counters)


def _open(interface: Interface) -> socket.socket:
    try:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except PermissionError as exc:
        raise DriverError("packet sockets need root (CAP_NET_RAW)") from exc
    try:
        for option in (PACKET_IGNORE_OUTGOING, PACKET_VNET_HDR, PACKET_AUXDATA):
            opened.setsockopt(SOL_PACKET, option, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        opened.bind((interface.name, ETH_P_ALL))
    except OSError as exc:
        opened.close()
        raise DriverError(f"no packet socket on {interface.name}: {exc.strerror}") from exc
    return opened


def with_tag(frame: bytes, auxiliary: list[tuple[int, int, bytes]]) -> bytes:
    """The frame as it was on the wire: the 802.1Q tag that the kernel took off stands in PACKET_AUXDATA."""
    for level, kind, data in auxiliary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = _AUXDATA.unpack_from(data)
            if status & TP_STATUS_VLAN_VALID:
                tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


def segment_size(frame: bytes, offload: tuple[int, ...]) -> int:
    """Bytes of the IP packets that a frame left to segmentation offload will be cut into.

    offload: the fields of its virtio_net_hdr. csum_start is where layer 4 begins.
    """
    start = offload[4]
    at = decision.ETH_HLEN + (decision.VLAN_HLEN if frame[12:14] == decision.ETH_P_8021Q else 0)
    if len(frame) < start + decision.TCP_HLEN or start <= at:
        return 0
    layer4 = (frame[start + 12] >> 4) * 4 if frame[at + 9] == TCP else decision.UDP_HLEN
    return start - at + layer4 + offload[3]


def finished(frame: bytes, offload: tuple[int, ...]) -> list[bytes]:
    """The frames that a frame with work left undone stands for, each whole: checksums filled in, segments cut."""
    at = decision.ETH_HLEN + (decision.VLAN_HLEN if frame[12:14] == decision.ETH_P_8021Q else 0)
    ethernet, packet = frame[:at], frame[at:]
    if packet[:1] not in _IPV4 or packet[9:10] not in (bytes([TCP]), bytes([UDP])) or packet[6] & 0x3F or packet[7]:
        return [frame]  # nothing that a tunnel takes
    packet = packet[: packet[2] << 8 | packet[3]]
    if offload[1] and packet[9] == TCP:
        return [ethernet + piece for piece in segmentation.segments(packet, offload[3])]
    return [ethernet + segmentation.filled(packet)]


def carried_on(offload: tuple[int, ...], shorter: int) -> bytes:
    """The virtio_net_hdr to send a frame with: what was left undone at reception still is; shorter: bytes that were
    taken off in front of layer 4."""
    flags, gso_type, header, gso_size, start, offset = offload
    if not flags & _NEEDS_CHECKSUM:
        return _VNET.pack(0, 0, 0, 0, 0, 0)
    return _VNET.pack(_NEEDS_CHECKSUM, gso_type, max(0, header - shorter), gso_size, start - shorter, offset)
