"""The kernel's BPF objects through libbpf: programs, maps, links, pins. A thin layer; it knows nothing of forwarding.

Everything that fails raises DriverError with the kernel's or libbpf's own words.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import struct
from array import array
from collections.abc import Iterator, Sequence
from ctypes import byref, c_char_p, c_int, c_uint32, c_uint64, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from dataplane.bpf.libbpf import (
    BatchOpts,
    LinkCreateOpts,
    MapCreateOpts,
    QueryOpts,
    TestRunOpts,
    call,
    check,
    failed,
    loaded,
)
from dataplane.errors import DriverError

BPFFS = Path("/sys/fs/bpf")
BPF_FS_MAGIC = 0xCAFE4A11  # linux/magic.h

# linux/bpf.h
MAP_TYPE_ARRAY = 2
PROG_TYPE_XDP = 6
BPF_XDP = 37
F_MMAPABLE = 1 << 10
LINK_TYPE_XDP = 6
# linux/if_link.h
XDP_FLAGS_UPDATE_IF_NOEXIST, XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE = 1 << 0, 1 << 1, 1 << 2
XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT = range(5)

_BATCH = 4096
_LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
_MAPS_OF_A_PROGRAM = 64  # MAX_USED_MAPS in the kernel's bpf_verifier.h
_ENOTSUPP = 524  # the kernel's own, in no header of user space


@lru_cache(maxsize=1)
def possible_cpus() -> int:
    """Number of processors that per-CPU maps have values for."""
    return check("possible processors", call("libbpf_num_possible_cpus"))


class Handle:
    """A file descriptor of a BPF object, closed once."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close it; what is pinned or attached lives on."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pin(self, path: Path) -> None:
        """Give it a name in the BPF file system. Raises DriverError."""
        check(f"pin {path}", call("bpf_obj_pin", self.fd, os.fsencode(path)))

    def _info(self, size: int) -> bytes:
        buffer, length = ctypes.create_string_buffer(size), c_uint32(size)
        check("object info", call("bpf_obj_get_info_by_fd", self.fd, buffer, byref(length)))
        return buffer.raw


def _word(info: bytes, offset: int) -> int:
    return int.from_bytes(info[offset : offset + 4], "little")


class _NoBatches(Exception):
    """The kernel reads this kind of map entry by entry only."""


class Shape(NamedTuple):
    """A map's type (BPF_MAP_TYPE_…), bytes of a key and of a value, entries at most."""

    type: int
    key_size: int
    value_size: int
    max_entries: int


class Batch(NamedTuple):
    """Entries of a map. keys, values: side by side, so many."""

    keys: bytes | ctypes.Array[ctypes.c_char]
    values: bytes | ctypes.Array[ctypes.c_char]
    entries: int


