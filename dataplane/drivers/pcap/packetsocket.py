"""A packet socket of one interface (packet(7)): frames are read from a ring that the kernel fills, and sent in batches.

Received frames lie in memory shared with the kernel (PACKET_RX_RING, TPACKET_V2: a frame is there as soon as it came,
where version 3 would wait for a block to fill): no system call a frame. What is sent goes out in one sendmmsg(2) a
burst. What the sender's stack left undone (checksum, segmentation) travels in a virtio_net_hdr, in both directions.

Source: the kernel's Documentation/networking/packet_mmap.rst, linux/if_packet.h, linux/virtio_net.h.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

from dataplane.errors import DriverError
from dataplane.forwarding.values import Interface
from dataplane.runtime.rawsocket import attach_filter

# linux/if_packet.h
SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_COPY_THRESH, PACKET_AUXDATA = 5, 6, 7, 8
PACKET_VERSION, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 10, 15, 23
TPACKET_V2 = 1
TP_STATUS_USER, TP_STATUS_COPY, TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1, 1 << 1, 1 << 4, 1 << 6
_AUXDATA = struct.Struct("=IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_SLOT = struct.Struct("=IIIH10xHH")  # struct tpacket2_hdr: status, len, snaplen, mac, (net, time), vlan_tci, vlan_tpid
_RING = struct.Struct("=IIII")  # struct tpacket_req: block size and number, frame size and number
_STATISTICS = struct.Struct("=II")  # packets, drops; reading sets both to zero
_FREE = bytes(4)
ETH_P_ALL = 0x0003
VNET_LEN = 10
"""Bytes of a virtio_net_hdr."""
NOTHING_UNDONE = bytes(VNET_LEN)

LARGEST = 14 + 0xFFFF
"""Bytes of the largest frame: one that segmentation offload left whole, without a tag."""
RING = 8 << 20
"""Bytes of a ring: 4,096 frames of an interface whose MTU is 1,500."""
BLOCK = 1 << 16
COPIED = 8 << 20
"""Bytes of frames too large for a slot of the ring that may wait beside it."""
HEADROOM = 128
"""What a slot needs beside the frame: tpacket2_hdr, sockaddr_ll, virtio_net_hdr, alignment; an Ethernet header."""
BATCH = 64
"""Frames sent in one system call."""
ROOM = 2048
"""Bytes of the largest frame that is sent in a batch, with its virtio_net_hdr: larger ones go alone."""


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("vector_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint32),
    )


_sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_sendmmsg.restype = ctypes.c_int


class PacketSocket:
    """One thread receives and sends; any thread may call `lost` and `attach`. Raises DriverError when it cannot be
    opened.

    ring, slot: the memory of the ring, and bytes of a slot in it, for who reads them natively.
    """

    def __init__(self, interface: Interface) -> None:
        self._socket = _open(interface)
        self.slot = max(ROOM, 1 << (interface.mtu + HEADROOM - 1).bit_length())
        self._lock = threading.Lock()
        self._lost = 0
        try:
            block = max(BLOCK, self.slot)
            request = _RING.pack(block, RING // block, self.slot, RING // self.slot)
            self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
            self.ring = mmap.mmap(self._socket.fileno(), RING)
            self._socket.bind((interface.name, ETH_P_ALL))
        except OSError as exc:
            self._socket.close()
            raise DriverError(f"no packet socket on {interface.name}: {exc.strerror}") from exc
        self._at = 0
        self._large = bytearray(VNET_LEN + LARGEST)
        self._batch = _Batch()

    def fileno(self) -> int:
        """For epoll(7): readable while a frame is in the ring."""
        return self._socket.fileno()

    def received(self, most: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        """The frames that have come, at most so many: each without its outermost tag, that tag or nothing, and the
        virtio_net_hdr."""
        ring, slot = self.ring, self.slot
        for _ in range(most):
            at = self._at
            status, length, here, offset, tci, tpid = _SLOT.unpack_from(ring, at)
            if not status & TP_STATUS_USER:
                return
            begin = at + offset
            frame, undone = ring[begin : begin + here], ring[begin - VNET_LEN : begin]
            ring[at : at + 4] = _FREE
            self._at = at + slot if at + slot < RING else 0
            if status & TP_STATUS_COPY:
                yield self._beside()
            elif here == length:
                yield frame, tag(status, tci, tpid) if status & TP_STATUS_VLAN_VALID else b"", undone
            else:  # too large for the slot, and no room beside the ring
                with self._lock:
                    self._lost += 1

    def _beside(self) -> tuple[bytes, bytes, bytes]:
        """The frame that was too large for its slot."""
        try:
            size, auxiliary, _, _ = self._socket.recvmsg_into([self._large], 64)
        except OSError as exc:  # that the link went down is told first, and once
            if exc.errno != errno.ENETDOWN:
                raise
            size, auxiliary, _, _ = self._socket.recvmsg_into([self._large], 64)
        whole = memoryview(self._large)
        return bytes(whole[VNET_LEN:size]), tag_of(auxiliary), bytes(whole[:VNET_LEN])

    def fault(self) -> int:
        """The errno that epoll(7) reported by EPOLLERR (the link went down or away). Reading it clears it."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def lost(self) -> int:
        """Frames that came while there was no room for them, since the socket was opened."""
        with self._lock:
            if self._socket.fileno() >= 0:
                told = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, _STATISTICS.size)
                self._lost += _STATISTICS.unpack(told)[1]
            return self._lost

    def attach(self, program: Sequence[bytes]) -> None:
        """Take only frames that a classic BPF program (instructions of 8 bytes) takes, from now on."""
        attach_filter(self._socket, program)

    def put(self, frame: bytes) -> None:
        """Lay a frame, behind its virtio_net_hdr and at most ROOM bytes with it, into the batch of at most BATCH."""
        self._batch.put(frame)

    def flush(self) -> list[int]:
        """Send the batch. Returns the positions of frames that could not be sent."""
        return self._batch.send(self._socket.fileno())

    def send(self, frame: bytes) -> None:
        """Send one frame, behind its virtio_net_hdr, at once. Raises OSError."""
        self._socket.send(frame)

    def close(self) -> None:
        """Close the socket; `lost` still works."""
        self.lost()
        with self._lock:
            self.ring.close()
            self._socket.close()


