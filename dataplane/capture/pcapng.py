"""Writes pcapng files whose packets have comments (draft-ietf-opsawg-pcapng): a section, its interfaces, packets."""

from __future__ import annotations

import struct
from typing import BinaryIO

from dataplane.capture.kept import IN_FRONT, Kept
from dataplane.foreign.capture import ETHERNET
from dataplane.version import VERSION

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_MAGIC, _UNKNOWN_LENGTH = 0x1A2B3C4D, 0xFFFFFFFFFFFFFFFF
_END, _COMMENT = 0, 1
_USERAPPL, _NAME, _TSRESOL = 4, 2, 9  # shb_userappl, if_name, if_tsresol
_FLAGS, _PACKETID = 2, 5  # epb_flags, epb_packetid
_INBOUND, _OUTBOUND = 1, 2
_NANOSECONDS = b"\x09"
_LONGEST = 0xFFFF
"""Bytes of an option's value."""


class PcapngWriter:
    """A file of Ethernet frames. comment: of the whole; snap: bytes of a frame that are kept. Raises OSError."""

    def __init__(self, stream: BinaryIO, comment: str, snap: int) -> None:
        self._stream, self._snap = stream, snap
        self._interfaces: dict[str, int] = {}
        self.size = 0
        """Bytes written."""
        head = struct.pack("=IHHQ", _MAGIC, 1, 0, _UNKNOWN_LENGTH)
        self._block(_SECTION, head + _options((_COMMENT, _text(comment)), (_USERAPPL, _text(f"avi-se {VERSION}"))))

    def write(self, kept: Kept) -> None:
        """Append a frame."""
        number = self._interfaces.get(kept.interface)
        if number is None:
            number = self._described(kept.interface)
        head = struct.pack(
            "=IIIII",
            number,
            kept.nanoseconds >> 32,
            kept.nanoseconds & 0xFFFFFFFF,
            len(kept.frame),
            kept.size,
        )
        flags = _INBOUND if kept.where == IN_FRONT else _OUTBOUND
        self._block(
            _PACKET,
            head
            + _padded(kept.frame)
            + _options(
                (_COMMENT, _text(kept.comment)),
                (_FLAGS, struct.pack("=I", flags)),
                (_PACKETID, struct.pack("=Q", kept.number)),
            ),
        )

    def _described(self, name: str) -> int:
        """Describe an interface. Returns its number."""
        head = struct.pack("=HHI", ETHERNET, 0, self._snap)
        self._block(_INTERFACE, head + _options((_NAME, _text(name)), (_TSRESOL, _NANOSECONDS)))
        self._interfaces[name] = len(self._interfaces)
        return self._interfaces[name]

    def _block(self, kind: int, body: bytes) -> None:
        length = struct.pack("=I", len(body) + 12)
        self._stream.write(struct.pack("=I", kind) + length + body + length)
        self.size += len(body) + 12


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:_LONGEST]


def _options(*options: tuple[int, bytes]) -> bytes:
    packed = (struct.pack("=HH", code, len(value)) + _padded(value) for code, value in options)
    return b"".join(packed) + struct.pack("=HH", _END, 0)


def _padded(data: bytes) -> bytes:
    """To a multiple of 4 bytes."""
    return data + bytes(-len(data) % 4)
