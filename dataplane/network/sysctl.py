"""Kernel settings of the network namespace that this process is in, by their sysctl(8) names.

Interface names may hold dots, which `/` stands for in such names: `net.ipv4.conf.eth0/7.rp_filter` is VLAN eth0.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from dataplane import errors

_ROOT = Path("/proc/sys")


def path(key: str) -> Path:
    """The file of a key: `net.ipv4.ip_forward` is /proc/sys/net/ipv4/ip_forward."""
    return _ROOT.joinpath(*(part.replace("/", ".") for part in key.split(".")))


def read(key: str) -> str:
    """A key's value, without its newline. Raises OSError."""
    return path(key).read_text("ascii").strip()


def write(key: str, value: str) -> None:
    """Set a key. Raises OSError."""
    path(key).write_text(value + "\n", "ascii")


def command(key: str, value: str | int) -> str:
    """What an operator types to set a key."""
    return commands({key: value})


def commands(values: Mapping[str, str | int]) -> str:
    """What an operator types to set keys."""
    return errors.command(f"sysctl -w{' {}={}' * len(values)}", *chain.from_iterable(values.items()))


def conf(interface: str, name: str) -> str:
    """The key of an interface's IPv4 setting; `all` and `default` are interfaces too (ip-sysctl in the kernel)."""
    return f"net.ipv4.conf.{interface.replace('.', '/')}.{name}"
