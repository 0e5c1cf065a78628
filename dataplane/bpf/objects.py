"""Compiled object files: libbpf makes their maps and loads their programs."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from pathlib import Path

from dataplane.bpf import maps
from dataplane.bpf.libbpf import call, check, failed, loaded
from dataplane.bpf.maps import Map, Shape
from dataplane.bpf.programs import Program
from dataplane.errors import DriverError


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

    def memory(self) -> int:
        """Bytes that all its maps take while they are empty, about."""
        return sum(maps.memory(self.shape(name), call("bpf_map__map_flags", at)) for name, at in self._maps.items())

    def reuse(self, name: str, existing: Map) -> None:
        """Use an existing map instead of a new one; before `load`."""
        check(f"reuse {name}", call("bpf_map__reuse_fd", self._maps[name], existing.fd))

    def resize(self, name: str, entries: int) -> None:
        """Make a map of another size; before `load`."""
        check(f"resize {name}", call("bpf_map__set_max_entries", self._maps[name], entries))

    def begin_with(self, name: str, value: bytes) -> None:
        """Have global data hold this from the start; before `load`."""
        check(f"fill {name}", call("bpf_map__set_initial_value", self._maps[name], value, len(value)))

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
