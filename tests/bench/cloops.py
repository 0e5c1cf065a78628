"""Loops in C that measure, or that are measured against: built when they are needed."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .measure import Unmeasurable

FOLDER = Path(__file__).parent


@contextmanager
def built(source: str) -> Iterator[ctypes.CDLL]:
    """The library of a source of this folder. Raises Unmeasurable where there is no compiler."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "built.so"
        try:
            subprocess.run(["clang", "-O2", "-fPIC", "-shared", FOLDER / source, "-o", path], check=True)
        except FileNotFoundError as exc:
            raise Unmeasurable("clang is not installed") from exc
        yield ctypes.CDLL(str(path))
