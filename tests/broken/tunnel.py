"""A tunnel device made by hand, for kernels without ipip: what comes in IP-in-IP comes out of it, as if received there.

python -m tests.broken.tunnel NAME
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


def main(name: str) -> None:
    """Decapsulate for ever. A raw socket of the protocol also keeps the kernel from calling it unreachable."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP) as packets:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        while True:
            packet = packets.recv(65536)
            try:
                os.write(device, packet[(packet[0] & 0x0F) * 4 :])
            except OSError:  # the device is not up yet
                continue


if __name__ == "__main__":
    main(sys.argv[1])
