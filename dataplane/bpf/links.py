"""Links: XDP programs on interfaces, programs at tracepoints; and XDP programs attached without a link."""

from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_uint32
from typing import NamedTuple

from dataplane.bpf.handle import Handle, word
from dataplane.bpf.libbpf import LinkCreateOpts, QueryOpts, call, check
from dataplane.bpf.programs import Program
from dataplane.errors import DriverError

# linux/bpf.h
BPF_TRACE_RAW_TP, BPF_XDP = 23, 37
LINK_TYPE_XDP = 6
# linux/if_link.h
XDP_FLAGS_UPDATE_IF_NOEXIST, XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE = 1 << 0, 1 << 1, 1 << 2


class Link(Handle):
    """A program's attachment; it ends when neither a descriptor nor a pin holds it."""

    KIND = "link"

    def update(self, program: Program) -> None:
        """Let another program take over between two frames. Raises DriverError."""
        check("replace the program", call("bpf_link_update", self.fd, program.fd, None))

    def detach(self) -> None:
        """End it now, whoever holds it."""
        check("detach", call("bpf_link_detach", self.fd))

    @property
    def type(self) -> int:
        """What it attaches to: LINK_TYPE_…"""
        return word(self.info(64), 0)

    @property
    def id(self) -> int:
        """The link's id."""
        return word(self.info(64), 4)

    @property
    def program_id(self) -> int:
        """The id of the program it attaches."""
        return word(self.info(64), 8)

    @property
    def interface(self) -> int:
        """Index of the interface; 0 when it is gone."""
        return word(self.info(64), 16)

    @classmethod
    def create(cls, program: Program, interface: int, flags: int) -> Link:
        """Attach a program. Raises OSError with the kernel's reason: callers have more to try."""
        options = LinkCreateOpts(ctypes.sizeof(LinkCreateOpts), flags)
        result = call("bpf_link_create", program.fd, interface, BPF_XDP, byref(options))
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return cls(result)

    @classmethod
    def trace(cls, program: Program) -> Link:
        """Have a program of a section `tp_btf/…` run at its tracepoint. Raises DriverError."""
        return cls(check(f"attach {program.name}", call("bpf_link_create", program.fd, 0, BPF_TRACE_RAW_TP, None)))

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


class Attached(NamedTuple):
    """The XDP program on an interface."""

    program: int  # its id
    mode: str  # "native", "generic" or "offloaded"


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
