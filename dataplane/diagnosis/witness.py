"""Sees which probes of an examination leave this host, and which answers come back to it. Packet sockets see them
beneath routing, reverse path filter and firewall (packet(7)). This host itself dropped an answer that came and that no
probe heard.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self

from dataplane.network import icmp, ownhost
from dataplane.network.ownhost import OWN_HOST
from dataplane.network.reachability import Fault
from dataplane.runtime.rawsocket import BURST, attach_filter

_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_HEADS = 128  # bytes: a tunnel's headers, the IP header and enough of what follows
# linux/filter.h, linux/bpf_common.h: load a word, jump if equal, return
_LOAD, _JUMP, _RETURN = 0x20, 0x15, 0x06
_AD_PROTOCOL, _AD_PKTTYPE, _AD_MARK = (0xFFFFF000 + offset for offset in (0, 4, 20))
_SOURCE, _DESTINATION = 12, 16

ECHO = 0
"""Stands for an answer to ping, where an answer of TCP or UDP has its port."""
_SYN, _FLAGS_AT, _UDP_HLEN = 0x02, 13, 8

Answers = tuple[bytes, int]
"""A sender, and its port or ECHO."""


class _Conversation(NamedTuple):
    """What probe and answer share."""

    port: int  # the answering one, or ECHO
    own: int  # the asking port, or identifier and number of an echo


class Probes(NamedTuple):
    """What one server is asked for one VIP."""

    mark: int  # of the packets to the VIP
    source: bytes  # the engine's own address
    vip: bytes  # the address
    server: bytes  # its own address
    overhead: int  # bytes of the tunnel's headers; 0: layer 2


class Witness:
    """Looks at the packets of one examination. left: whether a probe was seen to leave; came: the interface by which
    answers came last; dropped: packets that the reverse path filter dropped."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._asked: set[_Conversation] = set()
        self.left = False
        self.came: dict[Answers, str] = {}
        self._before = ownhost.dropped_by_path()
        self._wire: socket.socket | None = None

    @classmethod
    @contextmanager
    def of(cls, probes: Probes) -> Iterator[Self]:
        """A witness for some probes. Of the VIP's answers it sees those to these probes alone: all servers answer from
        the VIP."""
        made = cls(probes)
        with suppress(OSError):  # then nothing is seen, and nothing is said
            made._open()
        try:
            yield made
        finally:
            made._close()

    @property
    def looks(self) -> bool:
        """Whether it sees anything at all."""
        return self._wire is not None

    @property
    def dropped(self) -> int:
        """Packets that the reverse path filter dropped meanwhile, whosever they were."""
        return ownhost.dropped_by_path() - self._before

    def _open(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        wire = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_ALL))
        try:
            attach_filter(wire, _program(self._probes))
            with suppress(BlockingIOError):
                while True:  # what came before the filter was there
                    wire.recv(1)
            asyncio.get_running_loop().add_reader(wire, self._receive, wire)
        except BaseException:
            wire.close()
            raise
        self._wire = wire

    def _close(self) -> None:
        if self._wire is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._wire)
            # The kernel lets go of a packet socket when no processor can be in it any more: 10 to 20 ms.
            loop.run_in_executor(None, self._wire.close)

    def _receive(self, wire: socket.socket) -> None:
        for _ in range(BURST):
            try:
                packet, (interface, _, kind, *_) = wire.recvfrom(_HEADS)
            except OSError:
                return
            if kind == socket.PACKET_OUTGOING:
                self._leaves(packet)
            elif kind == socket.PACKET_HOST:  # not what a switch sends everywhere, for another MAC address
                self._comes(packet, interface)

    def _leaves(self, packet: bytes) -> None:
        packet = packet[self._probes.overhead :]
        if packet[_DESTINATION : _DESTINATION + 4] == self._probes.vip:
            self.left = True
            if (asked := _conversation(packet, answers=False)) is not None:
                self._asked.add(asked)

    def _comes(self, packet: bytes, interface: str) -> None:
        sender, asked = packet[_SOURCE : _SOURCE + 4], _conversation(packet, answers=True)
        if asked is not None and (sender != self._probes.vip or asked in self._asked):
            self.came[sender, asked.port] = interface


def _conversation(packet: bytes, *, answers: bool) -> _Conversation | None:
    """What a packet begins, or answers; None for anything but echoes, UDP, and SYNs of TCP."""
    inner = icmp.message(packet)  # what follows the IP header
    if packet[9] == socket.IPPROTO_ICMP and inner[:1] == bytes([icmp.ECHO_REPLY if answers else icmp.ECHO_REQUEST]):
        return _Conversation(ECHO, int.from_bytes(inner[4:8], "big"))
    syn = packet[9] == socket.IPPROTO_TCP and len(inner) > _FLAGS_AT and inner[_FLAGS_AT] & _SYN
    if syn or (packet[9] == socket.IPPROTO_UDP and len(inner) >= _UDP_HLEN):
        from_port, to_port = struct.unpack_from("!HH", inner)
        return _Conversation(from_port, to_port) if answers else _Conversation(to_port, from_port)
    return None


def deaf(sender: bytes, interface: str, dropped: int, settings: Fault) -> tuple[Fault, str]:
    """Why a host dropped answers that had come to it, and advice. dropped: how many packets the reverse path filter
    dropped meanwhile; settings: what is wrong with its settings."""
    if settings.reason:
        grew = f" (TcpExt IPReversePathFilter grew by {dropped})" if dropped > 0 else ""
        return Fault(settings.reason + grew, settings.remedy), ""
    what = f"{OWN_HOST} drops the answers of {socket.inet_ntoa(sender)}, which come by {interface}: its firewall?"
    return Fault(what), "`nft list ruleset` and `iptables-save` on it: what comes back to the engine must get in"


def mute(full: Fault) -> tuple[Fault, str]:
    """Why a host lets no probe out, and advice. full: what is said of its connection table."""
    if full.reason:
        return full, ""
    return Fault(f"{OWN_HOST} lets no probe out: its firewall?"), "`nft list ruleset` and `iptables-save` on it"


def _program(probes: Probes) -> Iterator[bytes]:
    """A filter (classic BPF) that takes the outgoing probes, and what comes from server and VIP to the engine."""
    own, vip, server = (int.from_bytes(one, "big") for one in (probes.source, probes.vip, probes.server))
    yield _step(_LOAD, _AD_PROTOCOL)
    yield _step(_JUMP, _ETH_P_IP, 0, 11)
    yield _step(_LOAD, _AD_PKTTYPE)
    yield _step(_JUMP, socket.PACKET_OUTGOING, 0, 4)
    if probes.overhead:  # what puts a probe into its tunnel takes the mark away
        yield _step(_LOAD, _DESTINATION)
        yield _step(_JUMP, server, 0, 7)
    else:
        yield _step(_LOAD, _AD_MARK)
        yield _step(_JUMP, probes.mark, 0, 7)
    yield _step(_LOAD, probes.overhead + _SOURCE)
    yield _step(_JUMP, own, 6, 5)
    yield _step(_LOAD, _DESTINATION)
    yield _step(_JUMP, own, 0, 3)
    yield _step(_LOAD, _SOURCE)
    yield _step(_JUMP, vip, 2, 0)
    yield _step(_JUMP, server, 1, 0)
    yield _step(_RETURN, 0)
    yield _step(_RETURN, 0xFFFF)


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)
