"""libbpf as ctypes sees it: its functions and the structures that they take, and what it says when they fail."""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import Structure, c_char, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from functools import lru_cache
from typing import Any

from dataplane.errors import DriverError

LITTLE_MEMORY = "give the engine more memory (memory.max of its control group, ulimit -l)"
"""The remedy where the kernel has no memory left."""
_LOG_LINES = 40


class MapCreateOpts(Structure):
    """struct bpf_map_create_opts."""

    _fields_ = [
        ("sz", c_size_t),
        *((name, c_uint32) for name in ("btf_fd", "btf_key", "btf_value", "btf_vmlinux_value", "inner", "flags")),
        ("extra", c_uint64),
        ("numa_node", c_uint32),
        ("ifindex", c_uint32),
    ]


class LinkCreateOpts(Structure):
    """struct bpf_link_create_opts."""

    _fields_ = [("sz", c_size_t), ("flags", c_uint32), ("pad", c_uint32)]


class BatchOpts(Structure):
    """struct bpf_map_batch_opts."""

    _fields_ = [("sz", c_size_t), ("elem_flags", c_uint64), ("flags", c_uint64)]


class ProgLoadOpts(Structure):
    """struct bpf_prog_load_opts, as far as `prog_flags`."""

    _fields_ = [
        ("sz", c_size_t),
        ("attempts", c_int),
        *((name, c_uint32) for name in ("expected_attach_type", "prog_btf_fd", "prog_flags")),
    ]


class TestRunOpts(Structure):
    """struct bpf_test_run_opts."""

    _fields_ = [
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    ]


class QueryOpts(Structure):
    """struct bpf_xdp_query_opts."""

    _fields_ = [
        ("sz", c_size_t),
        ("prog_id", c_uint32),
        ("drv_prog_id", c_uint32),
        ("hw_prog_id", c_uint32),
        ("skb_prog_id", c_uint32),
        ("attach_mode", ctypes.c_uint8),
        ("pad", c_char * 7),
    ]


class _Log:
    """libbpf's messages: kept, newest last, for the errors that they explain."""

    def __init__(self, library: ctypes.CDLL) -> None:
        vsnprintf = ctypes.CDLL(None).vsnprintf
        vsnprintf.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p]
        self.lines: list[str] = []

        def say(level: int, text: bytes, arguments: int) -> int:
            if level > 1:  # LIBBPF_DEBUG
                return 0
            buffer = ctypes.create_string_buffer(1 << 22)  # a verifier's log is one message
            vsnprintf(buffer, len(buffer), text, arguments)
            self.lines += buffer.value.decode("utf-8", "replace").splitlines()
            del self.lines[:-_LOG_LINES]
            return 0

        self._say = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)(say)  # the library holds a bare pointer to it
        library.libbpf_set_print(self._say)

    def take(self) -> str:
        """The messages since the last call."""
        lines, self.lines[:] = list(self.lines), []
        return "\n".join(lines)


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "bpf_object__open_mem": (c_void_p, [c_char_p, c_size_t, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_map__name": (c_char_p, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__reuse_fd": (c_int, [c_void_p, c_int]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__set_initial_value": (c_int, [c_void_p, c_void_p, c_size_t]),
    "bpf_map__type": (c_int, [c_void_p]),
    "bpf_map__key_size": (c_uint32, [c_void_p]),
    "bpf_map__value_size": (c_uint32, [c_void_p]),
    "bpf_map__max_entries": (c_uint32, [c_void_p]),
    "bpf_map__map_flags": (c_uint32, [c_void_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_map_create": (c_int, [c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, c_uint64]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_delete_elem": (c_int, [c_int, c_void_p]),
    "bpf_map_get_next_key": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_update_batch": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_void_p]),
    "bpf_map_lookup_batch": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "bpf_map_get_fd_by_id": (c_int, [c_uint32]),
    "bpf_prog_get_fd_by_id": (c_int, [c_uint32]),
    "bpf_prog_load": (c_int, [c_int, c_char_p, c_char_p, c_void_p, c_size_t, c_void_p]),
    "bpf_prog_test_run_opts": (c_int, [c_int, c_void_p]),
    "bpf_obj_pin": (c_int, [c_int, c_char_p]),
    "bpf_obj_get": (c_int, [c_char_p]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_link_create": (c_int, [c_int, c_int, c_int, c_void_p]),
    "bpf_link_update": (c_int, [c_int, c_int, c_void_p]),
    "bpf_link_detach": (c_int, [c_int]),
    "bpf_link_get_next_id": (c_int, [c_uint32, c_void_p]),
    "bpf_link_get_fd_by_id": (c_int, [c_uint32]),
    "bpf_xdp_attach": (c_int, [c_int, c_int, c_uint32, c_void_p]),
    "bpf_xdp_query": (c_int, [c_int, c_int, c_void_p]),
    "libbpf_num_possible_cpus": (c_int, []),
    "perf_buffer__new": (c_void_p, [c_int, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p]),
    "perf_buffer__epoll_fd": (c_int, [c_void_p]),
    "perf_buffer__consume": (c_int, [c_void_p]),
    "perf_buffer__free": (None, [c_void_p]),
}


_SHORT = (
    "bpf_map_update_elem",
    "bpf_map_lookup_elem",
    "bpf_map_delete_elem",
    "bpf_map_update_batch",
    "bpf_map_lookup_batch",
)


@lru_cache(maxsize=1)
def loaded() -> tuple[ctypes.CDLL, _Log]:
    """The library, and its messages. Raises DriverError."""
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as exc:
        raise DriverError(f"libbpf cannot be loaded: {exc}", remedy="apt-get install libbpf1") from exc
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library, _Log(library)


@lru_cache(maxsize=1)
def _held() -> ctypes.PyDLL:
    """The library, for calls that keep the interpreter's lock."""
    library = ctypes.PyDLL(loaded()[0]._name, use_errno=True)
    for name in _SHORT:
        function = getattr(library, name)
        function.restype, function.argtypes = _SIGNATURES[name]
    return library


def call(name: str, *arguments: Any) -> int:
    """A libbpf function's result; −errno when it failed (libbpf 1.x)."""
    result: int = getattr(loaded()[0], name)(*arguments)
    return result


def short_call(name: str, *arguments: Any) -> int:
    """As `call`, of a function in _SHORT that takes microseconds here: other threads get no turn meanwhile. Whoever
    gives up the interpreter's lock for so short a time waits much longer for a busy thread to give it back."""
    result: int = getattr(_held(), name)(*arguments)
    return result


def failed(what: str, result: int, *, remedy: str = "") -> DriverError:
    """What failed, in the kernel's words and libbpf's. result: −errno."""
    log = loaded()[1].take()
    if -result == errno.EPERM:
        remedy = remedy or "run as root (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON), with `ulimit -l unlimited`"
    if -result == errno.ENOMEM:
        remedy = remedy or LITTLE_MEMORY
    text = f"{what}: {os.strerror(-result)}"
    return DriverError(f"{text}\n{log}" if log else text, remedy=remedy)


def check(what: str, result: int) -> int:
    """A result that tells of no failure. Raises DriverError."""
    if result < 0:
        raise failed(what, result)
    return result