class Map(Handle):
    """A map. Keys and values are bytes of the sizes the map was made with."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        info = self._info(80)  # struct bpf_map_info, as far as `name`
        self.type, self.id, self.key_size, self.value_size, self.max_entries, self.flags = (
            _word(info, 4 * n) for n in range(6)
        )
        self.name = info[24:40].split(b"\0")[0].decode()
        self._room = self.value_size
        if self.type in (5, 6, 21):  # per-CPU hash, array, cgroup storage: a value for every processor
            self._room = -(-self.value_size // 8) * 8 * possible_cpus()

    @property
    def shape(self) -> Shape:
        """What must be equal for one map to stand for another."""
        return Shape(self.type, self.key_size, self.value_size, self.max_entries)

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key (of a per-CPU map: all processors' values, one after the other), or None."""
        value = ctypes.create_string_buffer(self._room)
        result = call("bpf_map_lookup_elem", self.fd, key, value)
        if result == -errno.ENOENT:
            return None
        check(f"look up in {self.name}", result)
        return value.raw

    def update(self, key: bytes, value: bytes) -> None:
        """Add or replace. Raises DriverError, also when the map is full."""
        if len(key) != self.key_size or len(value) != self._room:
            raise ValueError(f"{self.name}: key of {len(key)}, value of {len(value)} bytes")
        self._updated(call("bpf_map_update_elem", self.fd, key, value, 0))

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        result = call("bpf_map_delete_elem", self.fd, key)
        if result != -errno.ENOENT:
            check(f"delete in {self.name}", result)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries, of a map that nobody else changes meanwhile."""
        size, room = self.key_size, self._room
        found: list[tuple[bytes, bytes]] = []
        for keys, values, count in self.batches():
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
        result = call("bpf_map_update_batch", self.fd, keys, values, byref(count), byref(options))
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

    def read(self, entries: int) -> bytes:
        """The first elements of an array, in one call."""
        count = c_uint32(min(entries, self.max_entries))
        if not count.value:
            return b""
        keys, position = (c_uint32 * count.value)(), c_uint32()
        values = ctypes.create_string_buffer(count.value * self._room)
        options = BatchOpts(ctypes.sizeof(BatchOpts))
        result = call(
            "bpf_map_lookup_batch", self.fd, None, byref(position), keys, values, byref(count), byref(options)
        )
        if result != -errno.ENOENT:  # which tells that the end was reached
            check(f"read {self.name}", result)
        return values.raw[: count.value * self._room]

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

    @classmethod
    def by_id(cls, number: int) -> Map:
        """The map of an id, as map-in-map lookups give it. Raises DriverError."""
        return cls(check(f"open map {number}", call("bpf_map_get_fd_by_id", number)))

    @classmethod
    def pinned(cls, path: Path) -> Map:
        """The map pinned at a path. Raises DriverError."""
        return cls(check(f"open {path}", call("bpf_obj_get", os.fsencode(path))))


_SAMPLE = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p, c_uint32)
_LOST = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_uint64)


class Samples:
    """What programs write into a BPF_MAP_TYPE_PERF_EVENT_ARRAY. They can as long as this is open: the kernel takes it
    away with the last descriptor of the map that it was opened with. Raises DriverError."""

    def __init__(self, array: Map, pages: int = 64) -> None:
        self._taken: list[bytes] = []
        self._array = array
        self._callbacks = _SAMPLE(self._sample), _LOST(lambda context, cpu, number: None)
        library = loaded()[0]
        ctypes.set_errno(0)
        callbacks = [ctypes.cast(callback, c_void_p) for callback in self._callbacks]
        self._buffer = library.perf_buffer__new(array.fd, pages, *callbacks, None, None)
        if not self._buffer:
            raise failed(f"listen to {array.name}", -ctypes.get_errno())
        self.fd = call("perf_buffer__epoll_fd", self._buffer)
        """It can be read when there is something to take."""

    def _sample(self, context: int, cpu: int, data: int, size: int) -> None:
        self._taken.append(ctypes.string_at(data, size))

    def take(self) -> list[bytes]:
        """What came since the last call; at its end may be up to seven bytes more than the program wrote."""
        # Not perf_buffer__poll: whoever waited for `fd` has used up the wake-up that it would look for.
        check(f"listen to {self._array.name}", call("perf_buffer__consume", self._buffer))
        taken, self._taken = self._taken, []
        return taken

    def close(self) -> None:
        """Listen no more."""
        if self._buffer:
            loaded()[0].perf_buffer__free(self._buffer)
            self._buffer = None
            self._array.close()


class Ran(NamedTuple):
    """What BPF_PROG_TEST_RUN gave: the program's result, the frame as it left it, nanoseconds a run."""

    result: int
    data: bytes
    duration: int


