"""Keeps the host's own stack off packets to VIPs while a driver takes them from packet sockets.

An nftables rule at the ingress hook of each interface drops them; AF_PACKET sockets see a frame before that hook
(nft(8), "ADDRESS FAMILIES", netdev). Without it a host with ip_forward=1 would forward each a second time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from dataplane.errors import DriverError, command
from dataplane.forwarding.values import Interface
from dataplane.kernel.objects import TABLE, KernelObject
from dataplane.runtime import locks

log = logging.getLogger("avi-se")

_NETLINK_NETFILTER, _NFNLGRP_NFTABLES = 12, 7  # linux/netlink.h, linux/netfilter/nfnetlink.h
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1  # linux/netlink.h
_PRIORITY = -300  # before anything an administrator hooks in at "filter" (0)


class HostGuard:
    """One nftables table of the family netdev, named after the instance. A thread of its own puts VIPs into it within
    milliseconds. Each change is a process of nft(8), so a thousand changes at once become one. The same thread hears
    nftables' notifications. wake: called when somebody else changed the table. interfaces, vips: those of a guard that
    is taken over."""

    def __init__(self, instance: str, interfaces: Iterable[Interface] = (), vips: Iterable[bytes] = ()) -> None:
        self._table = _table(instance)
        self._object = KernelObject(TABLE, f"netdev {self._table}")
        self._interfaces: dict[int, Interface] = {one.index: one for one in interfaces}
        self._vips: frozenset[bytes] = frozenset(vips)
        self._lock = threading.Lock()
        self._changed = os.eventfd(0, os.EFD_NONBLOCK)
        self._notified = notifications()
        self._put: frozenset[bytes] = frozenset()
        self._damaged = False
        self._ending = False
        self.wake: Callable[[], None] = lambda: None
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
        """Set the VIPs to keep from the host. Takes effect soon; `fault` holds nftables' words where it did not."""
        self._vips = frozenset(vips)
        os.eventfd_write(self._changed, 1)

    def objects(self) -> Collection[KernelObject]:
        """The table."""
        return (self._object,)

    def missing(self) -> Collection[KernelObject]:
        """The table, when nftables told of a change of it and something in it was not as it is to be."""
        return (self._object,) if self._damaged else ()

    async def restore(self, missing: Collection[KernelObject]) -> Mapping[KernelObject, str]:
        """Put the table again."""
        try:
            await asyncio.to_thread(self._apply)
        except DriverError as exc:
            return dict.fromkeys(missing, exc.what)
        return dict.fromkeys(missing, "")

    def close(self, *, keep: bool = False) -> None:
        """End. keep: the table stays; else it is removed."""
        self._ending = True
        os.eventfd_write(self._changed, 1)
        self._thread.join()
        self._notified.close()
        os.close(self._changed)
        if not keep:
            _nft(_without(self._table))

    def _follow(self) -> None:
        waiting = select.poll()
        for each in (self._changed, self._notified.fileno()):
            waiting.register(each, select.POLLIN)
        while True:
            ready = {each for each, _ in waiting.poll()}
            if self._ending:
                return
            try:
                if self._notified.fileno() in ready:
                    self._look()
                if self._changed in ready:
                    os.eventfd_read(self._changed)
                    self._apply()
                    self.fault = ""
            except DriverError as exc:
                self.fault = exc.what
            except Exception as exc:  # the thread goes on: VIPs that come later are to be guarded too
                log.exception("the host's stack may see VIP packets")
                self.fault = f"unexpected error: {exc!r}"

    def _look(self) -> None:
        """Look whether a change by somebody else harmed the table. nftables reports our own changes, too."""
        if not concerns(self._notified, self._table):
            return
        with self._lock:
            told = _told("list", "table", "netdev", self._table)
            self._damaged = not is_whole(told, self._there(), self._put)
        if self._damaged:
            self.wake()

    def _apply(self) -> None:
        with self._lock:
            there, vips = self._there(), self._vips
            try:
                _nft(ruleset(self._table, there, vips))
            except DriverError:
                if (left := self._there()) == there:
                    raise
                _nft(ruleset(self._table, left, vips))
            self._put, self._damaged = vips, False

    def _there(self) -> dict[int, Interface]:
        """The interfaces that exist: several may vanish together, and nftables refuses a table that names one."""
        return {index: one for index, one in self._interfaces.items() if _index(one.name) == index}


