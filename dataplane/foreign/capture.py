"""Reads capture files, pcap and pcapng, of any program; writes pcap files.

Sources: draft-ietf-opsawg-pcap (the link-type word with its FCS bits), draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from dataplane.foreign import files
from dataplane.foreign.errors import ForeignError

ETHERNET = 1
"""LINKTYPE_ETHERNET, the only link type that can be replayed."""
LARGEST = 1 << 18
"""The most bytes in a frame, as for capturing programs (libpcap's MAXIMUM_SNAPLEN)."""
LATEST = 0xFFFFFFFF * 10**9 + 999_999_999
"""The latest time that fits a pcap file, nanoseconds."""
_MAGICS = {b"\xa1\xb2\xc3\xd4": (">", 1000), b"\xd4\xc3\xb2\xa1": ("<", 1000),
           b"\xa1\xb2\x3c\x4d": (">", 1), b"\x4d\x3c\xb2\xa1": ("<", 1)}  # fmt: skip
"""Byte order, and nanoseconds of a time's smaller unit."""
_SECTION = b"\x0a\x0d\x0d\x0a"  # the same in either order
_INTERFACE, _OLD_PACKET, _SIMPLE, _PACKET = 1, 2, 3, 6
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_LARGEST_BLOCK = 16 << 20
_TSRESOL, _FCSLEN, _TSOFFSET = 9, 13, 14
_FCS_PRESENT = 0x04000000


class Frame(NamedTuple):
    """A captured frame."""

    number: int  # from 1
    data: bytes  # as long as it was on the wire; bytes that were not captured are zeros
    nanoseconds: int  # when, since the epoch
    cut: bool  # the capture holds only its beginning


def frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a capture in order. Raises ForeignError if it is no capture of Ethernet frames, or where it
    is damaged; OSError."""
    with files.opened(path) as stream:
        yield from _frames(stream)


def _frames(stream: BinaryIO) -> Iterator[Frame]:
    number, head = 0, stream.read(4)
    if not head:
        raise ForeignError("it is empty")
    try:
        found = _pcap(stream, *_MAGICS[head]) if head in _MAGICS else _pcapng(stream, head)
        for number, (content, length, nanoseconds, fcs) in enumerate(found, start=1):
            if max(len(content), length) > LARGEST:
                raise ForeignError(f"it has {max(len(content), length)} bytes, more than any capture", "this frame")
            cut = length > len(content)
            whole = content.ljust(length, b"\0")
            if fcs:
                whole = whole[: max(0, len(whole) - fcs)]
            yield Frame(number, whole, min(max(0, nanoseconds), LATEST), cut)
    except (struct.error, EOFError) as exc:
        raise ForeignError("the file ends in the middle", f"frame {number + 1}") from exc


def _take(stream: BinaryIO, count: int) -> bytes:
    """Read exactly so many bytes. Raises EOFError if there are fewer."""
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _link(word: int) -> None:
    """Raises ForeignError for a link type other than Ethernet. The upper bits tell of the checksum."""
    if word & 0xFFFF != ETHERNET:
        raise ForeignError(f"link type {word & 0xFFFF}; only Ethernet ({ETHERNET}) can be replayed")


def _pcap(stream: BinaryIO, order: str, unit: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Content, length on the wire, nanoseconds, bytes of the checksum."""
    (word,) = struct.unpack(f"{order}16xI", _take(stream, 20))
    _link(word)
    fcs = (word >> 28) * 2 if word & _FCS_PRESENT else 0
    record = struct.Struct(f"{order}IIII")
    while head := stream.read(record.size):
        seconds, small, captured, length = record.unpack(head)
        if captured > LARGEST:
            raise ForeignError(f"a frame has {captured} bytes, more than any capture")
        yield _take(stream, captured), length, seconds * 10**9 + small * unit, fcs


class _Described(NamedTuple):
    """An interface of a pcapng section."""

    link: int
    snap: int  # bytes of a frame that are captured, 0: all
    ticks: int  # units of time in a second
    offset: int  # seconds to add to each time
    fcs: int  # bytes of a frame's checksum


def _pcapng(stream: BinaryIO, begun: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """As `_pcap`. begun: the four bytes that were read already."""
    order, interfaces = "", list[_Described]()
    while head := begun + stream.read(8 - len(begun)):
        begun = magic = b""
        if head[:4] == _SECTION:
            magic, interfaces = stream.read(4), []
            order = _ORDERS.get(magic, "")
        if not order:
            raise ForeignError("it is no capture file (pcap or pcapng)")
        if len(head) < 8:
            raise EOFError
        kind, size = struct.unpack(f"{order}II", head)
        if size < 12 + len(magic) or size % 4 or size > _LARGEST_BLOCK:
            raise ForeignError(f"a block has the size {size}")
        body = magic + _take(stream, size - 12 - len(magic))
        _take(stream, 4)
        if kind == _INTERFACE:
            interfaces.append(_described(body, order))
        elif kind in (_PACKET, _OLD_PACKET, _SIMPLE):
            yield _packet(kind, body, order, interfaces)


def _packet(kind: int, body: bytes, order: str, interfaces: list[_Described]) -> tuple[bytes, int, int, int]:
    if kind == _SIMPLE:
        index, high, low, begin = 0, 0, 0, 4
        (length,) = struct.unpack_from(f"{order}I", body)
    elif kind == _PACKET:
        index, high, low, captured, length = struct.unpack_from(f"{order}IIIII", body)
        begin = 20
    else:
        index, high, low, captured, length = struct.unpack_from(f"{order}HxxIIII", body)
        begin = 20
    if index >= len(interfaces):
        raise ForeignError(f"a frame of interface {index}, which the file does not describe")
    one = interfaces[index]
    _link(one.link)
    if kind == _SIMPLE:
        captured = min(length, one.snap or length)
    if captured > len(body) - begin:
        raise EOFError
    seconds, rest = divmod(high << 32 | low, one.ticks)
    nanoseconds = (seconds + one.offset) * 10**9 + rest * 10**9 // one.ticks
    return body[begin : begin + captured], length, nanoseconds, one.fcs


def _described(body: bytes, order: str) -> _Described:
    link, snap = struct.unpack_from(f"{order}HxxI", body)
    ticks, offset, fcs, at = 10**6, 0, 0, 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(f"{order}HH", body, at)
        value = body[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
        if code == 0:
            break
        if code == _TSRESOL and size == 1:
            ticks = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == _TSOFFSET and size == 8:
            (offset,) = struct.unpack(f"{order}q", value)
        elif code == _FCSLEN and size == 1:
            fcs = value[0]
    return _Described(link, snap, ticks, offset, fcs)


class Writer:
    """A pcap file of Ethernet frames, with times in microseconds. Raises OSError."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        stream.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, LARGEST, ETHERNET))

    def write(self, frame: bytes, nanoseconds: int, size: int = 0) -> None:
        """Append a frame. size: bytes of the whole frame, if only its beginning is given."""
        seconds, rest = divmod(nanoseconds, 10**9)
        self._stream.write(struct.pack("<IIII", seconds, rest // 1000, len(frame), max(size, len(frame))) + frame)
