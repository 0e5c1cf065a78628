"""Programs: loaded, opened, run on a frame."""

from __future__ import annotations

import ctypes
import struct
from ctypes import byref, c_char_p, c_uint32, c_void_p
from typing import NamedTuple

from dataplane.bpf.handle import Handle, word
from dataplane.bpf.libbpf import ProgLoadOpts, TestRunOpts, call, check
from dataplane.bpf.maps import Map

# linux/bpf.h
PROG_TYPE_XDP = 6
XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT = range(5)

_BPF_REDIRECT = 23  # BPF_FUNC_redirect
_XDP_MD = struct.Struct("=6I")  # data, data_end, data_meta, and where a frame came by
_XDP_HAS_FRAGS = 1 << 5  # BPF_F_XDP_HAS_FRAGS
_LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
_MAPS_OF_A_PROGRAM = 64  # MAX_USED_MAPS in the kernel's bpf_verifier.h


class Ran(NamedTuple):
    """What BPF_PROG_TEST_RUN gave."""

    result: int  # the program's
    data: bytes  # the frame as the program left it
    duration: int  # nanoseconds a run


class Program(Handle):
    """A loaded program."""

    KIND = "prog"

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        info = self.info(96)  # struct bpf_prog_info, as far as `name`
        self.id = word(info, 4)
        self.tag = info[8:16].hex()
        self.name = info[64:80].split(b"\0")[0].decode()

    def maps(self) -> list[Map]:
        """The maps that it uses. Raises DriverError."""
        info, length = ctypes.create_string_buffer(96), c_uint32(96)
        numbers = (c_uint32 * _MAPS_OF_A_PROGRAM)()
        struct.pack_into("<IQ", info, 52, len(numbers), ctypes.addressof(numbers))  # nr_map_ids, map_ids
        check("maps of a program", call("bpf_obj_get_info_by_fd", self.fd, info, byref(length)))
        return [Map.by_id(numbers[n]) for n in range(word(info.raw, 52))]

    def test_run(self, frame: bytes, *, repeat: int = 1, first: int = 0, interface: int = 0) -> Ran:
        """Run it on a frame (at least 14 bytes). interface: the index of the one that it is received on, in this
        network namespace; the loopback interface (1) where it is 0. first: bytes of it in its first piece, as many as
        the kernel makes them where it is 0; others from Linux 6.18 on."""
        out = ctypes.create_string_buffer(len(frame) + 512)
        options = TestRunOpts(ctypes.sizeof(TestRunOpts), repeat=repeat)
        options.data_in = ctypes.cast(c_char_p(frame), c_void_p)
        options.data_size_in = len(frame)
        if first or interface:
            context = ctypes.create_string_buffer(_XDP_MD.pack(0, first or len(frame), 0, interface, 0, 0))
            options.ctx_in, options.ctx_size_in = ctypes.addressof(context), _XDP_MD.size
        options.data_out, options.data_size_out = ctypes.addressof(out), len(out)
        check("test run", call("bpf_prog_test_run_opts", self.fd, byref(options)))
        return Ran(options.retval, out.raw[: options.data_size_out], options.duration)

    def run_live(self, frame: bytes, number: int, batch: int = 64) -> None:
        """Run it on so many frames that really go where it sends them, received on the loopback interface. batch: how
        many of them leave together."""
        options = TestRunOpts(ctypes.sizeof(TestRunOpts), repeat=number, flags=_LIVE_FRAMES, batch_size=batch)
        options.data_in = ctypes.cast(c_char_p(frame), c_void_p)
        options.data_size_in = len(frame)
        check("live run", call("bpf_prog_test_run_opts", self.fd, byref(options)))

    @classmethod
    def load(cls, name: str, instructions: bytes) -> Program:
        """Load an XDP program given as its instructions. It takes frames of several pieces, so that an interface of any
        MTU takes it. Raises DriverError."""
        number, options = len(instructions) // 8, ProgLoadOpts(ctypes.sizeof(ProgLoadOpts), prog_flags=_XDP_HAS_FRAGS)
        fd = call("bpf_prog_load", PROG_TYPE_XDP, name.encode(), b"GPL", instructions, number, byref(options))
        return cls(check(f"load {name}", fd))


def pass_program() -> Program:
    """An XDP program that lets every frame pass: `r0 = XDP_PASS; exit`."""
    return Program.load("avi_pass", bytes((0xB7, 0, 0, 0, XDP_PASS, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0)))


def redirect_program(interface: int) -> Program:
    """An XDP program that sends every frame by an interface: `r1 = interface; r2 = 0; call bpf_redirect; exit`."""
    return Program.load("avi_redirect", struct.pack("<BBhiBBhiBBhiBBhi", 0xB7, 1, 0, interface, 0xB7, 2, 0, 0,
                                                    0x85, 0, 0, _BPF_REDIRECT, 0x95, 0, 0, 0))  # fmt: skip