def claim(instance: str) -> socket.socket:
    """Make an instance this process's, until what is returned is closed: two would undo each other's tables. The lock
    in the state directory is not enough: that directory may have been removed under a running engine.

    Raises DriverError where another process has it.
    """
    held = locks.claim(f"avi-se/{instance}")
    if isinstance(held, socket.socket):
        return held
    who = f"process {held}" if held else "a process that is not to be seen from here"
    raise DriverError(
        f"{who} is the pcap driver of {instance}: two engines cannot share it",
        remedy=command("kill {}", held) if held else "",
    )


def remove(instance: str) -> list[KernelObject]:
    """Remove the table that a killed guard of an instance left. Returns what was there. Raises DriverError where
    nftables refuses."""
    table = _table(instance)
    if not any(one.get("table", {}).get("name") == table for one in _told("list", "tables", "netdev")):
        return []
    _nft(_without(table))
    return [KernelObject(TABLE, f"netdev {table}")]


def notifications() -> socket.socket:
    """A socket that hears of every change of nftables in this thread's namespace. Raises OSError."""
    heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER)
    heard.bind((0, 0))
    heard.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
    return heard


def concerns(heard: socket.socket, table: str) -> bool:
    """Read the notifications. Returns whether one may have changed a table."""
    found, name = False, table.encode() + b"\0"
    while True:
        try:
            data = heard.recv(1 << 16)
        except BlockingIOError:
            return found
        except OSError:  # ENOBUFS: some were not heard
            found = True
            continue
        found |= name in data


def is_whole(told: Sequence[Mapping[str, Any]], interfaces: Mapping[int, Interface], vips: Iterable[bytes]) -> bool:
    """Whether a table, as nft(8) tells it in JSON, still keeps the host off the VIPs on these interfaces."""
    tables = [one["table"] for one in told if "table" in one]
    elements = {str(e) for one in told if "set" in one for e in one["set"].get("elem", ())}
    chains = {(one["chain"]["name"], one["chain"].get("hook")) for one in told if "chain" in one}
    rules = [one["rule"]["chain"] for one in told if "rule" in one]
    names = {f"interface_{index}": len(_rules(interface)) for index, interface in interfaces.items()}
    return (
        len(tables) == 1
        and "flags" not in tables[0]  # dormant
        and {(name, "ingress") for name in names} <= chains
        and all(rules.count(name) == number for name, number in names.items())
        and {socket.inet_ntoa(vip) for vip in vips} <= elements
    )


def ruleset(table: str, interfaces: Mapping[int, Interface], vips: Iterable[bytes]) -> str:
    """The whole table as nft(8) reads it: one transaction replaces what was there."""
    elements = ", ".join(socket.inet_ntoa(vip) for vip in sorted(vips))
    lines = [_without(table), f"table netdev {table} {{"]
    lines += [" set vips {", "  type ipv4_addr", *([f"  elements = {{ {elements} }}"] if elements else []), " }"]
    for index, interface in sorted(interfaces.items()):
        lines += [
            f" chain interface_{index} {{",
            f'  type filter hook ingress device "{interface.name}" priority {_PRIORITY}; policy accept;',
            *(f"  {rule}" for rule in _rules(interface)),
            " }",
        ]
    return "\n".join([*lines, "}", ""])


def _rules(interface: Interface) -> tuple[str, ...]:
    """The rules of an interface's chain, in their order."""
    return (
        "vlan id != 0 accept",  # a VLAN's frames are its own interface's
        "ether type 8021ad accept",
        f"ether daddr {interface.mac.hex(':')} meta protocol ip ip daddr @vips drop",  # priority tags or none
    )


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


def _told(*words: str) -> list[dict[str, Any]]:
    """What nft(8) tells, as its objects; nothing where it tells that there is none."""
    try:
        done = subprocess.run(["nft", "-j", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as exc:
        raise DriverError("the pcap driver needs nft(8)", remedy="apt-get install nftables") from exc
    return list(json.loads(done.stdout)["nftables"]) if done.returncode == 0 else []


def _nft(commands: str) -> None:
    try:
        subprocess.run(["nft", "-f", "-"], input=commands, text=True, capture_output=True, check=True)
    except FileNotFoundError as exc:
        raise DriverError("the pcap driver needs nft(8)", remedy="apt-get install nftables") from exc
    except subprocess.CalledProcessError as exc:
        raise DriverError(f"nftables refuses to keep the host off VIPs: {exc.stderr.strip()}") from exc
