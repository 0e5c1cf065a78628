"""What an interface of the calling thread's namespace is and does, asked by ioctl (linux/ethtool.h, netdevice(7))."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from contextlib import suppress

_SIOCGIFFLAGS, _SIOCGIFHWADDR, _SIOCETHTOOL = 0x8913, 0x8927, 0x8946
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_GDRVINFO, _GGRO = 0x03, 0x2B
_DRVINFO_SIZE = 196
_DRIVER, _BUS = slice(4, 36), slice(100, 132)  # struct ethtool_drvinfo
_NAME = 16


def network_driver(name: str) -> str:
    """The name of its network driver, such as "veth" or "bridge"; "" where it tells none."""
    return _text(name, _DRIVER)


def bus(name: str) -> str:
    """The address of its card on a bus of the machine; of other interfaces anything else, mostly ""."""
    return _text(name, _BUS)


def has_gro(name: str) -> bool:
    """Whether the kernel puts received segments together before anybody sees them (generic receive offload)."""
    answer = array.array("B", struct.pack("=II", _GGRO, 0))
    with suppress(OSError):
        _ask(name, answer)
    return bool(struct.unpack("=II", answer.tobytes())[1])


def is_running(name: str) -> bool:
    """Whether it is up and has a carrier."""
    request = struct.pack("16sH22x", name.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            (flags,) = struct.unpack_from("H", fcntl.ioctl(asking, _SIOCGIFFLAGS, request), _NAME)
        except OSError:
            return False
    return int(flags) & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING


def mac(name: str) -> bytes:
    """Its MAC address. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        return fcntl.ioctl(asking, _SIOCGIFHWADDR, struct.pack("16s24x", name.encode()))[18:24]


def _text(name: str, part: slice) -> str:
    answer = array.array("B", struct.pack("=I", _GDRVINFO).ljust(_DRVINFO_SIZE, b"\0"))
    try:
        _ask(name, answer)
    except OSError:
        return ""
    return answer.tobytes()[part].split(b"\0")[0].decode("ascii", "replace")


def _ask(name: str, answer: array.array[int]) -> None:
    """Raises OSError."""
    request = struct.pack("16sP16x", name.encode(), answer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, _SIOCETHTOOL, request)
