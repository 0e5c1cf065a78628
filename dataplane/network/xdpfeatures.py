"""What an interface of the calling thread's namespace does for XDP, as its network driver says. Linux tells of it from
6.3 on, by the generic netlink family `netdev` (linux/netdev.h, linux/genetlink.h)."""

from __future__ import annotations

import socket
import struct

from dataplane.network import rtnetlink

SENDS, SENDS_PIECES = 1 << 2, 1 << 6  # NETDEV_XDP_ACT_NDO_XMIT, NETDEV_XDP_ACT_NDO_XMIT_SG
_GENERIC = struct.Struct("=BBH")  # genlmsghdr: command, version
_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2  # GENL_ID_CTRL, CTRL_CMD_…, CTRL_ATTR_…
_GET_DEVICE, _INDEX, _FEATURES = 1, 1, 3  # NETDEV_CMD_DEV_GET, NETDEV_A_DEV_…
_NETLINK_GENERIC = 16
_PATIENCE = 5.0


def told(index: int) -> int | None:
    """The features of an interface, NETDEV_XDP_ACT_… bits; None where the kernel does not tell."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as asking:
            asking.settimeout(_PATIENCE)
            family = _asked(asking, _CONTROL, _GET_FAMILY, rtnetlink.attribute(_FAMILY_NAME, b"netdev\0"))[_FAMILY_ID]
            number = struct.pack("=I", index)
            device = _asked(asking, int.from_bytes(family, "little"), _GET_DEVICE, rtnetlink.attribute(_INDEX, number))
    except (OSError, KeyError):
        return None
    return int.from_bytes(device.get(_FEATURES, b""), "little")


def _asked(asking: socket.socket, family: int, command: int, attributes: bytes) -> dict[int, bytes]:
    """The attributes of the answer to a request. Raises OSError."""
    body = _GENERIC.pack(command, 1, 0) + attributes
    length = rtnetlink.HEADER.size + len(body)
    asking.send(rtnetlink.HEADER.pack(length, family, rtnetlink.NLM_F_REQUEST, 1, 0) + body)
    answer = next(rtnetlink.messages(asking.recv(rtnetlink.ROOM)))
    if answer.kind == rtnetlink.NLMSG_ERROR:
        raise OSError(rtnetlink.error(answer), "the kernel does not tell")
    return rtnetlink.attributes(answer.body, _GENERIC.size)
