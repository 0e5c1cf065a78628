"""What an interface of the calling thread's namespace is and does, asked by ioctl (linux/ethtool.h, netdevice(7))."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from contextlib import suppress
from typing import NamedTuple

_SIOCGIFFLAGS, _SIOCGIFMTU, _SIOCGIFHWADDR, _SIOCETHTOOL = 0x8913, 0x8921, 0x8927, 0x8946
_SIOCBONDSLAVEINFOQUERY, _SIOCBONDINFOQUERY = 0x8993, 0x8994
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_GDRVINFO, _GSTRINGS, _GGRO, _GSSET_INFO, _GFEATURES, _SFEATURES = 0x03, 0x1B, 0x2B, 0x37, 0x3A, 0x3B
_SS_FEATURES = 4  # enum ethtool_stringset
_STRING = 32  # ETH_GSTRING_LEN
_BLOCK = struct.Struct("=IIII")  # struct ethtool_get_features_block: available, requested, active, never_changed
_DRVINFO_SIZE = 196
_DRIVER, _BUS = slice(4, 36), slice(100, 132)  # struct ethtool_drvinfo
_NAME = 16


class Feature(NamedTuple):
    """A feature that `ethtool -k` lists."""

    active: bool
    changeable: bool  # by ethtool -K


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


def features(name: str) -> dict[str, Feature]:
    """What its network driver does for frames, by the kernel's names (net/ethtool/common.c). Raises OSError."""
    names = _feature_names(name)
    blocks = (len(names) + 31) // 32
    answer = array.array("B", struct.pack("=II", _GFEATURES, blocks) + bytes(blocks * _BLOCK.size))
    _ask(name, answer)
    told = list(_BLOCK.iter_unpack(answer[8:]))
    return {
        feature: Feature(bool(told[n // 32][2] >> n % 32 & 1), bool(told[n // 32][0] >> n % 32 & 1))
        for n, feature in enumerate(names)
    }


def set_feature(name: str, feature: str, active: bool) -> None:
    """Switch a feature of its network driver on or off. `features` tells whether that took effect. Raises OSError."""
    names = _feature_names(name)
    number, blocks = names.index(feature), (len(names) + 31) // 32
    wanted = [(0, 0)] * blocks  # struct ethtool_set_features_block: valid, requested
    wanted[number // 32] = 1 << number % 32, int(active) << number % 32
    words = b"".join(struct.pack("=II", *block) for block in wanted)
    _ask(name, array.array("B", struct.pack("=II", _SFEATURES, blocks) + words))


def bonded(name: str) -> list[str]:
    """The interfaces that a bond is made of; none of what is no bond (linux/if_bonding.h)."""
    told = array.array("B", struct.pack("=iii", 0, 0, 0))  # struct ifbond: mode, slaves, miimon
    found = []
    with suppress(OSError):
        _ask(name, told, _SIOCBONDINFOQUERY)
        for number in range(struct.unpack("=iii", told.tobytes())[1]):
            slave = array.array("B", struct.pack("=i16s8x", number, b""))  # struct ifslave
            _ask(name, slave, _SIOCBONDSLAVEINFOQUERY)
            found.append(slave.tobytes()[4:20].split(b"\0")[0].decode())
    return found


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


def mtu(name: str) -> int:
    """Its MTU. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        (told,) = struct.unpack_from("i", fcntl.ioctl(asking, _SIOCGIFMTU, struct.pack("16s24x", name.encode())), _NAME)
    return int(told)


def _text(name: str, part: slice) -> str:
    answer = array.array("B", struct.pack("=I", _GDRVINFO).ljust(_DRVINFO_SIZE, b"\0"))
    try:
        _ask(name, answer)
    except OSError:
        return ""
    return answer.tobytes()[part].split(b"\0")[0].decode("ascii", "replace")


def _feature_names(name: str) -> list[str]:
    """Raises OSError."""
    counted = array.array("B", struct.pack("=IIQI", _GSSET_INFO, 0, 1 << _SS_FEATURES, 0))
    _ask(name, counted)
    (number,) = struct.unpack_from("=I", counted, 16)
    told = array.array("B", struct.pack("=III", _GSTRINGS, _SS_FEATURES, number) + bytes(number * _STRING))
    _ask(name, told)
    strings = told.tobytes()[12:]
    return [strings[n * _STRING : (n + 1) * _STRING].split(b"\0")[0].decode() for n in range(number)]


def _ask(name: str, answer: array.array[int], what: int = _SIOCETHTOOL) -> None:
    """Raises OSError."""
    request = struct.pack("16sP16x", name.encode(), answer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, what, request)
