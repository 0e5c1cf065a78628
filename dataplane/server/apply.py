"""Prepares a pool member, and restores what was there before.

Each setting is recorded before it is changed, so that an interrupted preparation can be undone too.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dataplane.errors import ServerError, command
from dataplane.network import sysctl
from dataplane.server import decapsulation, iproute, mssclamp
from dataplane.server.preparation import (
    GRE,
    IPIP,
    LOOPBACK,
    OWN_TUNNELS,
    Advice,
    Decapsulate,
    LimitSegments,
    Problem,
    SetKernel,
    SetUp,
)
from dataplane.server.record import Book, Record

IP_FORWARD = "net.ipv4.ip_forward"
_MODULES = {IPIP: "ipip", GRE: "ip_gre"}


def mend(problem: Problem, book: Book) -> list[str]:
    """Mend a problem. Returns what was done, as commands where possible. Raises ServerError."""
    record, fix = book.record, problem.fix
    if isinstance(fix, Decapsulate):
        return _decapsulate(fix, book)
    if isinstance(fix, LimitSegments):
        record.limits[fix.vip] = fix.size
        book.keep()
        mssclamp.put(mssclamp.limits() | {fix.vip: fix.size})
        return [command("nft add rule ip {} answers {}", mssclamp.TABLE, mssclamp.rule(fix.vip, fix.size))]
    if isinstance(fix, Advice):
        raise ServerError(problem.what, remedy=fix.command)
    if isinstance(fix, SetKernel):
        for key in (fix.key, *(_follows_forwarding() if fix.key == IP_FORWARD else ())):
            record.settings.setdefault(key, sysctl.read(key))
    elif isinstance(fix, SetUp):
        record.loopback_up |= fix.interface == LOOPBACK
    elif fix.interface == LOOPBACK:
        record.vips[fix.vip] = True
    else:
        record.addresses.append([fix.vip, fix.interface])
    book.keep()
    if isinstance(fix, SetKernel):
        write(fix.key, fix.value)
    else:
        iproute.run(*shlex.split(fix.command)[1:])
    return [fix.command]


def _decapsulate(fix: Decapsulate, book: Book) -> list[str]:
    """Use the kernel's tunnel devices if it makes both kinds, else the program on the interface."""
    if decapsulation.attached(fix.interface) is None:
        done, lacking = _make_tunnels(book)
        if not lacking:
            return done
        if not decapsulation.has_hook(fix.interface):
            book.record.hooks.append(fix.interface)
        book.record.programs.setdefault(fix.interface, [])
        book.keep()
        decapsulation.attach(fix.interface)
        why = [f"the kernel makes no tunnel devices ({lacking}): a program does it"]
    else:
        why = []
    vips = book.record.programs.setdefault(fix.interface, [])
    vips += [vip for vip in fix.vips if vip not in vips]
    book.keep()
    decapsulation.put(fix.interface, fix.vips)
    program = f"{decapsulation.OBJECT.name} at the ingress of {fix.interface}"
    return [*why, f"packets for {', '.join(fix.vips)} are taken out of tunnels by {program}"]


def _make_tunnels(book: Book) -> tuple[list[str], str]:
    """Make tunnel devices that take packets from anybody. Returns what was done, or why both kinds cannot be made."""
    record, done = book.record, []
    loaded = {module for module in _MODULES.values() if Path("/sys/module", module).exists()}
    try:
        for kind, name in OWN_TUNNELS.items():
            if name not in record.links:
                record.links.append(name)
            book.keep()
            iproute.run("link", "add", name, "type", kind, "external")
            iproute.run("link", "set", name, "up")
            # VIPs need no forwarding. With it, anybody could send packets in a tunnel through this host.
            write(sysctl.conf(name, "forwarding"), "0")
            done += [command("ip link add {} type {} external", name, kind), command("ip link set {} up", name)]
            done.append(sysctl.command(sysctl.conf(name, "forwarding"), "0"))
    except ServerError as exc:
        _remove_links(record)
        book.keep()
        return [], exc.what
    new = {module for module in _MODULES.values() if Path("/sys/module", module).exists()} - loaded
    record.modules += sorted(new - set(record.modules))
    book.keep()
    return done, ""


