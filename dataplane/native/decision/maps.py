"""The maps of the native decision: files, or memory of this process and its children.

A map has the methods of `dataplane.bpf.maps.Map`, so that the same writers fill it. What a writer takes away is used
again when every worker has begun another burst.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from array import array
from collections.abc import Iterator, Mapping
from ctypes import byref, c_int, c_uint64
from pathlib import Path

from dataplane.errors import DriverError
from dataplane.native.decision.library import MAX_WORKERS, shipped

_ARRAY, _COUNTS, _HASH, _TABLE = range(4)
_PATIENCE = 1000
"""Milliseconds: a worker that is online for longer stands still."""
_BATCH = 4096
_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 1, 2
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (c_int, c_int, ctypes.c_int64, ctypes.c_int64)

Batch = tuple["bytes | ctypes.Array[ctypes.c_char]", "bytes | ctypes.Array[ctypes.c_char]", int]


class SharedMaps(Mapping[str, "SharedMap"]):
    """The maps by name. Raises DriverError. For the one process that writes them.

    folder: of their files; those that are there are adopted, unless they are of another layout. None: the maps end with
    this process. flows: entries of a table of flows; workers: that there are counters for, at least.
    """

    def __init__(
        self,
        folder: Path | None = None,
        flows: int = 1 << 18,
        workers: int = 1,
        library: ctypes.CDLL | None = None,
    ) -> None:
        if workers > MAX_WORKERS:
            raise DriverError(f"there are counters for at most {MAX_WORKERS} workers: {workers}")
        self.library = library or shipped()
        told: list[ctypes.Structure] = []
        while (one := self.library.map_told(len(told), flows)).name:
            told.append(one)
        files: list[int] = []
        try:
            for one in told:
                files.append(_file(folder, one.name.decode(), one.size))
            self.attached = self.library.maps_attach(
                (c_int * len(files))(*files), flows, workers, int.from_bytes(os.urandom(8), "little"), 1
            )
            if not self.attached:
                raise DriverError(f"the maps cannot be opened: {os.strerror(ctypes.get_errno())}")
        except OSError as exc:
            raise DriverError(f"the maps cannot be made: {exc.strerror}") from exc
        finally:
            if not getattr(self, "attached", None):
                for file in files:
                    os.close(file)
        self._maps: dict[str, SharedMap] = {
            one.name.decode(): (SharedSlabs if one.name == b"slabs" else SharedMap)(self, number, one, files[number])
            for number, one in enumerate(told)
        }

    def __getitem__(self, name: str) -> SharedMap:
        return self._maps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    @property
    def workers(self) -> int:
        """That there are counters for."""
        return int(self.library.maps_workers(self.attached))

    def workers_ended(self) -> None:
        """The process is gone whose workers were online."""
        self.library.workers_ended(self.attached)

    def close(self) -> None:
        """Let go of the memory; files stay. No worker runs in this process any more, and no map is used."""
        for one in self._maps.values():
            one.let_go()
        attached, self.attached = self.attached, None
        if attached:
            self.library.maps_close(attached)


class SharedMap:
    """One of the maps. Keys and values are bytes of its sizes."""

    def __init__(self, maps: SharedMaps, number: int, told: ctypes.Structure, file: int) -> None:
        self._maps, self._number, self._file = maps, number, file
        self.name: str = told.name.decode()
        self.key_size, self.value_size, self.max_entries = told.key, told.value, told.entries
        self._kind = told.kind
        self.copies = maps.workers if told.kind == _COUNTS else told.copies
        """Values of an entry: one a worker, or one."""
        self._room = self.value_size * self.copies
        self._memory = None
        if told.kind == _ARRAY and told.name != b"slabs":
            self._memory = mmap.mmap(file, self.value_size * self.max_entries)

    @property
    def evicts_from(self) -> int:
        """Of a table, from how many entries on a new one takes the place of another time and again: its sets of eight
        fill unevenly, and at five eighths of all entries one in thirty-five has been taken already."""
        entries: int = self.max_entries
        return entries * 5 // 8

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key, all copies one after the other; or None."""
        if self._kind in (_ARRAY, _COUNTS):
            return self._read(int.from_bytes(key, "little"), 1)
        value = ctypes.create_string_buffer(self._room)
        return value.raw if self._library.map_lookup(self._maps.attached, self._number, key, value) else None

    def update(self, key: bytes, value: bytes) -> None:
        """Add or replace. Raises DriverError when the map is full."""
        if len(key) != self.key_size or len(value) != self._room:
            raise ValueError(f"{self.name}: key of {len(key)}, value of {len(value)} bytes")
        if self._memory is not None:
            at = int.from_bytes(key, "little") * self.value_size
            self._memory[at : at + len(value)] = value
        elif self._kind == _COUNTS:
            self._library.counts_write(self._maps.attached, self._number, int.from_bytes(key, "little"), value)
        else:
            self._updated(self._library.map_update(self._maps.attached, self._number, key, value))

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        if self._kind == _ARRAY:
            self.update(key, bytes(self._room))
        else:
            self._library.map_delete(self._maps.attached, self._number, key)

    def items(self, at_once: int = _BATCH) -> Iterator[tuple[bytes, bytes]]:
        """All entries, read so many at once."""
        size, room = self.key_size, self._room
        for keys, values, count in self.batches(at_once):
            all_keys, all_values = bytes(keys), bytes(values)
            for at in range(count):
                yield all_keys[at * size : (at + 1) * size], all_values[at * room : (at + 1) * room]

    def batches(self, size: int = _BATCH) -> Iterator[Batch]:
        """All entries, so many at a time. A batch is overwritten by the next."""
        if self._kind in (_ARRAY, _COUNTS):
            for first in range(0, self.max_entries, size):
                number = min(size, self.max_entries - first)
                yield array("I", range(first, first + number)).tobytes(), self._read(first, number), number
            return
        keys = ctypes.create_string_buffer(size * self.key_size)
        values = ctypes.create_string_buffer(size * self._room)
        position = c_uint64(0)
        while True:
            read = self._library.map_batch(self._maps.attached, self._number, byref(position), keys, values, size)
            yield keys, values, read
            if not position.value:
                return

    def update_all(self, keys: bytes, values: bytes) -> None:
        """Add or replace many, keys and values side by side. Raises DriverError when the map is full."""
        number = len(keys) // self.key_size
        if self._kind == _HASH:
            self._updated(self._library.map_update_all(self._maps.attached, self._number, keys, values, number))
            return
        for at in range(number):
            key = keys[at * self.key_size : (at + 1) * self.key_size]
            self.update(key, values[at * self._room : (at + 1) * self._room])

    def write(self, values: bytes, first: int = 0) -> None:
        """Fill an array from an element on."""
        count = len(values) // self._room
        self.update_all(array("I", range(first, first + count)).tobytes(), values)

    def read(self, entries: int, first: int = 0) -> bytes:
        """So many elements of an array from one on."""
        return self._read(first, min(entries, self.max_entries - first))

    def mapped(self) -> mmap.mmap:
        """The memory of an array."""
        return mmap.mmap(self._file, self.value_size * self.max_entries)

    def close(self) -> None:
        """Nothing: the maps are closed together."""

    def let_go(self) -> None:
        """Close the file."""
        if self._memory is not None:
            self._memory.close()
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    @property
    def _library(self) -> ctypes.CDLL:
        return self._maps.library

    def _updated(self, result: int) -> None:
        if result:
            raise DriverError(f"the map {self.name} is full: it holds {self.max_entries} entries")

    def _read(self, first: int, number: int) -> bytes:
        if self._memory is not None:
            return self._memory[first * self.value_size : (first + number) * self.value_size]
        values = ctypes.create_string_buffer(number * self._room)
        self._library.counts_read(self._maps.attached, self._number, first, number, values)
        return values.raw