class Program(Handle):
    """A loaded program."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        info = self._info(96)  # struct bpf_prog_info, as far as `name`
        self.id = _word(info, 4)
        self.tag = info[8:16].hex()
        self.name = info[64:80].split(b"\0")[0].decode()

    def maps(self) -> list[Map]:
        """The maps that it uses. Raises DriverError."""
        info, length = ctypes.create_string_buffer(96), c_uint32(96)
        numbers = (c_uint32 * _MAPS_OF_A_PROGRAM)()
        struct.pack_into("<IQ", info, 52, len(numbers), ctypes.addressof(numbers))  # nr_map_ids, map_ids
        check("maps of a program", call("bpf_obj_get_info_by_fd", self.fd, info, byref(length)))
        return [Map.by_id(numbers[n]) for n in range(_word(info.raw, 52))]

    def test_run(self, frame: bytes, *, repeat: int = 1) -> Ran:
        """Run it on a frame (at least 14 bytes), received on the loopback interface (index 1)."""
        out = ctypes.create_string_buffer(len(frame) + 512)
        options = TestRunOpts(ctypes.sizeof(TestRunOpts), repeat=repeat)
        options.data_in = ctypes.cast(c_char_p(frame), c_void_p)
        options.data_size_in = len(frame)
        options.data_out, options.data_size_out = ctypes.addressof(out), len(out)
        check("test run", call("bpf_prog_test_run_opts", self.fd, byref(options)))
        return Ran(options.retval, out.raw[: options.data_size_out], options.duration)

    def run_live(self, frame: bytes, number: int) -> None:
        """Run it on so many frames that really go where it sends them, received on the loopback interface."""
        options = TestRunOpts(ctypes.sizeof(TestRunOpts), repeat=number, flags=_LIVE_FRAMES, batch_size=64)
        options.data_in = ctypes.cast(c_char_p(frame), c_void_p)
        options.data_size_in = len(frame)
        check("live run", call("bpf_prog_test_run_opts", self.fd, byref(options)))

    @classmethod
    def by_id(cls, number: int) -> Program:
        """The program of an id. Raises DriverError."""
        return cls(check(f"open program {number}", call("bpf_prog_get_fd_by_id", number)))

    @classmethod
    def pinned(cls, path: Path) -> Program:
        """The program pinned at a path. Raises DriverError."""
        return cls(check(f"open {path}", call("bpf_obj_get", os.fsencode(path))))

    @classmethod
    def load(cls, name: str, instructions: bytes) -> Program:
        """Load an XDP program given as its instructions. Raises DriverError."""
        number = len(instructions) // 8
        fd = call("bpf_prog_load", PROG_TYPE_XDP, name.encode(), b"GPL", instructions, number, None)
        return cls(check(f"load {name}", fd))


class Link(Handle):
    """An XDP program's attachment to an interface; it ends when neither a descriptor nor a pin holds it."""

    def update(self, program: Program) -> None:
        """Let another program take over between two frames. Raises DriverError."""
        check("replace the program", call("bpf_link_update", self.fd, program.fd, None))

    def detach(self) -> None:
        """End it now, whoever holds it."""
        check("detach", call("bpf_link_detach", self.fd))

    @property
    def type(self) -> int:
        """What it attaches to: LINK_TYPE_…"""
        return _word(self._info(64), 0)

    @property
    def id(self) -> int:
        """The link's id."""
        return _word(self._info(64), 4)

    @property
    def program_id(self) -> int:
        """The id of the program it attaches."""
        return _word(self._info(64), 8)

    @property
    def interface(self) -> int:
        """Index of the interface; 0 when it is gone."""
        return _word(self._info(64), 16)

    @classmethod
    def create(cls, program: Program, interface: int, flags: int) -> Link:
        """Attach a program. Raises OSError with the kernel's reason: callers have more than one way to try."""
        options = LinkCreateOpts(ctypes.sizeof(LinkCreateOpts), flags)
        result = call("bpf_link_create", program.fd, interface, BPF_XDP, byref(options))
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return cls(result)

    @classmethod
    def by_id(cls, number: int) -> Link:
        """The link of an id. Raises DriverError."""
        return cls(check(f"open link {number}", call("bpf_link_get_fd_by_id", number)))

    @classmethod
    def of(cls, program: int, interface: int) -> int | None:
        """The id of the link by which a program is attached to an interface; None where it is attached without one."""
        number = c_uint32(0)
        while call("bpf_link_get_next_id", number.value, byref(number)) == 0:
            try:
                with cls.by_id(number.value) as link:
                    if (link.type, link.program_id, link.interface) == (LINK_TYPE_XDP, program, interface):
                        return number.value
            except DriverError:  # it ended since
                continue
        return None

    @classmethod
    def pinned(cls, path: Path) -> Link:
        """The link pinned at a path. Raises DriverError."""
        return cls(check(f"open {path}", call("bpf_obj_get", os.fsencode(path))))


