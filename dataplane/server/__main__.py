"""`avi-server`: prepares a pool member for DSR, checks whether it is prepared, or restores what was there before.

    avi-server apply|check --vip IP [--vip IP]... --mode l2|l3 [--interface IF] [--client IP] [--persist] [--json]
    avi-server undo --vip IP [--vip IP]... [--json]

It works on the network namespace that it runs in. `undo` knows from the record what was done; it also takes the other
words of `apply`, without need. Exit status: 0 if it is done or nothing is wrong; 1 if something is wrong or there was
nothing to undo for a VIP; 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataplane.errors import DataplaneError, ServerError
from dataplane.runtime import commandline
from dataplane.server import apply, inspect, iproute, record, systemd
from dataplane.server.preparation import L2, L3, LOOPBACK, Advice, Host, Problem, Wanted, problems

OK, WRONG = 0, 1
_ROUNDS = 3
"""How many times at most `apply` looks at the host: mending one problem may cause another, as a new tunnel device
does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    arguments = commandline.parse(parser(), argv)
    try:
        return int(arguments.command(arguments))
    except DataplaneError as exc:
        if arguments.json:
            print(json.dumps({"error": {"message": exc.what, "remedy": exc.remedy}}))
        commandline.tell("avi-server", exc)
        return WRONG


def parser() -> argparse.ArgumentParser:
    """The command line of `avi-server`."""
    parser = argparse.ArgumentParser(prog="avi-server", description="Prepares a pool member for direct server return.")
    commandline.add_version(parser)
    verbs = parser.add_subparsers(required=True, metavar="apply | check | undo")
    for name, command, about in (
        ("apply", _apply, "prepare this host; what was there is remembered"),
        ("check", _check, "name what is wrong, and the command that mends it"),
        ("undo", _undo, "restore what was there before apply"),
    ):
        verb = verbs.add_parser(name, help=about)
        verb.add_argument("--vip", type=_address, action="append", required=True, metavar="IP", help="may repeat")
        verb.add_argument(
            "--mode",
            choices=(L2, L3),
            required=command is not _undo,
            help="the network profile's DSR type" if command is not _undo else "not needed: what was done is known",
        )
        verb.add_argument(
            "--interface",
            metavar="IF",
            help="where the engine's packets arrive, by name or address (default: the only one)",
        )
        verb.add_argument(
            "--client",
            type=_address,
            action="append",
            default=[],
            metavar="IP",
            help="a client that answers must reach",
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
    if arguments.persist and (reason := systemd.refusal()):
        raise ServerError(f"--persist: {reason}", remedy="run avi-server apply at boot by other means")
    wanted = _wanted(arguments)
    done: list[str] = []
    with record.opened() as book:
        for _ in range(_ROUNDS):
            found = problems(wanted, inspect.look(wanted))
            unmendable = [p for p in found if isinstance(p.fix, Advice)]
            if unmendable or not found:
                break
            for problem in found:
                done += apply.mend(problem, book)
        else:
            found = problems(wanted, inspect.look(wanted))
        left = unmendable or found
        if not left:
            for vip in wanted.vips:
                book.record.vips.setdefault(vip, False)
            book.keep()
            if arguments.persist:
                done += [f"wrote {systemd.install(vip, _boot_command(vip, wanted))}" for vip in wanted.vips]
    if arguments.json:
        _print_json(wanted, {"done": done, "problems": [_document(p) for p in left]})
    else:
        _print_problems(left)
        for line in done:
            print(line)
        if not left:
            print(f"ready: {_ready(wanted)}" + ("" if done else " (nothing to do)"))
    return WRONG if left else OK


def _check(arguments: argparse.Namespace) -> int:
    wanted = _wanted(arguments)
    host = inspect.look(wanted, ask=True)
    found = problems(wanted, host)
    if arguments.json:
        more = {"decapsulation": _decapsulation(host)} if wanted.mode == L3 else {}
        _print_json(wanted, {"ok": not found, "problems": [_document(p) for p in found], **more})
    else:
        _print_problems(found)
        if not found:
            print(f"ready: {_ready(wanted)}")
    return WRONG if found else OK


def _undo(arguments: argparse.Namespace) -> int:
    _need_root()
    restored, unknown = [], []
    own = systemd.refusal() is None
    with record.opened() as book:
        kept = book.record
        there, left = list(kept.vips), {v: added for v, added in kept.vips.items() if v not in arguments.vip}
        for vip in arguments.vip:
            undone = [f"removed {unit}"] if own and (unit := systemd.remove(vip)) else []
            undone += apply.forget_vip(vip, kept, list(left))
            restored += undone
            if vip not in there and not undone:
                unknown.append(vip)
        if not left:
            restored += apply.restore(kept)
        kept.vips = left
        book.keep()
    if restored and not there:  # an interrupted apply had recorded no VIP yet
        unknown = []
    if arguments.json:
        told = {"vips": arguments.vip, "mode": arguments.mode, "restored": restored, "unknown": unknown}
        print(json.dumps(told))
    else:
        for line in restored:
            print(line)
        if restored or not unknown:
            print("restored")
    if unknown:
        prepared = f"prepared is {', '.join(left)}" if left else "no VIP is prepared"
        print(f"avi-server: error: nothing to undo for {', '.join(unknown)}: {prepared} here", file=sys.stderr)
    return WRONG if unknown else OK


def _wanted(arguments: argparse.Namespace) -> Wanted:
    links, candidates = inspect.interfaces()
    interface = arguments.interface
    if interface is None:
        if len(candidates) != 1:
            there = ", ".join(candidates) or "none"
            raise ServerError(
                f"which interface do the service engine's packets arrive on? Those with an IPv4 address: {there}",
                remedy="--interface names it",
            )
        interface = candidates[0]
    elif interface not in links:
        named = [link for link, address, _ in iproute.addresses() if address == interface and link != LOOPBACK]
        if not named:
            raise ServerError(f"--interface {interface}: expected one of {', '.join(links)}, or an address of one")
        interface = named[0]
    return Wanted(tuple(dict.fromkeys(arguments.vip)), interface, tuple(arguments.client), arguments.mode)


def _decapsulation(host: Host) -> str | None:
    """What decapsulates packets, in words. The program comes before tunnel devices, since it is at the ingress."""
    if host.decapsulated is not None:
        return "program"
    return ", ".join(tunnel.name for tunnel in host.tunnels) or None


def _need_root() -> None:
    if os.geteuid() != 0:
        raise ServerError("only root may change addresses and kernel settings", remedy="sudo avi-server …")


def _boot_command(vip: str, wanted: Wanted) -> list[str]:
    program = [str(Path(sys.executable)), "-m", "dataplane.server"]
    return [*program, "apply", "--vip", vip, "--mode", wanted.mode, "--interface", wanted.interface]


def _ready(wanted: Wanted) -> str:
    tunnels = "in tunnels " if wanted.mode == L3 else ""
    return f"{', '.join(wanted.vips)} on {LOOPBACK}, packets arrive {tunnels}on {wanted.interface}"


def _document(problem: Problem) -> dict[str, str]:
    return {"what": problem.what, "remedy": problem.fix.command}


def _print_problems(found: Sequence[Problem]) -> None:
    for problem in found:
        print(f"wrong: {problem.what}\n  mend: {problem.fix.command}")


def _print_json(wanted: Wanted, more: dict[str, Any]) -> None:
    print(json.dumps({"vips": wanted.vips, "mode": wanted.mode, "interface": wanted.interface, **more}))


if __name__ == "__main__":
    sys.exit(main())