class SharedSlabs(SharedMap):
    """The slabs, one behind the other. Memory stands behind those alone that were made."""

    def inner(self, number: int) -> Slab | None:
        """A slab that was made, or None."""
        return Slab(self._file, number * self.value_size, self.value_size) if self._made(number) else None

    def add_inner(self, first: int, number: int, value_size: int, entries: int) -> list[Slab]:
        """Make slabs from there on. Raises DriverError."""
        at, size = first * self.value_size, number * self.value_size
        if _fallocate(self._file, 0, at, size):
            raise DriverError(f"no memory for tables of pools: {os.strerror(ctypes.get_errno())}")
        self.settle()
        return [Slab(self._file, at, value_size * entries) for at in range(at, at + size, self.value_size)]

    def delete(self, key: bytes) -> None:
        """Give the memory of a slab back."""
        at = int.from_bytes(key, "little") * self.value_size
        _fallocate(self._file, _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE, at, self.value_size)

    def settle(self) -> None:
        """Wait until every worker has begun another burst."""
        self._library.maps_settle(self._maps.attached, _PATIENCE)

    def _made(self, number: int) -> bool:
        at: int = number * self.value_size
        try:
            return os.lseek(self._file, at, os.SEEK_DATA) == at
        except OSError:
            return False


class Slab:
    """The tables of one slab."""

    def __init__(self, file: int, at: int, size: int) -> None:
        self._file, self._at, self._size = file, at, size

    def mapped(self) -> mmap.mmap:
        """Their memory."""
        return mmap.mmap(self._file, self._size, offset=self._at)

    def close(self) -> None:
        """Nothing: the file is closed with the others."""


def _file(folder: Path | None, name: str, size: int) -> int:
    """A map's file. Raises OSError; DriverError where one of another size is there."""
    if folder is None:
        file = os.memfd_create(f"avi-se-{name}", os.MFD_CLOEXEC)
    else:
        file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    there = os.lseek(file, 0, os.SEEK_END)
    if there not in (0, size):
        os.close(file)
        raise DriverError(f"{folder}/{name} is of another layout")
    if not there:
        os.ftruncate(file, size)
    return file