class _Batch:
    """Frames laid side by side, and what sendmmsg(2) wants to know of them."""

    def __init__(self) -> None:
        self._frames = bytearray(BATCH * ROOM)
        self._vectors, self._messages = (_Iovec * BATCH)(), (_Message * BATCH)()
        self._held = ctypes.c_char.from_buffer(self._frames)
        start = ctypes.addressof(self._held)
        for n, (vector, message) in enumerate(zip(self._vectors, self._messages, strict=True)):
            vector.base = start + n * ROOM
            message.vector, message.vector_length = ctypes.addressof(vector), 1
        self._lengths = memoryview(self._vectors).cast("B").cast("L")[1::2]
        self._first = ctypes.addressof(self._messages)
        self._used = 0

    def put(self, frame: bytes) -> None:
        at, used, size = self._used * ROOM, self._used, len(frame)
        self._frames[at : at + size] = frame
        self._lengths[used] = size
        self._used = used + 1

    def send(self, fd: int) -> list[int]:
        used, self._used = self._used, 0
        at, failed = 0, []
        while at < used:
            message = self._first + at * ctypes.sizeof(_Message)
            sent = _sendmmsg(fd, message, used - at, socket.MSG_DONTWAIT)
            if sent < 0:
                if ctypes.get_errno() != errno.EINTR:
                    failed.append(at)
                    at += 1
            else:
                at += sent
        return failed


def _open(interface: Interface) -> socket.socket:
    try:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except PermissionError as exc:
        raise DriverError("packet sockets need root (CAP_NET_RAW)") from exc
    try:
        for option, value in (
            (PACKET_IGNORE_OUTGOING, 1),
            (PACKET_VNET_HDR, 1),
            (PACKET_AUXDATA, 1),
            (PACKET_VERSION, TPACKET_V2),
            (PACKET_COPY_THRESH, 1),
        ):
            opened.setsockopt(SOL_PACKET, option, value)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, COPIED)
    except OSError as exc:
        opened.close()
        raise DriverError(f"no packet socket on {interface.name}: {exc.strerror}") from exc
    return opened


def tag_of(auxiliary: Sequence[tuple[int, int, bytes]]) -> bytes:
    """The tag that the kernel took off a frame, from recvmsg's ancillary data; empty where there was none."""
    for level, kind, data in auxiliary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = _AUXDATA.unpack_from(data)
            if status & TP_STATUS_VLAN_VALID:
                return tag(status, tci, tpid)
    return b""


def tag(status: int, tci: int, tpid: int) -> bytes:
    """The four bytes of a tag as they stood on the wire."""
    return struct.pack("!HH", tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100, tci)
