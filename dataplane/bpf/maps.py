"""Maps: made, opened, read and written, in batches where the kernel has them."""

from __future__ import annotations

import ctypes
import errno
import mmap
from array import array
from collections.abc import Iterator
from ctypes import byref, c_uint32
from functools import lru_cache
from typing import NamedTuple

from dataplane.bpf.handle import Handle, word
from dataplane.bpf.libbpf import BatchOpts, MapCreateOpts, call, check, failed, short_call
from dataplane.errors import DriverError

# linux/bpf.h
MAP_TYPE_ARRAY = 2
_HASH, _PERCPU_HASH, _PERCPU_ARRAY, _LRU_HASH, _LPM_TRIE = 1, 5, 6, 9, 11
_HOLDS_MAPS = 12, 13  # an array and a hash of maps: the kernel waits at each update, as in `settle`
F_MMAPABLE = 1 << 10
_F_NO_PREALLOC = 1
# kernel/bpf/hashtab.c: struct bucket, struct htab_elem
_POINTER, _BUCKET, _ELEMENT = 8, 16, 48

_BATCH = 4096
_FEW = 256  # entries that are written in some 30 µs
_LITTLE = 1 << 16  # bytes of an array that are read in less than a millisecond
_ENOTSUPP = 524  # the kernel's own, in no header of user space


@lru_cache(maxsize=1)
def possible_cpus() -> int:
    """Number of processors that per-CPU maps have values for."""
    return check("possible processors", call("libbpf_num_possible_cpus"))


class _NoBatches(Exception):
    """The kernel reads this kind of map entry by entry only."""


class Shape(NamedTuple):
    """What must be equal for one map to stand for another."""

    type: int  # BPF_MAP_TYPE_…
    key_size: int  # bytes
    value_size: int  # bytes
    max_entries: int