class Object:
    """A compiled object file: its maps (by name) and programs."""

    def __init__(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise DriverError(f"no BPF program {path}: {exc.strerror}", remedy="make xdp") from exc
        library, log = loaded()
        log.take()
        ctypes.set_errno(0)
        self._object = library.bpf_object__open_mem(data, len(data), None)
        if not self._object:
            raise failed(f"open {path}", -ctypes.get_errno())
        self._path = path
        self._maps: dict[str, int] = {}
        at = None
        while at := library.bpf_object__next_map(self._object, at):
            name = library.bpf_map__name(at).decode()
            self._maps[_short(name)] = at

    @property
    def names(self) -> Sequence[str]:
        """The names of its maps; global data is `bss`, `data`, `rodata`."""
        return tuple(self._maps)

    def shape(self, name: str) -> Shape:
        """The shape that a map has or will have."""
        at = self._maps[name]
        return Shape(*(call(f"bpf_map__{part}", at) for part in Shape._fields))

    def reuse(self, name: str, existing: Map) -> None:
        """Use an existing map instead of a new one; before `load`."""
        check(f"reuse {name}", call("bpf_map__reuse_fd", self._maps[name], existing.fd))

    def resize(self, name: str, entries: int) -> None:
        """Make a map of another size; before `load`."""
        check(f"resize {name}", call("bpf_map__set_max_entries", self._maps[name], entries))

    def load(self) -> None:
        """Make the maps, load the programs. Raises DriverError with the verifier's words."""
        result = call("bpf_object__load", self._object)
        if result < 0:
            raise failed(f"the kernel refuses {self._path.name}", result)

    def map(self, name: str) -> Map:
        """A map, with a descriptor of its own; after `load`."""
        return Map(os.dup(call("bpf_map__fd", self._maps[name])))

    def program(self, name: str) -> Program:
        """A program, with a descriptor of its own; after `load`."""
        found = loaded()[0].bpf_object__find_program_by_name(self._object, name.encode())
        if not found:
            raise DriverError(f"{self._path.name} has no program {name}")
        return Program(os.dup(call("bpf_program__fd", found)))

    def close(self) -> None:
        """Free it; maps and programs taken from it live on."""
        if self._object:
            loaded()[0].bpf_object__close(self._object)
            self._object = None

    def __enter__(self) -> Object:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _short(name: str) -> str:
    """`dsr.bss` → `bss`: libbpf puts (the start of) the object's name in front of its global data."""
    return re.sub(r"^.*\.", "", name)


class Attached(NamedTuple):
    """The XDP program on an interface. mode: "native", "generic" or "offloaded"."""

    program: int
    mode: str


def attached(interface: int) -> Attached | None:
    """What XDP program an interface has, if any. Raises DriverError."""
    options = QueryOpts(ctypes.sizeof(QueryOpts))
    check(f"query XDP of interface {interface}", call("bpf_xdp_query", interface, 0, byref(options)))
    for number, mode in (
        (options.drv_prog_id, "native"),
        (options.skb_prog_id, "generic"),
        (options.hw_prog_id, "offloaded"),
    ):
        if number:
            return Attached(number, mode)
    return None


def attach(program: Program, interface: int, flags: int = 0) -> None:
    """Attach without a link: the program stays with the interface until that is gone. Raises DriverError."""
    flags |= XDP_FLAGS_UPDATE_IF_NOEXIST
    check(f"attach to interface {interface}", call("bpf_xdp_attach", interface, program.fd, flags, None))


def pass_program() -> Program:
    """An XDP program that lets every frame pass: `r0 = XDP_PASS; exit`."""
    return Program.load("avi_pass", bytes((0xB7, 0, 0, 0, XDP_PASS, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0)))


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
