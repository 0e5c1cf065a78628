"""Frames as a capture's file holds them, with their comments. Pure."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dataplane.forwarding.capture import Captured
from dataplane.forwarding.decision import ANSWERED, DROPPED, ETH_HLEN, ETH_P_8021Q, FORWARDED, HOST, VLAN_HLEN
from dataplane.forwarding.values import TCP, UDP, Pool, ServiceKey, Target
from dataplane.plan import L2

IN_FRONT, BEHIND = "in front", "behind"
VERDICTS = {HOST: "left to the host", ANSWERED: "answered by the engine", FORWARDED: "forwarded", DROPPED: "dropped"}
"""What a comment calls a verdict."""


class Known(NamedTuple):
    """A service to which frames may belong."""

    key: ServiceKey
    name: str  # the virtual service's
    pool: Pool | None  # as the driver has it


class Kept(NamedTuple):
    """A frame of a capture's file."""

    number: int  # from 1; a frame in front of the decision shares it with the frames that left because of it
    nanoseconds: int  # since the epoch
    interface: str  # the interface by which it came or left
    where: str  # IN_FRONT or BEHIND
    frame: bytes  # the bytes that are kept
    size: int  # bytes of the whole
    comment: str


class Surroundings(NamedTuple):
    """What is needed to explain frames."""

    services: Mapping[bytes, Sequence[Known]]  # by VIP
    interfaces: Mapping[int, str]  # names by index
    epoch: int  # nanoseconds from the epoch to the beginning of CLOCK_MONOTONIC


def kept_of(number: int, captured: Captured, around: Surroundings) -> Iterator[Kept]:
    """The file's frames for one captured frame: the frame itself, and what left because of it."""
    came_by = around.interfaces.get(captured.interface, f"interface {captured.interface}")
    service, target = _explained(captured, around.services)
    says = _comment(captured, service, target)
    at = captured.nanoseconds + around.epoch
    yield Kept(number, at, came_by, IN_FRONT, captured.frame, captured.size, f"{IN_FRONT}: {says}")
    left_by = came_by
    if target is not None and target.interface is not None:
        left_by = around.interfaces.get(target.interface, f"interface {target.interface}")
    for left in captured.left:
        yield Kept(number, at, left_by, BEHIND, left.frame, left.size, f"{BEHIND}: {says}")


def _comment(captured: Captured, service: str, target: Target | None) -> str:
    """ "verdict dropped; reason no_service; virtual service web", "verdict forwarded; server 10.0.0.11; …"."""
    told = [f"verdict {VERDICTS.get(captured.action, captured.action)}"]
    if captured.reason:
        told.append(f"reason {captured.reason}")
    if target is not None:
        told.append(f"server {socket.inet_ntoa(target.address)}")
    if service:
        told.append(f"virtual service {service}")
    return "; ".join(told)


def _explained(captured: Captured, services: Mapping[bytes, Sequence[Known]]) -> tuple[str, Target | None]:
    """The name of a frame's virtual service, "" if it is not known; and the frame's server, told by the MAC address or
    by the outer destination of its tunnel."""
    vip, protocol, port = destination(captured.frame)
    on_vip = services.get(vip, ())
    if port is not None:  # else it may belong to any of them: an error, a later fragment
        on_vip = [one for one in on_vip if one.key.protocol == protocol and one.key.port <= port <= one.key.port_end]
    if captured.action != FORWARDED or not captured.left:
        return (on_vip[0].name if len(on_vip) == 1 else ""), None
    sent = captured.left[0].frame
    at = ETH_HLEN + (VLAN_HLEN if sent[12:14] == ETH_P_8021Q else 0)
    for one in on_vip:
        for target in one.pool.targets if one.pool is not None else ():
            assert one.pool is not None
            found = target.mac == sent[:6] if one.pool.mode == L2 else target.address == sent[at + 16 : at + 20]
            if found:
                return one.name, target
    return "", None


def destination(frame: bytes) -> tuple[bytes, int, int | None]:
    """The destination of an IP packet: address, protocol and port; None if it has no port."""
    at = ETH_HLEN + (VLAN_HLEN if frame[12:14] == ETH_P_8021Q else 0)
    head = frame[at : at + 20]
    if len(head) < 20:
        return b"", 0, None
    layer4 = at + (head[0] & 0x0F) * 4
    if head[9] not in (TCP, UDP) or int.from_bytes(head[6:8], "big") & 0x1FFF or len(frame) < layer4 + 4:
        return head[16:20], head[9], None
    return head[16:20], head[9], int.from_bytes(frame[layer4 + 2 : layer4 + 4], "big")
