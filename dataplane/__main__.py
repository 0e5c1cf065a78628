"""`avi-se`: run a service engine, or ask the running ones."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from dataplane.client import default_state
from dataplane.drivers import registry
from dataplane.errors import DataplaneError, DriverError, NetworkError, command
from dataplane.events import logformat
from dataplane.events.model import SEVERITIES, Severity
from dataplane.forwarding import devices
from dataplane.runtime import commandline
from dataplane.wording import timed

WIDTH = 160
"""Columns of tables that go to a file or a pipe."""

RUN_OK, RUN_FAILED, RUN_USAGE, RUN_INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 done, 1 refused or no engine runs, 2 wrong command line."""
    arguments = commandline.parse(parser(), argv)
    arguments.words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = int(arguments.command(arguments))
        sys.stdout.flush()
        return status
    except DataplaneError as exc:
        commandline.tell("avi-se", exc)
        return RUN_FAILED
    except KeyboardInterrupt:
        return RUN_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left; the interpreter would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RUN_FAILED


def parser() -> argparse.ArgumentParser:
    """The command line of `avi-se`."""
    parser = argparse.ArgumentParser(prog="avi-se", description="The service engine: it forwards by the plan.")
    commandline.add_version(parser)
    verbs = parser.add_subparsers(required=True, metavar="run | clean | replay | status | install-unit")
    run = verbs.add_parser("run", help="run a service engine in the foreground")
    _add_run(run)
    run.set_defaults(command=_run)
    replay = verbs.add_parser("replay", help="run a capture file through the forwarding decision")
    replay.add_argument("--plan", type=Path, required=True, metavar="PLAN.json", help="made by avi-shell compile")
    replay.add_argument("--neighbours", type=Path, metavar="FILE.json", help="interfaces, neighbours, routes")
    replay.add_argument(
        "--driver",
        choices=registry.NAMES,
        default=registry.FALLBACK.name,
        help="the driver whose decision to use (default: %(default)s)",
    )
    replay.add_argument("source", type=Path, metavar="IN.pcap")
    replay.add_argument("target", type=Path, metavar="OUT.pcap")
    replay.set_defaults(command=_replay)
    clean = verbs.add_parser("clean", help="remove what an engine that has ended left in the kernel")
    clean.add_argument("--state", type=Path, default=default_state(), help="state directory (default: %(default)s)")
    clean.add_argument("--name", type=_name, default="se-1", help="the engine's name (default: %(default)s)")
    clean.set_defaults(command=_clean)
    status = verbs.add_parser("status", help="print what the running engines report")
    status.add_argument("--state", type=Path, default=default_state(), help="state directory (default: %(default)s)")
    status.add_argument("--json", action="store_true", help="a list of objects, for programs")
    status.set_defaults(command=_status)
    unit = verbs.add_parser("install-unit", help="write a systemd unit that runs a service engine")
    _add_run(unit)
    _add_own(unit)
    unit.set_defaults(command=_install_unit)
    return parser


def _add_own(unit: argparse.ArgumentParser) -> None:
    """The options of `install-unit` alone."""
    unit.add_argument("--scripts", action="store_true", help="add the capabilities that scripts of monitors need")
    unit.add_argument("--print", action="store_true", help="only print the unit")


def _add_run(run: argparse.ArgumentParser) -> None:
    """The options of an engine."""
    run.add_argument("--state", type=Path, default=default_state(), help="state directory (default: %(default)s)")
    run.add_argument("--name", type=_name, default="se-1", help="this engine's name (default: %(default)s)")
    run.add_argument(
        "--interface",
        action="append",
        type=_interface,
        default=[],
        metavar="IF",
        help="interface to serve; may repeat (default: all that are up, have an address, and no other engine has); for "
        f"DPDK also {devices.FORMS}",
    )
    run.add_argument(
        "--driver", choices=registry.CHOICES, help=f"overrides the group's se_use_dpdk; {registry.explained()}"
    )
    run.add_argument("--store", metavar="URL", help="share the configuration: etcd://[USER@]HOST[:PORT],…/CLUSTER")
    run.add_argument("--store-password-file", metavar="FILE", help="file with USER's password (mode 0600)")
    run.add_argument("--store-ca", metavar="FILE", help="file of CA certificates: use TLS")
    run.add_argument(
        "--log-format",
        choices=logformat.FORMATS,
        default=logformat.AUTO,
        help="format of the log on standard error (default: %(default)s: journal under systemd, else text)",
    )
    run.add_argument(
        "--on-event", type=Path, metavar="PROGRAM", help="program to run on events; see: avi-shell -c 'help events'"
    )
    run.add_argument(
        "--on-event-severity",
        choices=tuple(SEVERITIES),
        default=Severity.WARNING.word,
        help="the lowest severity that runs it (default: %(default)s)",
    )
    run.add_argument(
        "--metrics",
        type=_endpoint,
        metavar="ADDRESS:PORT",
        help="serve metrics for Prometheus there (/metrics), and a page for browsers (/)",
    )


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected up to 41 letters, digits, '_', '.', '-'")
    return text


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r}: expected ADDRESS:PORT, such as 127.0.0.1:9100")
    return host, int(port)