def forget_vip(vip: str, record: Record, left: Sequence[str]) -> list[str]:
    """Undo what was done for one VIP alone. left: the VIPs that stay. Returns what was undone. Raises ServerError."""
    done = []
    for interface, vips in record.programs.items():
        if vip in vips:
            vips.remove(vip)
            if _exists(interface) and decapsulation.remove(interface, vip):
                done.append(f"{vip} is not decapsulated on {interface} any more")
    for address, interface in [entry for entry in record.addresses if entry[0] == vip]:
        record.addresses.remove([address, interface])
        for other in left[:1] if _exists(interface) else ():  # a tunnel device needs an address
            record.addresses.append([other, interface])
            iproute.run("addr", "add", f"{other}/32", "dev", interface)
        done += _remove_address(vip, interface)
    if record.limits.pop(vip, None) is not None:
        limits = mssclamp.limits()
        if limits.pop(vip, None) is not None:
            mssclamp.put(limits)
            done.append(f"the segment size of {vip} is not limited any more")
    if record.vips.get(vip):
        done += _remove_address(vip, LOOPBACK)
    return done


def restore(record: Record) -> list[str]:
    """Restore everything that was not done for one VIP alone. Returns what was restored. Raises ServerError."""
    done = []
    for interface in record.programs:
        if _exists(interface) and decapsulation.detach(interface, hook=interface in record.hooks):
            done.append(f"removed {decapsulation.OBJECT.name} from {interface}")
    record.programs, record.hooks = {}, []
    done += _remove_links(record)
    for module in record.modules:
        done += _unload(module)
    record.modules = []
    # ip_forward first: it sets others
    for key, value in sorted(record.settings.items(), key=lambda item: item[0] != IP_FORWARD):
        if sysctl.path(key).exists() and sysctl.read(key) != value:  # an interface may be gone
            write(key, value)
            done.append(sysctl.command(key, value))
    if record.loopback_up:
        iproute.run("link", "set", LOOPBACK, "down")
        done.append(command("ip link set {} down", LOOPBACK))
    record.settings, record.loopback_up = {}, False
    return done


def write(key: str, value: str) -> None:
    """Set a kernel setting. Raises ServerError."""
    try:
        sysctl.write(key, value)
    except OSError as exc:
        raise ServerError(f"cannot set {key} to {value}: {exc.strerror}", remedy="run it as root") from exc


def _follows_forwarding() -> list[str]:
    """The settings that the kernel changes when ip_forward is written (inet_forward_change in net/ipv4/devinet.c)."""
    links = sorted(entry.name for entry in sysctl.path("net.ipv4.conf").iterdir())
    keys = [sysctl.conf(link, "forwarding") for link in links if link != "all"]
    return [*keys, sysctl.conf("all", "accept_redirects")]


def _remove_address(vip: str, interface: str) -> list[str]:
    if (interface, vip, 32) not in iproute.addresses():
        return []
    iproute.run("addr", "del", f"{vip}/32", "dev", interface)
    return [command("ip addr del {}/32 dev {}", vip, interface)]


def _remove_links(record: Record) -> list[str]:
    done = []
    for name in reversed(record.links):
        if _exists(name):
            iproute.run("link", "del", name)
            done.append(command("ip link del {}", name))
    record.links = []
    return done


def _unload(module: str) -> list[str]:
    """Unload a module that was loaded for us, if nobody uses it. Its own devices (tunl0, gre0) go with it."""
    try:
        with Path("/sys/module", module, "refcnt").open() as told:
            used = told.read().strip() != "0"
    except OSError:
        return []
    if used:
        return []
    try:
        run = subprocess.run(["modprobe", "-r", module], capture_output=True)
    except FileNotFoundError:
        return []
    return [] if run.returncode else [command("modprobe -r {}", module)]


def _exists(interface: str) -> bool:
    return sysctl.path(sysctl.conf(interface, "forwarding")).exists()
