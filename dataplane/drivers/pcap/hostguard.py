"""Keeps the host's own stack off packets to VIPs while a driver takes them from packet sockets.

An nftables rule at the ingress hook of each interface drops them; AF_PACKET sockets see a frame before that hook
(nft(8), "ADDRESS FAMILIES", netdev). Without it a host with ip_forward=1 would forward each a second time.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
from collections.abc import Iterable, Mapping

from dataplane.errors import DriverError
from dataplane.forwarding.values import Interface
from dataplane.runtime import locks

log = logging.getLogger("avi-se")

_PRIORITY = -300  # before anything an administrator hooks in at "filter" (0)


class HostGuard:
    """One nftables table of the family netdev, named after the instance. VIPs follow within milliseconds, from a
    thread of its own: nft(8) is a process a change, and a thousand changes at once become one."""

    def __init__(self, instance: str) -> None:
        self._table = _table(instance)
        self._interfaces: dict[int, Interface] = {}
        self._vips: frozenset[bytes] = frozenset()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._follow, name="host-guard", daemon=True)
        self.fault = ""
        self._apply()
        self._thread.start()

    def put_interface(self, interface: Interface) -> None:
        """Guard an interface. Raises DriverError when nftables refuses."""
        self._interfaces[interface.index] = interface
        self._apply()

    def remove_interface(self, index: int) -> None:
        """Guard it no more."""
        if self._interfaces.pop(index, None) is not None:
            self._apply()

    def put_vips(self, vips: Iterable[bytes]) -> None:
        """The VIPs to keep from the host. Soon true; `fault` holds nftables' words when it was not."""
        self._vips = frozenset(vips)
        self._changed.set()

    def close(self) -> None:
        """Remove the table."""
        self._ending = True
        self._changed.set()
        self._thread.join()
        _nft(_without(self._table))

    def _follow(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            if self._ending:
                return
            try:
                self._apply()
                self.fault = ""
            except DriverError as exc:
                self.fault = exc.what
            except Exception as exc:  # the thread goes on: VIPs that come later are to be guarded too
                log.exception("the host's stack may see VIP packets")
                self.fault = f"unexpected error: {exc!r}"

    def _apply(self) -> None:
        with self._lock:
            there = self._there()
            try:
                _nft(ruleset(self._table, there, self._vips))
            except DriverError:
                if (left := self._there()) == there:
                    raise
                _nft(ruleset(self._table, left, self._vips))

    def _there(self) -> dict[int, Interface]:
        """The interfaces that exist: several may vanish together, and nftables refuses a table that names one."""
        return {index: one for index, one in self._interfaces.items() if _index(one.name) == index}


def claim(instance: str) -> socket.socket:
    """Make an instance this process's, until what is returned is closed: two would undo each other's tables. The lock
    in the state directory does not do: that may have been removed under a running engine.

    Raises DriverError where another process has it.
    """
    held = locks.claim(f"avi-se/{instance}")
    if isinstance(held, socket.socket):
        return held
    who = f"process {held}" if held else "a process that is not to be seen from here"
    raise DriverError(
        f"{who} is the pcap driver of {instance}: two engines cannot share it", remedy=f"kill {held}" if held else ""
    )


def remove(instance: str) -> None:
    """Remove the table that a killed guard of an instance left. Raises DriverError where nftables refuses."""
    _nft(_without(_table(instance)))


def ruleset(table: str, interfaces: Mapping[int, Interface], vips: Iterable[bytes]) -> str:
    """The whole table as nft(8) reads it: one transaction replaces what was there."""
    elements = ", ".join(socket.inet_ntoa(vip) for vip in sorted(vips))
    lines = [_without(table), f"table netdev {table} {{"]
    lines += [" set vips {", "  type ipv4_addr", *([f"  elements = {{ {elements} }}"] if elements else []), " }"]
    for index, interface in sorted(interfaces.items()):
        lines += [
            f" chain interface_{index} {{",
            f'  type filter hook ingress device "{interface.name}" priority {_PRIORITY}; policy accept;',
            f"  ether daddr {interface.mac.hex(':')} ip daddr @vips drop",
            " }",
        ]
    return "\n".join([*lines, "}", ""])


def _table(instance: str) -> str:
    return "avi_" + "".join(c if c.isalnum() else "_" for c in instance)


def _without(table: str) -> str:
    """What removes a table, whether it is there or not."""
    return f"table netdev {table}\ndelete table netdev {table}\n"


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _nft(commands: str) -> None:
    try:
        subprocess.run(["nft", "-f", "-"], input=commands, text=True, capture_output=True, check=True)
    except FileNotFoundError as exc:
        raise DriverError("the pcap driver needs nft(8)", remedy="apt-get install nftables") from exc
    except subprocess.CalledProcessError as exc:
        raise DriverError(f"nftables refuses to keep the host off VIPs: {exc.stderr.strip()}") from exc