def memory(shape: Shape, flags: int) -> int:
    """Bytes that an empty map of a shape takes, about; what its entries take beside that comes with them."""
    kind, entries = shape.type, shape.max_entries
    key, value = (-(-size // 8) * 8 for size in (shape.key_size, shape.value_size))
    if kind == MAP_TYPE_ARRAY:
        return value * entries
    if kind == _PERCPU_ARRAY:
        return (_POINTER + value * possible_cpus()) * entries
    if kind in (_HASH, _PERCPU_HASH, _LRU_HASH):
        element = _POINTER + value * possible_cpus() if kind == _PERCPU_HASH else value
        return _BUCKET * entries + (0 if flags & _F_NO_PREALLOC else (_ELEMENT + key + element) * entries)
    return 0 if kind == _LPM_TRIE else _POINTER * entries


class Batch(NamedTuple):
    """Entries of a map."""

    keys: bytes | ctypes.Array[ctypes.c_char]  # side by side
    values: bytes | ctypes.Array[ctypes.c_char]  # side by side
    entries: int  # how many there are


class Map(Handle):
    """A map. Keys and values are bytes of the sizes the map was made with."""

    KIND = "map"

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        info = self.info(80)  # struct bpf_map_info, as far as `name`
        self.type, self.id, self.key_size, self.value_size, self.max_entries, self.flags = (
            word(info, 4 * n) for n in range(6)
        )
        self.name = info[24:40].split(b"\0")[0].decode()
        self._room, self.copies = self.value_size, 1
        if self.type in (5, 6, 21):  # per-CPU hash, array, cgroup storage: a value for every processor
            self.copies = possible_cpus()
            self._room = -(-self.value_size // 8) * 8 * self.copies

    @property
    def shape(self) -> Shape:
        """What must be equal for one map to stand for another."""
        return Shape(self.type, self.key_size, self.value_size, self.max_entries)

    @property
    def evicts_from(self) -> int:
        """Of an LRU map, from how many entries on a new one may take the place of another: each processor holds back up
        to 128 free ones (LOCAL_FREE_TARGET of kernel/bpf/bpf_lru_list.c)."""
        return max(0, self.max_entries - 128 * possible_cpus())

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key (of a per-CPU map: all processors' values, one after the other), or None."""
        value = ctypes.create_string_buffer(self._room)
        result = short_call("bpf_map_lookup_elem", self.fd, key, value)
        if result == -errno.ENOENT:
            return None
        check(f"look up in {self.name}", result)
        return value.raw

    def update(self, key: bytes, value: bytes) -> None:
        """Add or replace. Raises DriverError, also when the map is full."""
        if len(key) != self.key_size or len(value) != self._room:
            raise ValueError(f"{self.name}: key of {len(key)}, value of {len(value)} bytes")
        update = call if self.type in _HOLDS_MAPS else short_call
        self._updated(update("bpf_map_update_elem", self.fd, key, value, 0))

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        result = short_call("bpf_map_delete_elem", self.fd, key)
        if result != -errno.ENOENT:
            check(f"delete in {self.name}", result)

    def items(self, at_once: int = _BATCH) -> Iterator[tuple[bytes, bytes]]:
        """All entries, read so many at once, of a map that nobody else changes meanwhile."""
        size, room = self.key_size, self._room
        found: list[tuple[bytes, bytes]] = []
        for keys, values, count in self.batches(at_once):
            all_keys, all_values = bytes(keys), bytes(values)
            found += (
                (all_keys[at * size : (at + 1) * size], all_values[at * room : (at + 1) * room]) for at in range(count)
            )
        yield from found

    def batches(self, size: int = _BATCH) -> Iterator[Batch]:
        """All entries, so many at a time, of a map that nobody else changes meanwhile. A batch is overwritten by the
        next."""
        try:
            yield from self._batches(size)
        except _NoBatches:
            found = [(key, value) for key in self._keys() if (value := self.lookup(key)) is not None]
            yield Batch(b"".join(key for key, _ in found), b"".join(value for _, value in found), len(found))

    def _batches(self, most: int) -> Iterator[Batch]:
        keys = ctypes.create_string_buffer(most * self.key_size)
        values = ctypes.create_string_buffer(most * self._room)
        positions = [ctypes.create_string_buffer(max(4, self.key_size)) for _ in range(2)]
        options = BatchOpts(ctypes.sizeof(BatchOpts))
        start, result = None, 0
        while not result:
            count, after = c_uint32(most), positions[0]
            result = call("bpf_map_lookup_batch", self.fd, start, after, keys, values, byref(count), byref(options))
            if result in (-errno.EINVAL, -_ENOTSUPP):
                raise _NoBatches
            if result != -errno.ENOENT:  # which tells that the end was reached
                check(f"read {self.name}", result)
            yield Batch(keys, values, count.value)
            start = after
            positions.reverse()

    def _keys(self) -> Iterator[bytes]:
        before: bytes | None = None
        following = ctypes.create_string_buffer(self.key_size)
        while (result := call("bpf_map_get_next_key", self.fd, before, following)) == 0:
            before = following.raw
            yield before
        if result != -errno.ENOENT:
            raise failed(f"walk {self.name}", result)

    def write(self, values: bytes, first: int = 0) -> None:
        """Fill an array from an element on, in one call."""
        count = len(values) // self._room
        if count:
            self.update_all(array("I", range(first, first + count)).tobytes(), values)

    def update_all(self, keys: bytes, values: bytes) -> None:
        """Add or replace many, keys and values side by side, in one call where the kernel has it for this map."""
        count = c_uint32(len(keys) // self.key_size)
        options = BatchOpts(ctypes.sizeof(BatchOpts))
        update = call if self.type in _HOLDS_MAPS or count.value > _FEW else short_call
        result = update("bpf_map_update_batch", self.fd, keys, values, byref(count), byref(options))
        if result in (-errno.EINVAL, -_ENOTSUPP):
            for at in range(len(keys) // self.key_size):
                key = keys[at * self.key_size : (at + 1) * self.key_size]
                self.update(key, values[at * self._room : (at + 1) * self._room])
        else:
            self._updated(result)

    def _updated(self, result: int) -> None:
        if result in (-errno.E2BIG, -errno.ENOSPC):
            raise DriverError(f"the kernel map {self.name} is full: it holds {self.max_entries} entries")
        check(f"update {self.name}", result)

    def read(self, entries: int, first: int = 0) -> bytes:
        """So many elements of an array from one on, in one call."""
        count = c_uint32(min(entries, self.max_entries - first))
        if not count.value:
            return b""
        keys, position = (c_uint32 * count.value)(), c_uint32()
        values = ctypes.create_string_buffer(count.value * self._room)
        options = BatchOpts(ctypes.sizeof(BatchOpts))
        before = byref(c_uint32(first - 1)) if first else None
        look_up = call if len(values) > _LITTLE else short_call
        result = look_up(
            "bpf_map_lookup_batch", self.fd, before, byref(position), keys, values, byref(count), byref(options)
        )
        if result != -errno.ENOENT:  # which tells that the end was reached
            check(f"read {self.name}", result)
        return values.raw[: count.value * self._room]

    def inner(self, number: int) -> Map | None:
        """The map that stands at a place of an array of maps, or None. Raises DriverError."""
        found = self.lookup(number.to_bytes(4, "little"))
        return None if found is None else Map.by_id(int.from_bytes(found, "little"))

    def add_inner(self, first: int, number: int, value_size: int, entries: int) -> list[Map]:
        """Make arrays that can be mapped, and put them into this array of maps from a place on: one call, in which the
        kernel waits as in `settle`. Raises DriverError."""
        made = [Map.create(MAP_TYPE_ARRAY, "avi_slab", 4, value_size, entries, F_MMAPABLE) for _ in range(number)]
        places, files = array("I", range(first, first + number)), array("I", [one.fd for one in made])
        self.update_all(places.tobytes(), files.tobytes())
        return made

    def settle(self) -> None:
        """Wait until programs are done that began before (about 10 ms): so does the kernel whenever a map in a map is
        replaced. Raises DriverError."""
        first = self.inner(0)
        if first is not None:
            with first:
                self.update(bytes(4), first.fd.to_bytes(4, "little"))

    def mapped(self) -> mmap.mmap:
        """The memory of an array that was made for this (BPF_F_MMAPABLE), such as global data. Raises DriverError."""
        try:
            return mmap.mmap(self.fd, self.value_size * self.max_entries)
        except OSError as exc:
            raise DriverError(f"the kernel map {self.name} cannot be mapped: {exc.strerror}") from exc

    @classmethod
    def create(cls, kind: int, name: str, key_size: int, value_size: int, entries: int, flags: int = 0) -> Map:
        """Make a map. name: at most 15 characters. Raises DriverError."""
        options = MapCreateOpts(ctypes.sizeof(MapCreateOpts), flags=flags)
        fd = call("bpf_map_create", kind, name.encode(), key_size, value_size, entries, byref(options))
        return cls(check(f"create map {name}", fd))
