"""The native loops of this folder, over slots and keys: too slow in Python, for machines that they are shipped for.

Each is one C file and one library beside it. A call gives up the interpreter's lock: threads run them side by side.
Every function has its Python twin, which defines it and runs where there is no library.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

FOLDER = Path(__file__).parent


@cache
def function(library: str, name: str, *arguments: Any) -> Callable[..., int] | None:
    """A function that takes `arguments` (ctypes' types) and returns 32 unsigned bits or nothing. None where this
    machine has no such library."""
    try:
        found = getattr(ctypes.CDLL(str(FOLDER / f"{library}.{platform.machine()}.so")), name)
    except (OSError, AttributeError):
        return None
    found.argtypes = arguments
    found.restype = ctypes.c_uint32
    return found  # type: ignore[no-any-return]


class Buffer(Protocol):
    """Numbers that stand side by side: an array, or what tells its place like one."""

    def buffer_info(self) -> tuple[int, int]:
        """Where the first stands, and how many there are."""


def address(held: Buffer | bytearray | memoryview | mmap.mmap) -> int:
    """Where numbers or bytes stand. They must outlive the call, and keep their length."""
    if not isinstance(held, bytearray | memoryview | mmap.mmap):
        return held.buffer_info()[0]
    return ctypes.addressof(ctypes.c_char.from_buffer(held)) if held else 0
