"""The file in which an engine notes the VIPs that it has announced, and its MAC addresses: read by itself when it
starts again, and by the other engines of its state directory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIX = ".vips"
_VIP, _MAC = "vip", "mac"
_LARGEST = 1 << 22


class VipRecord:
    """One engine's file, written anew soon after every change. path: of the file; the others' lie beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._vips: set[bytes] = set()
        self._macs: frozenset[bytes] = frozenset()
        self._due: asyncio.Handle | None = None

    def start(self, planned: Iterable[bytes]) -> None:
        """Read the VIPs that engines have announced before, as far as they are still planned."""
        wanted = set(planned)
        for file in self._path.parent.glob(f"*{SUFFIX}"):
            self._vips |= wanted & {bytes.fromhex(value) for kind, value in _lines(file) if kind == _VIP}
        self._write()

    def follow(self, macs: Iterable[bytes]) -> None:
        """Note the engine's MAC addresses."""
        found = frozenset(macs)
        if found != self._macs:
            self._macs = found
            self._changed()

    def others(self) -> frozenset[bytes]:
        """The MAC addresses of the other engines."""
        files = [file for file in self._path.parent.glob(f"*{SUFFIX}") if file != self._path]
        return frozenset(bytes.fromhex(value) for file in files for kind, value in _lines(file) if kind == _MAC)

    def __contains__(self, vip: bytes) -> bool:
        return vip in self._vips

    def add(self, vip: bytes) -> None:
        """Note that a VIP is announced."""
        if vip not in self._vips:
            self._vips.add(vip)
            self._changed()

    def remove(self, vip: bytes) -> None:
        """Note that a VIP is no longer configured."""
        if vip in self._vips:
            self._vips.remove(vip)
            self._changed()

    def close(self) -> None:
        """Write what is not written yet."""
        if self._due is not None:
            self._due.cancel()
            self._write()

    def _changed(self) -> None:
        if self._due is None:  # a thousand VIPs that are answered for together are one change
            self._due = asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._due = None
        lines = [(_MAC, mac) for mac in sorted(self._macs)] + [(_VIP, vip) for vip in sorted(self._vips)]
        made = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            made.write_text("".join(f"{kind} {value.hex()}\n" for kind, value in lines), "ascii")
            made.replace(self._path)
        except OSError:  # a full disk: a VIP is asked for once more than it must be, and nothing else
            made.unlink(missing_ok=True)


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """What a file holds; a damaged line is passed over."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode("ascii", "replace")
    except OSError:
        return
    for line in text.splitlines():
        kind, _, value = line.partition(" ")
        if len(value) == {_VIP: 8, _MAC: 12}.get(kind) and all(digit in "0123456789abcdef" for digit in value):
            yield kind, value