def _interface(text: str) -> str:
    try:
        devices.parse(text)
    except DriverError as exc:
        raise argparse.ArgumentTypeError(exc.what) from exc
    return text


def _run(arguments: argparse.Namespace) -> int:
    from dataplane.runtime import endsignals

    endsignals.note()  # first: what follows takes its time
    try:
        store = _store(arguments)
    except ValueError as exc:
        print(f"avi-se: error: argument --store: {exc}", file=sys.stderr)
        return RUN_USAGE
    import asyncio

    from dataplane.daemon import eventhook, process

    logformat.start(arguments.log_format, sys.stderr)
    hook = None
    if arguments.on_event is not None:
        hook = eventhook.Wanted(arguments.on_event, SEVERITIES[arguments.on_event_severity])
    settings = process.Settings(
        arguments.state, arguments.name, tuple(arguments.interface), arguments.driver, store, arguments.metrics, hook
    )
    asyncio.run(process.serve(settings))
    return RUN_OK


def _install_unit(arguments: argparse.Namespace) -> int:
    from dataplane.daemon import unit

    try:
        _store(arguments)
    except ValueError as exc:
        print(f"avi-se: error: argument --store: {exc}", file=sys.stderr)
        return RUN_USAGE
    state = arguments.state.absolute()
    argv = [sys.executable, "-P", "-m", "dataplane", "run", "--state", str(state), "--name", arguments.name]
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--state")
    own.add_argument("--name")
    _add_own(own)
    _, others = own.parse_known_args(arguments.words[1:])  # as they were typed
    text = unit.text(
        arguments.name, state, [*argv, *others], scripts=arguments.scripts or arguments.on_event is not None
    )
    if arguments.print:
        print(text, end="")
        return RUN_OK
    path = unit.install(arguments.name, text, unit.UNITS)
    print(f"wrote {path}; now: {command('systemctl daemon-reload && systemctl enable --now {}', path.name)}")
    return RUN_OK


def _store(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The options that name a cluster. Raises ValueError."""
    if arguments.store is None:
        return ()
    from dataplane.cluster import address

    found = address.parse(arguments.store, arguments.store_password_file or "", arguments.store_ca or "")
    given = (("--store-password-file", found.password_file), ("--store-ca", found.ca))
    return ("--store", found.url, *(word for option in given if option[1] for word in option))


def _clean(arguments: argparse.Namespace) -> int:
    import asyncio

    from dataplane.daemon import process

    done = asyncio.run(process.clean(arguments.state, arguments.name))
    print("\n".join(done) or f"nothing was left of service engine {arguments.name}")
    return RUN_OK


def _replay(arguments: argparse.Namespace) -> int:
    from dataplane.plan import file
    from dataplane.replay import replay, surroundings

    planned = file.load(arguments.plan)
    if arguments.neighbours is None:
        raise NetworkError(surroundings.needs(planned))
    around = surroundings.load(arguments.neighbours)
    with replay.replayer(arguments.driver, planned, around) as ready:
        told = replay.replay(ready, planned, arguments.source, arguments.target)
        print(json.dumps(told, indent=1))
    for frame in told["left_out"]:
        what = f"frame {frame['frame']} has {frame['bytes']} bytes, this driver can be tried on {ready.largest}"
        print(f"avi-se: {what}: it was left out; --driver {registry.FALLBACK.name} decides it", file=sys.stderr)
    return RUN_FAILED if told["left_out"] else RUN_OK


def _status(arguments: argparse.Namespace) -> int:
    from dataplane import client
    from dataplane.daemon import statustext

    reports = client.status(arguments.state)
    if arguments.json:
        print(json.dumps(timed(reports)))
    elif reports:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
        for part in statustext.render(reports, width):
            print(part)
    else:
        print(client.no_engine(arguments.state), file=sys.stderr)
    return RUN_OK if reports else RUN_FAILED


if __name__ == "__main__":
    sys.exit(main())
