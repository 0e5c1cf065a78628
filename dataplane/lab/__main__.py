"""`avi-lab`: try a DSR configuration with real packets, in network namespaces of this machine.

avi-lab run EXAMPLE     build, configure, ask, prove, take down; exit status 0 only if everything was seen
avi-lab up EXAMPLE      build and configure, and leave it standing
avi-lab down [NAME]     remove what `up` left standing, or what was left by a run that was killed
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from dataplane.drivers import registry
from dataplane.errors import DataplaneError, LabError, command
from dataplane.forwarding import devices
from dataplane.runtime import commandline

if TYPE_CHECKING:
    from rich.console import Console

    from dataplane.lab.laboratory import Lab

OK, FAILED, INTERRUPTED = 0, 1, 130
MOST_REQUESTS = 40_000
"""The most requests; each needs its own source port."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 done, 1 failed, 2 wrong command line, 130 interrupted."""
    arguments = commandline.parse(parser(), argv)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        return int(arguments.command(arguments))
    except DataplaneError as exc:
        commandline.tell("avi-lab", exc)
        return FAILED
    except KeyboardInterrupt:
        print("avi-lab: interrupted; everything was taken down", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The command line of `avi-lab`."""
    parser = argparse.ArgumentParser(prog="avi-lab", description="A laboratory of network namespaces for DSR.")
    commandline.add_version(parser)
    verbs = parser.add_subparsers(required=True, metavar="run | up | down")
    for name, run, about in (
        ("run", _run, "a demonstration with its proof; nothing of it stays"),
        ("up", _up, "build and configure it, and leave it standing"),
    ):
        verb = verbs.add_parser(name, help=about)
        verb.add_argument("example", metavar="EXAMPLE", help="an example's name, or a topology file")
        verb.add_argument("--driver", choices=registry.CHOICES, help="as for avi-se run")
        verb.add_argument(
            "--sockets",
            choices=(devices.AF_XDP, devices.AF_PACKET),
            default="",
            help=f"how DPDK opens the engine's interface (default: {devices.AF_XDP})",
        )
        verb.add_argument("--state", type=Path, help="state directory (default: one that goes with the laboratory)")
        verb.add_argument("--name", default="", help="the laboratory's name (default: made of the process number)")
        verb.set_defaults(command=run)
        if name == "run":
            verb.add_argument("--requests", type=_count, default=100, metavar="N", help="default: %(default)s")
    down = verbs.add_parser("down", help="remove laboratories that nobody holds")
    down.add_argument("name", nargs="?", help="only this one")
    down.set_defaults(command=_down)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_REQUESTS:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to {MOST_REQUESTS}")
    return int(text)


def _lab(arguments: argparse.Namespace) -> Lab:
    """Make the laboratory that the command line asks for. Raises LabError."""
    from dataplane.lab import topology
    from dataplane.lab.grouplaboratory import GroupLab
    from dataplane.lab.laboratory import Lab

    wanted = topology.load(topology.find(arguments.example))
    if not isinstance(wanted, topology.Group):
        options = {"name": arguments.name, "driver": arguments.driver, "state": arguments.state}
        return Lab(wanted, **options, sockets=arguments.sockets)
    if arguments.state is not None:
        raise LabError("--state is for one engine: of several each has a state directory of its own")
    if arguments.sockets:
        raise LabError("--sockets is for one engine")
    return GroupLab(wanted, name=arguments.name, driver=arguments.driver)


def _run(arguments: argparse.Namespace) -> int:
    from dataplane.lab import demo

    lab, console = _lab(arguments), _console()
    proved = demo.run(lab, console, arguments.requests)
    console.print("everything was seen" if proved else "not everything was seen")
    return OK if proved else FAILED


def _up(arguments: argparse.Namespace) -> int:
    from dataplane.lab import demo

    console = _console()
    with _lab(arguments) as lab:
        console.print(demo.prepare(lab, lambda text: console.print(f"• {text}")), soft_wrap=True)
        console.print(demo.hosts(lab, demo.columns(console)), soft_wrap=True)
        lab.leave()
    client, url = lab.hosts["client"], f"http://{lab.topology.vip}:{lab.topology.port}/"
    engine = lab.hosts[lab.topology.engine.name]
    for about, line in (
        ("a request", command("nsenter --net={} curl {}", client.path, url)),
        ("the engine", command("avi-se status --state {}", lab.state)),
        ("the shell", command("nsenter --net={} avi-shell --state {}", engine.path, lab.state)),
        ("its end", command("avi-lab down {}", lab.name)),
    ):
        console.print(f"{about + ':':12} {line}", soft_wrap=True)
    return OK


def _down(arguments: argparse.Namespace) -> int:
    from dataplane.lab import inventory

    names = [arguments.name] if arguments.name else inventory.names()
    if arguments.name and arguments.name not in inventory.names():
        raise LabError(f"no laboratory {arguments.name!r}; there are {', '.join(inventory.names()) or 'none'}")
    for name in names:
        record = inventory.read(name)
        if record.held:
            told = f"laboratory {name} is held by process {record.owner[0]}, which takes it down at its end"
            if arguments.name:
                raise LabError(told, remedy=command("kill {}", record.owner[0]))
            print(told)
            continue
        inventory.remove(name)
        print(f"removed {name}")
    if not names:
        print("there is no laboratory")
    return OK


def _console() -> Console:
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 120
    return console


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Turn the first signal into an exception, so that everything is taken down; ignore a second one."""
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
