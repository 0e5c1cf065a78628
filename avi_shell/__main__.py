"""`avi-shell`: the operator's shell, at a terminal or in batch; and what it does beside (`fronts.tools`)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avi_shell.errors import ShellError, StoreError
from avi_shell.fronts import appliance, storeoptions, tools
from avi_shell.fronts.batch import (
    DONE,
    INTERRUPTED,
    NO_STORE,
    NOT_APPLIED,
    REFUSED,
    USAGE,
    Batch,
    applied,
)
from avi_shell.session.source import STDIN, Source, from_file
from dataplane.client import default_state
from dataplane.version import VERSION

if TYPE_CHECKING:
    from avi_shell.fronts.keyboard import Keyboard
    from avi_shell.session.session import Session


USER = "admin"
"""The shell's only user."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status of `batch`."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        tool = tools.chosen(words)
        if tool is not None:
            return tools.run(tool, USER)
        whole = parser()
        arguments = whole.parse_args(words)
        given = arguments.engine, arguments.impact, arguments.transcript, arguments.record
        running = any(given) or arguments.wait is not None
        if arguments.check and running:
            whole.error("--check runs nothing: no --engine, --impact, --wait, --transcript or --record")
        if arguments.check and arguments.store is not None:
            whole.error("--check looks at what the state directory has: no --store")
        return _shell(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has gone; the interpreter would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except OSError as exc:
        # Output on a full disk: commits are made, and what is still buffered cannot be written at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"avi-shell: error: {exc.filename or 'output'}: {exc.strerror}", file=sys.stderr)
        return REFUSED


class _Input(argparse.Action):
    """`-c LINE` and `-f FILE`, kept in their order."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        option_string: str | None = None,
    ) -> None:
        earlier: list[tuple[str, str]] = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*earlier, ((option_string or "").strip("-"), str(values))])


def parser() -> argparse.ArgumentParser:
    """The command line of `avi-shell`."""
    parser = argparse.ArgumentParser(
        prog="avi-shell",
        description="Configure a Direct Server Return load balancer. Also: avi-shell compile EXPORT.json PLAN.json, "
        "backup FILE, restore FILE, history [--commits N] [--days N], undo-unconfirmed, "
        "cluster status | seed | reload | leave, follow; each with --help",
        epilog="exit status: 0 done, 1 refused or not saved, 2 wrong command line, 3 not applied within --wait, "
        "4 no store, 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    parser.add_argument("--state", type=Path, default=default_state(), help="state directory (default: %(default)s)")
    storeoptions.add(parser)
    parser.add_argument("--controller", default="10-1-1-1", metavar="NAME", help="second element of the prompt")
    parser.add_argument(
        "--engine", action="append", default=[], metavar="IF", help="start a service engine if none runs; may repeat"
    )
    parser.add_argument(
        "--plain", action="store_true", help="at a terminal: no escape sequences (default: as TERM says)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON object for each command")
    form.add_argument("--transcript", action="store_true", help="print what a terminal would show")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the session's transcript to a new file")
    parser.add_argument("--on-error", choices=("stop", "continue"), default="stop", help="what a refused line does")
    parser.add_argument("--check", action="store_true", help="say what the lines would do, and change nothing")
    parser.add_argument("--impact", action="store_true", help="say of each commit what it does to what is forwarded")
    parser.add_argument("--wait", type=_seconds, metavar="SECONDS", help="wait for engines to apply what is committed")
    parser.add_argument("-c", dest="inputs", action=_Input, default=[], metavar="LINE", help="run a line; may repeat")
    parser.add_argument(
        "-f", dest="inputs", action=_Input, metavar="FILE", help="run a file's lines (-: standard input); may repeat"
    )
    parser.add_argument(
        "--file", dest="inputs", action=_Input, metavar="FILE", help="the same; alone, --json prints bare objects"
    )
    appliance.add(parser)
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds")
    return value


def _shell(arguments: argparse.Namespace) -> int:
    try:
        sources = _sources(arguments.inputs)
    except (OSError, ValueError) as exc:
        reason = f"{exc.filename}: {exc.strerror}" if isinstance(exc, OSError) else str(exc)
        print(f"avi-shell: error: cannot read {reason}", file=sys.stderr)
        return USAGE
    if arguments.check:
        return _check(arguments, sources)
    if sources or arguments.batch_mode or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _opened(arguments, sources, None)
    from avi_shell.fronts.keyboard import Keyboard

    with Keyboard(sys.stdin.fileno()) as keyboard:  # before anything else: what is typed ahead is then echoed only once
        return _opened(arguments, sources, keyboard)


def _opened(arguments: argparse.Namespace, sources: list[Source], keyboard: Keyboard | None) -> int:
    """A session on the store. keyboard: of the terminal, if there is one."""
    from avi_shell.session.audit import Audit
    from avi_shell.session.author import author
    from avi_shell.session.session import Session

    try:
        configuration = storeoptions.configuration(arguments)
        audit = Audit(arguments.state, configuration)
    except StoreError as exc:
        print(f"avi-shell: error: {exc}" + (f"; {exc.hint}" if exc.hint else ""), file=sys.stderr)
        return NO_STORE
    except storeoptions.UsageError as exc:
        print(f"avi-shell: error: {exc}", file=sys.stderr)
        return USAGE
    try:
        session = Session(
            configuration,
            arguments.state,
            controller=arguments.controller,
            author=author(USER),
            terminal=keyboard is not None,
            audit=audit,
        )
        session.foresees = session.terminal or arguments.impact
        if arguments.tenant is not None:
            session.work_in(arguments.tenant)
        for told in appliance.notices(arguments) if sys.stderr.isatty() else ():
            print(f"avi-shell: {told}", file=sys.stderr, flush=True)
        for warning in session.begin():
            print(f"avi-shell: warning: {warning}", file=sys.stderr, flush=True)
        if arguments.engine:
            from avi_shell.fronts import launch

            process = launch.start(arguments.state, arguments.engine)
            if process is not None:
                stream = sys.stderr if arguments.json or arguments.transcript else sys.stdout
                print(launch.started(process), file=stream, flush=True)
        return _recorded(arguments, session, sources, keyboard)
    except ShellError as exc:
        print(f"avi-shell: error: {exc}" + (f"; {exc.hint}" if exc.hint else ""), file=sys.stderr)
        return REFUSED
    finally:
        audit.close()
        configuration.close()


def _recorded(arguments: argparse.Namespace, session: Session, sources: list[Source], keyboard: Keyboard | None) -> int:
    if arguments.record is None:
        return _front(arguments, session, sources, keyboard)
    from avi_shell.transcripts.record import Recorder

    columns = (os.get_terminal_size(sys.stdout.fileno()).columns or None) if keyboard else None
    recorder = Recorder(session, arguments.record, columns)
    try:
        return _front(arguments, session, sources, keyboard)
    finally:
        recorder.close()


def _front(arguments: argparse.Namespace, session: Session, sources: list[Source], keyboard: Keyboard | None) -> int:
    if keyboard is not None:
        from avi_shell.fronts import choice

        return choice.run(session, keyboard, arguments.state / "history", plain=arguments.plain)
    batch = Batch(session, arguments.on_error == "continue", arguments.json, bare=appliance.is_bare(arguments))
    batch.transcript = arguments.transcript
    status = batch.run(sources or [_stdin()])
    if (
        status == DONE
        and arguments.wait is not None
        and batch.committed
        and not applied(session.configuration, arguments.state, arguments.wait)
    ):
        print(f"avi-shell: error: committed, but not applied by an engine within {arguments.wait:g} s", file=sys.stderr)
        return NOT_APPLIED
    return status


def _check(arguments: argparse.Namespace, sources: list[Source]) -> int:
    from avi_shell.fronts.check import check
    from avi_shell.session.author import author

    if not sources and sys.stdin.isatty():
        print("avi-shell: error: --check is about lines: -f FILE, -c LINE, or standard input", file=sys.stderr)
        return USAGE
    try:
        tenant = arguments.tenant or ""
        return check(arguments.state, sources or [_stdin()], author(USER), as_json=arguments.json, tenant=tenant)
    except ShellError as exc:
        print(f"avi-shell: error: {exc}" + (f"; {exc.hint}" if exc.hint else ""), file=sys.stderr)
        return NO_STORE if isinstance(exc, StoreError) else REFUSED


def _stdin() -> Source:
    sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")  # type: ignore[union-attr]
    return Source(STDIN, sys.stdin)


def _sources(inputs: Sequence[tuple[str, str]]) -> list[Source]:
    """The sources in the order given. All files are read first, so a missing one is found before anything is done."""
    sources = []
    for number, (option, value) in enumerate(inputs, 1):
        if option == "c":
            sources.append(Source("-c", value.split("\n"), number))
        elif value == "-":
            sources.append(_stdin())
        else:
            try:
                sources.append(from_file(value))
            except ValueError as exc:
                raise ValueError(f"{value}: {exc}") from None
    return sources


if __name__ == "__main__":
    sys.exit(main())
