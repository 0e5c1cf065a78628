"""What all objects of the kernel have in common: a file descriptor, a pin, what the kernel tells about them."""

from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_uint32
from pathlib import Path
from typing import ClassVar, Self

from dataplane.bpf.libbpf import call, check


class Handle:
    """A file descriptor of a BPF object, closed once."""

    KIND: ClassVar[str]  # as libbpf's functions call it

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def by_id(cls, number: int) -> Self:
        """The object of an id. Raises DriverError."""
        return cls(check(f"open {cls.__name__.lower()} {number}", call(f"bpf_{cls.KIND}_get_fd_by_id", number)))

    @classmethod
    def pinned(cls, path: Path) -> Self:
        """The object pinned at a path. Raises DriverError."""
        return cls(check(f"open {path}", call("bpf_obj_get", os.fsencode(path))))

    def close(self) -> None:
        """Close it; what is pinned or attached lives on."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pin(self, path: Path) -> None:
        """Give it a name in the BPF file system. Raises DriverError."""
        check(f"pin {path}", call("bpf_obj_pin", self.fd, os.fsencode(path)))

    def info(self, size: int) -> bytes:
        """The first bytes of what the kernel tells about it: struct bpf_map_info, bpf_prog_info, bpf_link_info."""
        buffer, length = ctypes.create_string_buffer(size), c_uint32(size)
        check("object info", call("bpf_obj_get_info_by_fd", self.fd, buffer, byref(length)))
        return buffer.raw


def word(info: bytes, offset: int) -> int:
    """A number of four bytes in such an answer."""
    return int.from_bytes(info[offset : offset + 4], "little")
