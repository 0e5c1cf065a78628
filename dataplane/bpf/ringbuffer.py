"""What programs write into a BPF_MAP_TYPE_RINGBUF (kernel: Documentation/bpf/ringbuf.rst)."""

from __future__ import annotations

import mmap
import struct

from dataplane.bpf.maps import Map
from dataplane.errors import DriverError

_BUSY, _DISCARD, _HEADER = 1 << 31, 1 << 30, 8
_POSITION, _LENGTH = struct.Struct("=Q"), struct.Struct("=I")


class RingBuffer:
    """Takes records from a ring. array: closed with this. Raises DriverError."""

    def __init__(self, array: Map) -> None:
        self._array, self._mask = array, array.max_entries - 1
        try:
            self._consumer = mmap.mmap(array.fd, mmap.PAGESIZE)
            size = mmap.PAGESIZE + 2 * array.max_entries  # it stands there twice, so that no record is cut
            self._producer = mmap.mmap(array.fd, size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        except OSError as exc:
            raise DriverError(f"the ring {array.name} cannot be mapped: {exc.strerror}") from exc

    def take(self) -> list[bytes]:
        """The records that are whole, in their order."""
        (at,), (end,) = _POSITION.unpack_from(self._consumer), _POSITION.unpack_from(self._producer)
        taken: list[bytes] = []
        while at < end:
            begin = mmap.PAGESIZE + (at & self._mask)
            (length,) = _LENGTH.unpack_from(self._producer, begin)
            if length & _BUSY:
                break
            size = length & ~_DISCARD
            if not length & _DISCARD:
                taken.append(self._producer[begin + _HEADER : begin + _HEADER + size])
            at += (size + _HEADER + 7) & ~7
        _POSITION.pack_into(self._consumer, 0, at)
        return taken

    def close(self) -> None:
        """Take no more."""
        self._producer.close()
        self._consumer.close()
        self._array.close()
