"""The BPF file system, where pins are."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from dataplane.errors import DriverError

BPFFS = Path("/sys/fs/bpf")
BPF_FS_MAGIC = 0xCAFE4A11  # linux/magic.h


def file_system() -> Path:
    """The BPF file system, mounted in this mount namespace if it was not. Raises DriverError."""
    if _is_bpffs(BPFFS):
        return BPFFS
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(BPFFS), b"bpf", 0, b"mode=0700"):
        reason = os.strerror(ctypes.get_errno())
        remedy = f"run as root: mount -t bpf bpf {BPFFS}" if os.geteuid() else f"mount -t bpf bpf {BPFFS}"
        raise DriverError(f"{BPFFS} has no BPF file system, and it cannot be mounted: {reason}", remedy=remedy)
    return BPFFS


def _is_bpffs(path: Path) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)  # struct statfs begins with f_type, a long
    if libc.statfs(os.fsencode(path), buffer):
        return False
    return int.from_bytes(buffer.raw[:4], "little") == BPF_FS_MAGIC
