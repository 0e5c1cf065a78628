"""What `avi-shell` does beside running lines: `compile`, `backup`, `restore`, `history`, `undo-unconfirmed`,
`cluster`, `follow`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avi_shell.errors import Refused, ShellError, StoreError
from avi_shell.fronts import storeoptions
from avi_shell.fronts.batch import DONE, NO_STORE, REFUSED, USAGE
from avi_shell.fronts.storeoptions import UsageError
from dataplane.client import default_state
from dataplane.wording import counted


@dataclass(frozen=True, slots=True)
class Tool:
    """One thing that the program does beside running lines."""

    parser: Callable[[], argparse.ArgumentParser]  # of the words behind its name
    run: Callable[[argparse.Namespace, str], None]  # does it, for the shell's user


def _compile_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="avi-shell compile", description="Write the plan that a commit of an export would publish."
    )
    parser.add_argument("export", type=Path, metavar="EXPORT.json")
    parser.add_argument("plan", type=Path, metavar="PLAN.json")
    return parser


def _compile(arguments: argparse.Namespace, user: str) -> None:
    from avi_shell.configuration.transfer import compile_file

    for notice in compile_file(arguments.export, arguments.plan):
        print(notice)


def _backup_parser() -> argparse.ArgumentParser:
    parser = _parser("backup", "Write the whole store, with its history, to a file. Whatever runs goes on.")
    parser.add_argument("file", type=Path, metavar="FILE")
    return parser


def _backup(arguments: argparse.Namespace, user: str) -> None:
    from avi_shell.configuration import backup

    backup.save(arguments.state, arguments.file)
    print(f"Successfully wrote the store to {arguments.file}.")


def _restore_parser() -> argparse.ArgumentParser:
    parser = _parser("restore", "Put a backup in the place of the store. Engines that run follow it at once.")
    parser.add_argument("file", type=Path, metavar="FILE")
    return parser


def _restore(arguments: argparse.Namespace, user: str) -> None:
    from dataclasses import replace

    from avi_shell.configuration import backup
    from avi_shell.session import audit
    from avi_shell.session.author import author
    from dataplane import client

    audit.catch_up(arguments.state)
    by = replace(author(user), line=f"restore {arguments.file}")
    number = backup.restore(arguments.state, arguments.file, by)
    client.notify(arguments.state)
    audit.catch_up(arguments.state)
    print(f"Successfully restored the store from {arguments.file}; it is commit {number}.")


def _history_parser() -> argparse.ArgumentParser:
    parser = _parser("history", "Show or set how many commits the store remembers, and for how many days.")
    parser.add_argument("--commits", type=int, metavar="N", help="remember so many at most")
    parser.add_argument("--days", type=int, metavar="N", help="remember them for so many days at most")
    return parser


def _history(arguments: argparse.Namespace, user: str) -> None:
    from contextlib import closing

    from avi_shell.configuration.configuration import Configuration
    from avi_shell.configuration.document import ADMIN
    from avi_shell.output.result import Result
    from avi_shell.session.audit import Audit
    from avi_shell.session.author import author

    with closing(Configuration.open(arguments.state)) as configuration:
        with configuration.snapshot() as store:
            commits, days = store.log.bounds()
        if arguments.commits is not None or arguments.days is not None:
            commits = commits if arguments.commits is None else arguments.commits
            days = days if arguments.days is None else arguments.days
            configuration.bound_history(commits, days)
            with closing(Audit(arguments.state, configuration)) as audit:
                audit.record(Result(f"history --commits {commits} --days {days}"), author(user), ADMIN)
        print(f"At most {counted(commits, 'commit')} of the last {counted(days, 'day')} are remembered.")


def _undo_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "undo-unconfirmed",
        "Undo what save confirm stored and nobody confirmed, if its time is over. Engines run this at the deadline.",
    )
    storeoptions.add(parser)
    parser.add_argument(
        "--deadline", type=float, metavar="SECONDS", help="only those with this deadline, whatever the clock says"
    )
    return parser


def _undo_unconfirmed(arguments: argparse.Namespace, user: str) -> None:
    from contextlib import closing
    from dataclasses import replace

    from avi_shell.configuration import confirming
    from avi_shell.configuration.configuration import DATABASE
    from avi_shell.session import audit
    from avi_shell.session.author import author
    from avi_shell.session.confirming import LINE, sentence
    from dataplane import client

    if not (arguments.state / DATABASE).exists():
        raise StoreError(f"{arguments.state / DATABASE}: there is no store", hint="--state names the state folder")
    with closing(storeoptions.configuration(arguments)) as configuration:
        deadline = confirming.overdue(configuration) if arguments.deadline is None else arguments.deadline
        by = replace(author(user), line=LINE)
        done = None if deadline is None else confirming.undo_over(configuration, deadline, by)
    if done is None:
        print("Nothing is to be undone now.")
        return
    audit.catch_up(arguments.state)
    if done.fault:
        raise Refused(sentence(done))
    client.notify(arguments.state)
    print(f"{sentence(done)}.".capitalize())


def _cluster_parser() -> argparse.ArgumentParser:
    from avi_shell.fronts import cluster

    return cluster.parser()


def _cluster(arguments: argparse.Namespace, user: str) -> None:
    from avi_shell.fronts import cluster

    cluster.run(arguments, user)


def _follow_parser() -> argparse.ArgumentParser:
    from avi_shell.fronts import follow

    return follow.parser()


def _follow(arguments: argparse.Namespace, user: str) -> None:
    from avi_shell.fronts import follow

    follow.run(arguments)


def _parser(word: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"avi-shell {word}", description=description)
    parser.add_argument("--state", type=Path, default=default_state(), help="state directory (default: %(default)s)")
    return parser


TOOLS: Mapping[str, Tool] = {
    "compile": Tool(_compile_parser, _compile),
    "backup": Tool(_backup_parser, _backup),
    "restore": Tool(_restore_parser, _restore),
    "history": Tool(_history_parser, _history),
    "undo-unconfirmed": Tool(_undo_parser, _undo_unconfirmed),
    "cluster": Tool(_cluster_parser, _cluster),
    "follow": Tool(_follow_parser, _follow),
}
"""First word of the command line → what it does."""


def run(words: Sequence[str], user: str) -> int:
    """Do what the first word says. Returns the exit status of `batch`."""
    try:
        tool = TOOLS[words[0]]
        tool.run(tool.parser().parse_args(words[1:]), user)
    except ShellError as exc:
        path = f"{exc.path}: " if exc.path and exc.path not in exc.what else ""
        print(f"avi-shell: error: {path}{exc}" + (f"; {exc.hint}" if exc.hint else ""), file=sys.stderr)
        return NO_STORE if isinstance(exc, StoreError) else REFUSED
    except UsageError as exc:
        print(f"avi-shell: error: {exc}", file=sys.stderr)
        return USAGE
    return DONE


def chosen(words: Sequence[str]) -> Sequence[str] | None:
    """The words of such a command, with `--state DIR` before its own name moved behind it; None for any other line."""
    if words[:1] == ["--state"] and len(words) > 2 and words[2] in TOOLS:
        return [words[2], *words[:2], *words[3:]]
    if words and words[0].startswith("--state=") and len(words) > 1 and words[1] in TOOLS:
        return [words[1], words[0], *words[2:]]
    return words if words and words[0] in TOOLS else None
