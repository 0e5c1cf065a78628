"""`save confirm <minutes>` and `confirm`: a commit that is undone unless the operator says that all is well."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from avi_shell.configuration.record import Author
from avi_shell.errors import Refused, ShellError
from avi_shell.output.result import Prose, Result
from avi_shell.session.comment import comment_of
from avi_shell.session.state import SessionState
from dataplane.plan import unconfirmed
from dataplane.plan.unconfirmed import Unconfirmed, Watch
from dataplane.wording import clock
from grammar.commands import Command
from grammar.errors import BadValue

if TYPE_CHECKING:
    from avi_shell.configuration.confirming import Undone

LONGEST = 1440
"""Minutes."""
LINE = "undo-unconfirmed"
"""What stands in the history as the command of a commit that undoes."""


def seconds_of(command: Command) -> float:
    """The time of `confirm <minutes>` in a command; 0 without it. Raises BadValue."""
    word = command.arguments.get("confirm")
    if word is None:
        return 0.0
    if not 1 <= int(word.text) <= LONGEST:
        raise BadValue(f"'{word.text}' is no time to confirm in", word.text, word.column, (f"<1-{LONGEST}> min",))
    return int(word.text) * 60.0


def author_of(session: SessionState, command: Command, result: Result) -> Author:
    """The author of a commit that a line makes by itself, with what it says of it. Raises BadValue; Refused where a
    file that is loaded asks for a time."""
    by = replace(session.by(result.command.strip()), comment=comment_of(command), confirm=seconds_of(command))
    if by.confirm:
        _outside_file(session, "load merge FILE confirm <minutes>")
    return by


def confirm(session: SessionState, command: Command, result: Result) -> None:
    """`confirm`: keep what waits."""
    from avi_shell.configuration import confirming

    _outside_file(session, "confirm once it is loaded")
    kept, _ = confirming.confirm(session.stored, session.by(result.command.strip()))
    result.parts.append(f"{commits(kept.commits).capitalize()} {_plural(kept.commits, 'stays', 'stay')}.")
    result.data = {"commits": list(kept.commits)}


def extend(session: SessionState, seconds: float, result: Result) -> None:
    """`save confirm <minutes>` where nothing is open: give what waits that time from now on."""
    from avi_shell.configuration import confirming

    if waiting(session) is None:
        raise Refused("nothing is open, so there is no commit to be confirmed")
    confirming.extend(session.stored, seconds, session.by(result.command.strip()))


def waiting(session: SessionState) -> Unconfirmed | None:
    """What waits to be confirmed."""
    with session.stored.snapshot() as store:
        return unconfirmed.read(store.connection)


def tell(session: SessionState, result: Result) -> None:
    """After a commit: say what is undone when, unless it is confirmed."""
    waits = waiting(session)
    if waits is None:
        return
    which, until = commits(waits.commits), clock(waits.deadline)
    if waits.fault:
        result.parts.append(Prose(not_undone(waits)))
    elif result.committed is None or result.committed in waits.commits:
        what = f"{which.capitalize()} will be undone at {until} unless confirm is typed."
        result.parts.append(Prose(what))
    else:
        told = f"{which.capitalize()} {_plural(waits.commits, 'waits', 'wait')} for confirm until {until}"
        these = _plural(waits.commits, "that commit is undone", "those commits are undone")
        what = f"without it, {these}, and all saved since, too, if any of that is about the same objects or needs them"
        result.parts.append(Prose(f"{told}; {what}."))


def leaving(session: SessionState) -> list[str]:
    """What to say to an operator who leaves: what still waits, and who undoes it then. Sentences."""
    try:
        waits = waiting(session)
    except ShellError:
        return []
    if waits is None or waits.fault:
        return []
    which = f"{commits(waits.commits).capitalize()} {_plural(waits.commits, 'waits', 'wait')} for confirm"
    it = _plural(waits.commits, "it", "them")
    return [
        f"{which} until {clock(waits.deadline)}; then a shell or engine that runs undoes {it}, or the next to start."
    ]


class Overdue:
    """Undoes for a session the commits that nobody confirmed in time."""

    def __init__(self, session: SessionState) -> None:
        self._session = session
        self._watch = Watch()
        self._seen: Unconfirmed | None = None  # what waited at the last look

    def begin(self) -> list[str]:
        """At the start of a session. Returns what to say, sentences."""
        told, waits = self.undo(), self._waiting()
        return [not_undone(waits)] if waits is not None and waits.fault and not told else told

    def undo(self) -> list[str]:
        """Undo what is overdue. Returns what to say, sentences."""
        session, waits, seen = self._session, self._waiting(), self._seen
        self._seen = waits
        if waits is None and seen is not None and not session.stored.is_copy:
            return self._elsewhere(seen)
        if session.stored.is_copy or waits is None or not self._watch.over(waits):
            return []
        from avi_shell.configuration import confirming

        try:
            done = confirming.undo_over(session.stored, waits.deadline, replace(session.author, line=LINE))
        except ShellError as exc:
            return [f"{commits(waits.commits)} {_plural(waits.commits, 'is', 'are')} not undone yet: {exc.what}"]
        if done is None:
            return []
        if not done.fault:
            self._seen = None
            from dataplane import client

            client.notify(session.directory)
        return [sentence(done)]

    def _elsewhere(self, waited: Unconfirmed) -> list[str]:
        """What another shell, or an engine, undid."""
        from avi_shell.configuration import confirming

        try:
            number = confirming.undone_by(self._session.stored, waited)
        except ShellError:
            return []  # the line that needs the store says why
        which = f"{commits(waited.commits)} {_plural(waited.commits, 'was', 'were')} not confirmed"
        changed = f"show configuration diff {number - 1} {number} says what that changed"
        return [f"{which}, and undone elsewhere by commit {number}; {changed}"] if number else []

    def _waiting(self) -> Unconfirmed | None:
        try:
            return waiting(self._session)
        except ShellError:
            return None  # the line that needs the store says why


def sentence(done: Undone) -> str:
    """What became of commits that were not confirmed."""
    which = f"{commits(done.commits)} {_plural(done.commits, 'was', 'were')} not confirmed"
    if done.fault:
        return f"{which}, and cannot be undone: {done.fault}; {_EITHER}"
    told = f"{which}: {_plural(done.commits, 'it is', 'they are')} undone by commit {done.version}"
    if done.kept:
        told += f"; {commits(done.kept)} of the time since {_plural(done.kept, 'stays', 'stay')}"
    if done.lost:
        told += f", and {commits(done.lost)} with {_plural(done.commits, 'it', 'them')}"
        told += f": rollback {done.version - 1} brings all back"
    return told


def not_undone(waits: Unconfirmed) -> str:
    """A sentence: what waited could not be undone."""
    which = f"{commits(waits.commits)} {_plural(waits.commits, 'was', 'were')} not confirmed"
    return f"{which}, and could not be undone at {clock(waits.deadline)}: {waits.fault}; {_EITHER}"


def settled(numbers: tuple[int, ...]) -> str:
    """A sentence: commits that waited are undone by what was typed."""
    which = f"{commits(numbers).capitalize()} {_plural(numbers, 'waits', 'wait')} for confirm no more"
    return f"{which}: {_plural(numbers, 'it is', 'they are')} undone by this rollback."


_EITHER = "confirm keeps what is there, rollback goes back to what is possible"


def commits(numbers: tuple[int, ...]) -> str:
    """Commits in words: "commit 3", "commits 3, 4"."""
    return f"{_plural(numbers, 'commit', 'commits')} {', '.join(map(str, numbers))}"


def _plural(numbers: tuple[int, ...], one: str, many: str) -> str:
    return one if len(numbers) == 1 else many


def outside_session(session: SessionState) -> None:
    """Refuse commands about single commits while a configuration session gathers changes."""
    if session.candidate is not None:
        raise Refused("nothing is committed in a configuration session", hint="commit session confirm <minutes>")
    _outside_file(session, "load merge FILE confirm <minutes>")


def _outside_file(session: SessionState, hint: str) -> None:
    """Refuse what a file that is loaded, as one commit, cannot do to single ones."""
    if session.loading:
        raise Refused("a file that is loaded is one commit", hint=hint)
