"""`avi-server`: prepare a pool member for DSR, check that it is, or restore what was there before.

    avi-server apply|check|undo --vip IP [--vip IP]... --mode l2|l3 [--interface IF] [--client IP] [--persist] [--json]

It works on the network namespace that it runs in. Exit status: 0 done or nothing wrong, 1 something is wrong, 2 wrong
command line.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import bootunit, serverstate, sysctl
from .errors import DataplaneError, ServerError
from .preparation import (
    LOOPBACK,
    Advice,
    Host,
    Problem,
    SetAddress,
    SetKernel,
    SetUp,
    Wanted,
    needed_settings,
    problems,
)

OK, WRONG = 0, 1
IP_FORWARD = "net.ipv4.ip_forward"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.mode == "l3":
            raise ServerError(
                "layer-3 DSR is not supported by this version of avi-server; expected --mode l2",
                remedy="for an IP-in-IP tunnel: ip link add avi0 type ipip && ip link set avi0 up, and the VIP on lo",
            )
        return int(arguments.command(arguments))
    except DataplaneError as exc:
        if arguments.json:
            print(json.dumps({"error": {"message": exc.what, "remedy": exc.remedy}}))
        print(f"avi-server: error: {exc}", file=sys.stderr)
        if exc.remedy:
            print(f"avi-server: try: {exc.remedy}", file=sys.stderr)
        return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="avi-server", description="Prepares a pool member for direct server return.")
    verbs = parser.add_subparsers(required=True, metavar="apply | check | undo")
    for name, command, about in (
        ("apply", _apply, "prepare this host; what was there is remembered"),
        ("check", _check, "name what is wrong, and the command that mends it"),
        ("undo", _undo, "restore what was there before apply"),
    ):
        verb = verbs.add_parser(name, help=about)
        verb.add_argument("--vip", type=_address, action="append", required=True, metavar="IP", help="may repeat")
        verb.add_argument("--mode", choices=("l2", "l3"), required=True, help="the network profile's DSR type")
        verb.add_argument("--interface", metavar="IF", help="where the engine's packets arrive (default: the only one)")
        verb.add_argument(
            "--client", type=_address, action="append", default=[], metavar="IP", help="must be reachable"
        )
        verb.add_argument("--persist", action="store_true", help="prepare it again after every boot")
        verb.add_argument("--json", action="store_true", help="one object, for programs")
        verb.set_defaults(command=command)
    return parser


def _address(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an IPv4 address, like 10.0.0.100") from None
    broadcast = int(address) == 2**32 - 1
    if address.is_multicast or address.is_loopback or address.is_unspecified or broadcast:
        raise argparse.ArgumentTypeError(f"{text}: expected the address of a host")
    return str(address)


def _apply(arguments: argparse.Namespace) -> int:
    _need_root()
    if arguments.persist and (reason := bootunit.refusal()):
        raise ServerError(f"--persist: {reason}", remedy="run avi-server apply at boot by other means")
    wanted = _wanted(arguments)
    done = []
    with serverstate.opened() as book:
        found = problems(wanted, look(wanted))
        unmendable = [p for p in found if isinstance(p.fix, Advice)]
        if not unmendable:
            for problem in found:
                done.append(problem.fix.command)
                _mend(problem, book)
            for vip in wanted.vips:
                book.record.vips.setdefault(vip, False)
            book.keep()
            if arguments.persist:
                done += [f"wrote {bootunit.install(vip, _boot_command(vip, wanted))}" for vip in wanted.vips]
    if arguments.json:
        _print_json(wanted, {"done": done, "problems": [_document(p) for p in unmendable]})
    else:
        _print_problems(unmendable)
        for line in done:
            print(line)
        if not unmendable:
            print(f"ready: {_names(wanted)}" + ("" if done else " (nothing to do)"))
    return WRONG if unmendable else OK


def _check(arguments: argparse.Namespace) -> int:
    wanted = _wanted(arguments)
    found = problems(wanted, look(wanted))
    if arguments.json:
        _print_json(wanted, {"ok": not found, "problems": [_document(p) for p in found]})
    else:
        _print_problems(found)
        if not found:
            print(f"ready: {_names(wanted)}")
    return WRONG if found else OK


def _undo(arguments: argparse.Namespace) -> int:
    _need_root()
    restored = []
    own = bootunit.refusal() is None
    with serverstate.opened() as book:
        record = book.record
        for vip in arguments.vip:
            if own and (unit := bootunit.remove(vip)):
                restored.append(f"removed {unit}")
            if record.vips.get(vip) and _has(vip):
                _ip("addr", "del", f"{vip}/32", "dev", LOOPBACK)
                restored.append(f"ip addr del {vip}/32 dev {LOOPBACK}")
        left = {vip: added for vip, added in record.vips.items() if vip not in arguments.vip}
        if not left:
            restored += _restore(record)
        record.vips = left
        book.keep()
    if arguments.json:
        print(json.dumps({"vips": arguments.vip, "mode": arguments.mode, "restored": restored}))
    else:
        for line in restored:
            print(line)
        print("restored" if restored else f"nothing to undo for {', '.join(arguments.vip)}")
    return OK


def _mend(problem: Problem, book: serverstate.Book) -> None:
    """Do what mends a problem; what was there is kept first, so that a crash in between can be undone."""
    record, fix = book.record, problem.fix
    if isinstance(fix, SetKernel):
        for key in (fix.key, *(_follows_forwarding() if fix.key == IP_FORWARD else ())):
            record.settings.setdefault(key, sysctl.read(key))
    elif isinstance(fix, SetAddress):
        record.vips[fix.vip] = True
    elif isinstance(fix, SetUp):
        record.loopback_up = True
    book.keep()
    if isinstance(fix, SetKernel):
        _write(fix.key, fix.value)
    else:
        _ip(*fix.command.split()[1:])


def _follows_forwarding() -> list[str]:
    """What the kernel changes when ip_forward is written (inet_forward_change in net/ipv4/devinet.c)."""
    links = sorted(entry.name for entry in sysctl.path("net.ipv4.conf").iterdir())
    keys = [sysctl.conf(link, "forwarding") for link in links if link != "all"]
    return [*keys, sysctl.conf("all", "accept_redirects")]


def _restore(record: serverstate.Record) -> list[str]:
    """Put the kernel settings back, ip_forward before those that follow it."""
    done = []
    order = sorted(record.settings.items(), key=lambda item: item[0] != IP_FORWARD)
    for key, value in order:
        if sysctl.path(key).exists() and sysctl.read(key) != value:  # an interface may be gone
            _write(key, value)
            done.append(f"sysctl -w {key}={value}")
    if record.loopback_up:
        _ip("link", "set", LOOPBACK, "down")
        done.append(f"ip link set {LOOPBACK} down")
    record.settings, record.loopback_up = {}, False
    return done


def look(wanted: Wanted) -> Host:
    """What is there, in this namespace. Raises ServerError."""
    try:
        settings = {key: sysctl.read(key) for key in needed_settings(wanted.interface)}
    except OSError as exc:
        raise ServerError(f"cannot read the kernel settings of {wanted.interface}: {exc}") from exc
    return Host(
        "UP" in _ip_json("link", "show", "dev", LOOPBACK)[0]["flags"],
        _addresses(),
        settings,
        {client: _way(client) for client in wanted.clients},
    )


def _wanted(arguments: argparse.Namespace) -> Wanted:
    links = [link["ifname"] for link in _ip_json("link", "show")]
    candidates = sorted({name for name, _, _ in _addresses() if name != LOOPBACK})
    interface = arguments.interface
    if interface is None:
        if len(candidates) != 1:
            there = ", ".join(candidates) or "none"
            raise ServerError(
                f"which interface do the service engine's packets arrive on? Those with an IPv4 address: {there}",
                remedy="--interface names it",
            )
        interface = candidates[0]
    elif interface not in links or interface == LOOPBACK:
        raise ServerError(
            f"--interface {interface}: expected one of {', '.join(name for name in links if name != LOOPBACK)}"
        )
    return Wanted(tuple(dict.fromkeys(arguments.vip)), interface, tuple(arguments.client))


def _addresses() -> list[tuple[str, str, int]]:
    return [
        (link["ifname"], info["local"], info["prefixlen"])
        for link in _ip_json("-4", "addr", "show")
        for info in link.get("addr_info", ())
    ]


def _has(vip: str) -> bool:
    return (LOOPBACK, vip, 32) in _addresses()


def _way(client: str) -> str | None:
    """The interface that packets to a client leave by."""
    try:
        found = _ip_json("route", "get", client)
    except ServerError:
        return None
    return str(found[0]["dev"])


def _write(key: str, value: str) -> None:
    try:
        sysctl.write(key, value)
    except OSError as exc:
        raise ServerError(f"cannot set {key} to {value}: {exc.strerror}", remedy="run it as root") from exc


def _ip(*words: str) -> str:
    """Run ip(8). Raises ServerError with what it said."""
    try:
        run = subprocess.run(["ip", *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise ServerError("ip(8) is not here", remedy="apt-get install iproute2") from None
    if run.returncode:
        raise ServerError(f"ip {' '.join(words)}: {run.stderr.strip()}")
    return run.stdout


def _ip_json(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_ip("-json", *words) or "[]")
    return [entry for entry in found if entry]


def _need_root() -> None:
    if os.geteuid() != 0:
        raise ServerError("only root may change addresses and kernel settings", remedy="sudo avi-server …")


def _boot_command(vip: str, wanted: Wanted) -> list[str]:
    program = [str(Path(sys.executable)), "-m", "dataplane.server"]
    return [*program, "apply", "--vip", vip, "--mode", "l2", "--interface", wanted.interface]


def _names(wanted: Wanted) -> str:
    return f"{', '.join(wanted.vips)} on {LOOPBACK}, packets arrive on {wanted.interface}"


def _document(problem: Problem) -> dict[str, str]:
    return {"what": problem.what, "remedy": problem.fix.command}


def _print_problems(found: Sequence[Problem]) -> None:
    for problem in found:
        print(f"wrong: {problem.what}\n  mend: {problem.fix.command}")


def _print_json(wanted: Wanted, more: dict[str, Any]) -> None:
    print(json.dumps({"vips": wanted.vips, "mode": "l2", "interface": wanted.interface, **more}))


if __name__ == "__main__":
    sys.exit(main())
