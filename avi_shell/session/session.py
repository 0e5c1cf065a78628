"""One operator's session: a line in, a result out.

Pure of terminals: the fronts (`terminal`, `batch`) give it lines and show its results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import SECRET
from avi_shell.configuration.record import Author
from avi_shell.errors import NotFound, Refused, ShellError
from avi_shell.output import secret
from avi_shell.output.render import text_lines
from avi_shell.output.result import Result
from avi_shell.session import confirming, pipes, transaction, verbs, watching
from avi_shell.session.audit import Audit
from avi_shell.session.files import LARGEST_VALUE
from avi_shell.session.openobject import OpenObject
from avi_shell.session.source import LONGEST
from avi_shell.session.state import SessionState
from grammar import commands, tree
from grammar.actions import Action, Remove, RemoveAt
from grammar.errors import BadValue, LanguageError, LineError
from grammar.lexer import Word, cut, is_comment, prompt_end, split
from grammar.nodes import Node
from grammar.parser import parse

if TYPE_CHECKING:
    from grammar.completion import Known, Offer


OFFERED = 100
"""How many names TAB offers, beside the last."""


_FRESH = 1.0
"""Seconds for which a line of fields takes what other hosts committed for known."""


class Session(SessionState):
    """A session over a configuration. terminal: whether a person looks (`| more` makes sense); audit: where every
    command is written down."""

    def __init__(
        self,
        configuration: Configuration,
        directory: Path,
        *,
        controller: str = "10-1-1-1",
        author: Author | None = None,
        terminal: bool = False,
        audit: Audit | None = None,
    ) -> None:
        super().__init__(configuration, directory, author or Author())
        self.controller = controller
        self.terminal = self.foresees = terminal
        self._audit = audit
        self._overdue = confirming.Overdue(self)
        self._again = False  # the line is one that was run before, and is watched
        self._behind = False  # what other hosts commit is not known, and that was told

    @property
    def prompt(self) -> str:
        """What stands before the next line; "" while lines of a text are collected."""
        if self.text is not None:
            return ""
        where = ""
        if self.open is not None:
            segments = self.open.segments()
            if self.settings.path_prompt:
                where = ":".join(segments)
            else:
                inner = segments[1:] if len(segments) <= 3 else [segments[1], segments[-1]]
                where = f"{segments[0]} {':'.join(inner)}" if inner else segments[0]
        inside = ":session" if self.candidate is not None else ""
        return f"[{self.tenant}:{self.controller}{inside}]: {where}> "

    def context(self) -> commands.Context:
        """What a line may refer to now."""
        closed = self.closed.places() if self.closed is not None else ()
        if self.open is None:
            return commands.Context(tree.root(), None, closed, tree.in_mode())
        return commands.Context(tree.in_mode(), self.open.place(), closed, tree.root())

    def another(self, configuration: Configuration) -> Session:
        """A new session of the same author over another configuration, without an audit log."""
        return Session(configuration, self.directory, author=self.author)

    def offer(self, text: str) -> Offer:
        """What may follow a line's beginning, for TAB and `?`."""
        from grammar import completion

        start = prompt_end(text)
        return completion.complete(text[start:], self.context(), self._known)

    def _known(self, kind: str, beginning: str) -> Known:
        """Names to offer; none where the store cannot be read: the line that follows says why."""
        from grammar.completion import FILE, Known

        if kind == FILE:
            from avi_shell.session import files

            return Known(*files.beginning(beginning, OFFERED))
        try:
            if kind == "commit":
                from avi_shell.session import history

                found = history.numbers(self)
                return Known(list(found), help=found)
            return Known(*self.names_beginning(kind, beginning, OFFERED))
        except ShellError:
            return Known(())

    def begin(self) -> list[str]:
        """Before the first line: undo what nobody confirmed in time. Returns what to say, sentences."""
        return self._settled(self._overdue.begin())

    def undo_overdue(self) -> list[str]:
        """Undo what nobody confirmed in time. Returns what to say, sentences."""
        return self._settled(self._overdue.undo())

    def _settled(self, told: list[str]) -> list[str]:
        if told and self._audit is not None:
            self._audit.settle()
        return told

    def run(self, typed: str) -> Result:
        """Carry out one line. Never raises for what is wrong with it: the result's `error` says so, and nothing has
        changed then."""
        prompt = self.prompt
        result = self._carried_out(typed)
        if self.observer is not None:
            self.observer(prompt, result)
        return result

    def again(self, typed: str) -> Result:
        """Carry out a watched line once more. It was written down when it was typed."""
        self._again = True
        try:
            return self.run(typed)
        finally:
            self._again = False

    def _carried_out(self, typed: str) -> Result:
        if len(typed) > LONGEST:
            return self._too_long(typed)
        if self.text is not None:
            return self._collect(typed)
        start = prompt_end(typed)
        body = typed[start:].rstrip("\r\n")
        result = Result(body, start, warnings=self.undo_overdue())
        self.typed = body.strip()
        if is_comment(body):
            result.blank = True
        else:
            try:
                _check_text(typed)
                self._run(result)
                result.data = secret.hidden(result.data)
                if result.pipes and not self.rehearsing:
                    lines = text_lines(result.parts, self.settings.width or None)
                    pipes.apply(result, lines, terminal=self.terminal)
            except (LanguageError, ShellError) as exc:
                self._refuse(result, exc)
            except (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError):
                damaged = self.configuration.damage()
                if damaged is None:
                    raise  # what the store holds does not explain it
                self._refuse(result, damaged)
            if result.error is not None:
                _conceal(result)
            if not result.blank and not self._again:
                self.lines.append(SECRET if result.secret else body.strip())
        result.mode = self.mode
        self._write_down(result)
        self.typed = ""
        return result

    def _write_down(self, result: Result) -> None:
        if self._audit is not None and not result.blank and not self._again:
            self._audit.record(result, replace(self.author, typed_at=self.origin), self.tenant)

    def _too_long(self, typed: str) -> Result:
        result = Result(f"{typed[:60]}…")
        result.error = Refused(
            f"the line is longer than {LONGEST >> 10} KiB", hint="field file:PATH reads a long value"
        )
        result.mode = self.mode
        self._write_down(result)
        return result

    def _refuse(self, result: Result, exc: LanguageError | ShellError) -> None:
        self.closed = None  # what was meant to be opened is not: its fields would go to the one before
        result.error, result.parts, result.data, result.ended, result.repeat = exc, [], None, False, None
        path = getattr(exc, "path", "")
        mode = self.open.path if self.open is not None and isinstance(exc, LineError) else ""
        result.path = ".".join(part for part in (mode, path) if part)

    def _understood(self, result: Result) -> tuple[list[Word], Node | commands.Place | None]:
        """A line's words up to its pipes, and what the first ones choose; no words where all of it is a comment."""
        head, stages = cut(result.command)
        if stages and (words := _words(head, result.offset)):
            chosen = commands.resolve(self.context(), words)
            if not isinstance(chosen, commands.Place) and chosen.word in tree.PIPED:
                result.pipes = pipes.stages(stages, result.offset)
                return words, chosen
        words = _words(result.command, result.offset)
        return words, commands.resolve(self.context(), words) if words else None

    def _run(self, result: Result) -> None:
        words, chosen = self._understood(result)
        if chosen is None:
            result.blank = True
            return
        self._follow(result, _FRESH if isinstance(chosen, commands.Place) else 0.0)
        if isinstance(chosen, commands.Place):
            self._fields(chosen, words, result)
            return
        command = commands.match(chosen, words)
        repeat = watching.repeat_of(command)
        if not self._again:
            self.live = None
        if self.candidate is not None and command.action in transaction.NOT_INSIDE:
            raise Refused("a configuration session is open", hint="commit session or discard session first")
        if self.rehearsing and verbs.is_for_the_eye(command.action):
            return
        opened = self.open.kind.segment if self.open is not None else ""
        with self.foreseeing(result):
            verbs.HANDLERS[command.action](self, command, result)
        if command.action in ("show.object", "show.list"):
            result.kind = command.kind
        elif command.action in ("show.open", "save", "exit"):
            result.kind = opened
        if result.committed is not None and self.candidate is None:
            confirming.tell(self, result)
        if self.configuration.is_copy:
            result.committed = None  # it is stored nowhere yet
        if self.candidate is not None and "comment" in command.arguments:
            result.parts.append("The comment is kept nowhere: commit session comment says why.")
        self.leaving = self.leaving and command.action == "exit"
        result.repeat = repeat or result.repeat
        if command.action != "save":
            self.closed = None

    def _follow(self, result: Result, age: float) -> None:
        """See what other hosts committed; what keeps this one from it is told once."""
        fault = self.configuration.follow(age)
        if fault and not self._behind:
            result.warnings.append(f"this is what is known here; other hosts may have changed it: {fault}")
        self._behind = bool(fault)

    # Fields

    def _fields(self, place: commands.Place, words: Sequence[Word], result: Result) -> None:
        """A line of fields, for the current mode or for one that `save` closed."""
        actions = parse(place.kind, place.message, words, place.where)
        current = self.context().mode
        if current is not None and place == current:
            self.apply(actions, result)
            self.closed = None
            return
        self._reopen(place, actions, result)

    def _reopen(self, place: commands.Place, actions: list[Action], result: Result) -> None:
        """Open the modes again that lead to one that `save` closed, and carry the actions out there."""
        closed = self.closed
        assert closed is not None
        before = self.open
        depth = list(before.modes) if before is not None else []
        if before is None:
            document = self.own(closed.kind.segment, closed.name)
            if document is None:
                raise NotFound(f"{closed.kind.segment} '{closed.name}' does not exist any more")
            self.open = OpenObject(closed.kind, closed.name, document, True, result.command, self.origin)
        opened = self.open
        assert opened is not None
        path = next(p for p in closed.paths if " ".join([closed.kind.segment, *p]) == place.where)
        try:
            for name in path[len(opened.modes) - 1 :]:
                opened.enter(name)
            self.apply(actions, result)
        except (LanguageError, ShellError):
            opened.modes = depth or opened.modes
            self.open = before
            raise
        if all(isinstance(action, Remove | RemoveAt) for action in actions):
            opened.modes = depth or opened.modes[:1]
            closed.paths = [p for p in closed.paths if p]
            closed.name = ""
        else:
            self.closed = None

    def _collect(self, typed: str) -> Result:
        """One more line of a field's text, or END. A line that is refused is not part of it."""
        assert self.text is not None
        assert self.open is not None
        field, lines = self.text.target, self.text.lines
        text = typed.rstrip("\r\n")
        result = Result(text, secret=field.sensitive)
        if text.strip() == "END":
            self.text = None
            if lines == [SECRET] and not self.loading:
                result.error = BadValue(
                    f"{SECRET} stands for a secret that is not shown", SECRET, 0, (), (), field.name
                )
            else:
                result.parts += self.open.set_text(field, "\n".join(lines))
        else:
            result.blank = True
            try:
                _check_text(typed)
                if self.text.size + len(text) > LARGEST_VALUE:
                    raise Refused(
                        f"the text is larger than {LARGEST_VALUE >> 20} MiB", hint="END ends it before this line"
                    )
                lines.append(text)
                self.text.size += len(text) + 1
            except (LanguageError, ShellError) as exc:
                result.blank = False
                self._refuse(result, exc)
        result.mode = self.mode
        return result

    def drop_text(self) -> None:
        """Drop the text that is being collected (Ctrl-C)."""
        self.text = None


def _words(text: str, offset: int) -> list[Word]:
    words = split(text)
    return [Word(w.text, w.column + offset, w.quoted) for w in words] if offset else words


def _conceal(result: Result) -> None:
    """A refused line that may hold a secret is kept nowhere, and its refusal does not repeat a word that may be it."""
    error, begins = result.error, secret.suspected(result.command)
    result.secret = result.secret or begins is not None
    if isinstance(error, LineError) and error.word and begins is not None and error.column >= begins + result.offset:
        error.what = error.what.replace(error.word, SECRET)
        error.word, error.nearest = SECRET, ()


def _check_text(typed: str) -> None:
    """Refuse bytes that are no UTF-8: they arrive as lone surrogates and could not be stored."""
    at = next((i for i, c in enumerate(typed) if "\ud800" <= c <= "\udfff"), None) if not typed.isascii() else None
    if at is not None:
        raise BadValue("the line is not UTF-8", ascii(typed[at])[1:-1], at, ("UTF-8",))
