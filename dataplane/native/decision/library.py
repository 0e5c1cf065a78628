"""The library of this folder, for machines that it is shipped for: its functions, by the headers beside it."""

from __future__ import annotations

import ctypes
import os
import platform
from ctypes import POINTER, c_char_p, c_int, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from dataplane.errors import DriverError

FOLDER = Path(__file__).parent
MAX_WORKERS = 32


class Told(ctypes.Structure):
    """struct told of writer.h."""

    _fields_ = (
        ("name", c_char_p),
        ("size", c_uint64),
        ("kind", c_uint32),
        ("key", c_uint32),
        ("value", c_uint32),
        ("entries", c_uint32),
        ("copies", c_uint32),
    )


class Frame(ctypes.Structure):
    """struct frame of decision.h."""

    _fields_ = (
        ("start", c_void_p),
        ("length", c_uint32),
        ("headroom", c_uint32),
        ("tailroom", c_uint32),
        ("interface", c_uint32),
        ("surplus", c_uint32),
    )


class Sent(ctypes.Structure):
    """struct sent of decision.h."""

    _fields_ = (("service", c_void_p), ("server", c_void_p), ("bytes", c_uint32))


_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "map_told": (Told, c_uint32, c_uint32),
    "maps_attach": (c_void_p, POINTER(c_int), c_uint32, c_uint32, c_uint64, c_int),
    "maps_close": (None, c_void_p),
    "maps_workers": (c_uint32, c_void_p),
    "maps_settle": (c_int, c_void_p, c_uint32),
    "map_lookup": (c_int, c_void_p, c_uint32, c_char_p, c_void_p),
    "map_update": (c_int, c_void_p, c_uint32, c_char_p, c_char_p),
    "map_update_all": (c_int, c_void_p, c_uint32, c_char_p, c_char_p, c_uint32),
    "map_delete": (None, c_void_p, c_uint32, c_char_p),
    "map_batch": (c_uint32, c_void_p, c_uint32, POINTER(c_uint64), c_void_p, c_void_p, c_uint32),
    "counts_read": (None, c_void_p, c_uint32, c_uint32, c_uint32, c_void_p),
    "counts_write": (None, c_void_p, c_uint32, c_uint32, c_char_p),
    "workers_ended": (None, c_void_p),
    "worker_begin": (c_void_p, c_void_p, c_uint32, c_int),
    "worker_end": (None, c_void_p),
    "worker_online": (None, c_void_p, c_uint64),
    "worker_offline": (None, c_void_p),
    "worker_sample": (None, c_void_p, c_uint32),
    "sent_counters": (Sent, c_void_p),
    "not_sent": (None, c_void_p, POINTER(Sent)),
    "slow_frame_of": (c_void_p, c_void_p),
    "decide_copy": (c_int, c_void_p, c_char_p, c_uint64, POINTER(Frame), c_void_p),
}
"""Of each what it returns, then what it takes."""


@cache
def shipped() -> ctypes.CDLL:
    """The library. Raises DriverError where there is none for this processor."""
    path = FOLDER / f"decision.{platform.machine()}.so"
    try:
        return opened(path)
    except OSError as exc:
        raise DriverError(f"no native decision for this processor: {exc}") from exc


def opened(path: Path) -> ctypes.CDLL:
    """A library that was built of this folder. Raises OSError."""
    library = ctypes.CDLL(os.fspath(path), use_errno=True)
    for name, (result, *arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
