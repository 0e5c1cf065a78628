"""The far end of a veth: the one interface whose state decides whether a frame that XDP sends arrives.

It takes such frames with NAPI alone, and is woken by those of XDP_TX only while it has an XDP program itself
(veth_xdp_flush in drivers/net/veth.c): with GRO in place of one they wait in its ring.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from dataplane.network import rtnetlink
from dataplane.network.rtnetlink import Request, RtnetlinkSocket

_RTM_GETLINK = 18
_IFINFOMSG = struct.Struct("=BxHiII")
# linux/if_link.h
_IFLA_IFNAME, _IFLA_LINK, _IFLA_LINK_NETNSID, _IFLA_XDP, _IFLA_TARGET_NETNSID = 3, 5, 37, 43, 46
_IFLA_XDP_ATTACHED = 2
_TYPE = 0x3FFF  # without NLA_F_NESTED


class FarEnd(NamedTuple):
    """A veth's other interface."""

    ifindex: int  # in its own namespace
    name: str  # in its own namespace
    has_program: bool  # an XDP program is attached to it


def of(index: int) -> FarEnd | None:
    """The far end of a veth of the calling thread's namespace; None where the kernel does not tell."""
    asking = RtnetlinkSocket()
    try:
        own = _link(asking, index)
        if _IFLA_LINK not in own:
            return None
        far = int.from_bytes(own[_IFLA_LINK], "little")
        told = _link(asking, far, own.get(_IFLA_LINK_NETNSID))
    except OSError:
        return None
    finally:
        asking.close()
    xdp = rtnetlink.attributes(told.get(_IFLA_XDP, b""), 0)
    name = told.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    return FarEnd(far, name, any(xdp.get(_IFLA_XDP_ATTACHED, b""))) if told else None


def _link(asking: RtnetlinkSocket, index: int, namespace: bytes | None = None) -> dict[int, bytes]:
    """The attributes of a link; none where it is not to be seen. Raises OSError."""
    body = _IFINFOMSG.pack(0, 0, index, 0, 0)
    if namespace is not None:
        body += rtnetlink.attribute(_IFLA_TARGET_NETNSID, namespace)
    (answer,) = asking.ask([Request(_RTM_GETLINK, 0, body)])
    if answer.error:
        return {}
    return {kind & _TYPE: value for kind, value in rtnetlink.attributes(answer.body, _IFINFOMSG.size).items()}
