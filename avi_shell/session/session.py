"""One operator's session: a line in, a result out. Holds the open object, the tenant and the terminal's settings.

Pure of terminals: the fronts (`terminal`, `batch`) give it lines and show its results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, reference, tenant_of
from avi_shell.errors import NotFound, Refused, ShellError
from avi_shell.output.render import text_lines
from avi_shell.output.result import Result
from avi_shell.output.table import SECRET
from avi_shell.session import files, pipes, verbs
from avi_shell.session.audit import Audit
from avi_shell.session.openobject import TEXT_WANTED, OpenObject
from grammar import commands, schema
from grammar import parser as line
from grammar.errors import BadValue, IncompleteLine, LanguageError, LineError
from grammar.lexer import Word, is_comment, nearest, prompt_end, split

if TYPE_CHECKING:
    from grammar import completion as complete

USER = "admin"
ALL_TENANTS = "*"
_SEGMENT_OF = {name: segment for segment, name in schema.SEGMENTS.items()}


@dataclass(slots=True)
class Settings:
    """What `terminal …` sets.

    length: rows of a page, 0 = no pages; width: 0 = as the terminal, off one as wide as needed; brief: no defaults in
    tables; path_prompt: every mode in the prompt instead of the outermost and innermost.
    """

    length: int | None = None
    width: int = 0
    brief: bool = False
    path_prompt: bool = False


@dataclass(slots=True)
class Closed:
    """What rule 3 may re-open: an object (as it was named when it was committed, "" while it is still open) and the
    paths of its modes that `save` closed, innermost first."""

    kind: schema.Kind
    name: str
    paths: list[list[str]]

    def places(self) -> tuple[commands.Mode, ...]:
        """The closed modes as the grammar knows them."""
        return tuple(self._place(path) for path in self.paths)

    def _place(self, path: list[str]) -> commands.Mode:
        message = self.kind.root
        for name in path:
            inner = self.kind.message(message.fields[name])
            assert inner is not None
            message = inner
        return commands.Mode(self.kind, message, " ".join([self.kind.segment, *path]))


class Session:
    """A session over a configuration. state: the state directory, where engines are asked; terminal: whether a person
    looks (`| more` makes sense); audit: where every command is written down."""

    def __init__(
        self,
        configuration: Configuration,
        state: Path,
        *,
        controller: str = "10-1-1-1",
        user: str = USER,
        terminal: bool = False,
        audit: Audit | None = None,
    ) -> None:
        self.configuration = configuration
        self.state = state
        self.controller = controller
        self.user = user
        self.terminal = terminal
        self._audit = audit
        self.tenant = "admin"
        self.settings = Settings()
        self.progress: Callable[[str], None] = lambda _text: None  # a front that a person looks at shows it
        self.open: OpenObject | None = None
        self.lines: list[str] = []
        self._closed: Closed | None = None
        self._text: tuple[schema.Field, list[str]] | None = None

    @property
    def prompt(self) -> str:
        """What stands before the next line; "" while lines of a text are collected."""
        if self._text is not None:
            return ""
        where = ""
        if self.open is not None:
            segments = self.open.segments()
            if self.settings.path_prompt:
                where = ":".join(segments)
            else:
                inner = segments[1:] if len(segments) <= 3 else [segments[1], segments[-1]]
                where = f"{segments[0]} {':'.join(inner)}" if inner else segments[0]
        return f"[{self.tenant}:{self.controller}]: {where}> "

    @property
    def mode(self) -> list[str]:
        """The open modes, outermost first."""
        return self.open.segments() if self.open is not None else []

    @property
    def collecting(self) -> bool:
        """Whether the next line is text for a field, up to END."""
        return self._text is not None

    def context(self) -> commands.Context:
        """What a line may speak of now."""
        closed = self._closed.places() if self._closed is not None else ()
        if self.open is None:
            return commands.Context(commands.root(), None, closed, commands.in_mode())
        return commands.Context(commands.in_mode(), self.open.place(), closed, commands.root())

    def offer(self, text: str) -> complete.Offer:
        """What may follow a line's beginning, for TAB and `?`."""
        from grammar import completion as complete

        start = prompt_end(text)
        return complete.complete(text[start:], self.context(), self.names)

    def names(self, kind: str) -> list[str]:
        """Names of the objects of a kind (segment or message name) that this tenant sees."""
        return self.configuration.names(_SEGMENT_OF.get(kind, kind), self.tenant)

    def run(self, typed: str) -> Result:
        """Carry out one line. Never raises for what is wrong with it: the result's `error` says so, and nothing has
        changed then."""
        if self._text is not None:
            return self._collect(typed)
        start = prompt_end(typed)
        body = typed[start:].rstrip("\r\n")
        result = Result(body, start)
        if is_comment(body):
            result.blank = True
        else:
            try:
                _check_text(typed)
                words = split(body)
                self._run([Word(w.text, w.column + start, w.quoted) for w in words] if start else words, result)
                if result.pipes:
                    lines = text_lines(result.parts, self.settings.width or None)
                    pipes.apply(result, lines, terminal=self.terminal)
            except (LanguageError, ShellError) as exc:
                self._refuse(result, exc)
            self.lines.append(SECRET if result.secret else body.strip())
        result.mode = self.mode
        if self._audit is not None and not result.blank:
            self._audit.record(result, self.user, self.tenant)
        return result

    def _refuse(self, result: Result, exc: LanguageError | ShellError) -> None:
        result.error, result.parts, result.data, result.ended, result.repeat = exc, [], None, False, False
        path = getattr(exc, "path", "")
        mode = self.open.path if self.open is not None and isinstance(exc, LineError) else ""
        result.path = ".".join(part for part in (mode, path) if part)

    def _run(self, words: Sequence[Word], result: Result) -> None:
        chosen = commands.resolve(self.context(), words)
        if isinstance(chosen, commands.Mode):
            self._fields(chosen, words, result)
            return
        if chosen.word in commands.PIPED:
            words, result.pipes = pipes.divide(words)
        command = commands.match(chosen, words)
        verbs.HANDLERS[command.action](self, command, result)
        result.repeat = chosen.word == "watch"
        if command.action != "save":
            self._closed = None

    # Fields

    def _fields(self, place: commands.Mode, words: Sequence[Word], result: Result) -> None:
        """A line of fields, for the current mode or for one that `save` closed."""
        actions = line.parse(place.kind, place.message, words, place.where)
        current = self.context().mode
        if current is not None and place == current:
            self.apply(actions, result)
            self._closed = None
            return
        self._reopen(place, actions, result)

    def _reopen(self, place: commands.Mode, actions: list[line.Action], result: Result) -> None:
        """Rule 3: open the modes again that lead to a closed one, and carry the actions out there."""
        closed = self._closed
        assert closed is not None
        before = self.open
        depth = list(before.modes) if before is not None else []
        if before is None:
            document = self._own(closed.kind.segment, closed.name)
            if document is None:
                raise NotFound(f"{closed.kind.segment} '{closed.name}' does not exist any more")
            self.open = OpenObject(closed.kind, closed.name, document, True, result.command)
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
        if all(isinstance(action, line.Remove | line.RemoveAt) for action in actions):
            opened.modes = depth or opened.modes[:1]
            closed.paths = [p for p in closed.paths if p]
            closed.name = ""
        else:
            self._closed = None

    def apply(self, actions: Sequence[line.Action], result: Result) -> None:
        """Carry out actions in the current mode; a text that follows on lines of its own is awaited afterwards."""
        assert self.open is not None
        wanted = [action for action in actions if isinstance(action, line.Lines)]
        if wanted and (len(wanted) > 1 or actions[-1] is not wanted[0]):
            raise BadValue("'--' must end the line", "--", wanted[0].word.column)
        plain = [_from_file(action) for action in actions if action not in wanted]
        result.secret = any(action.field.sensitive and isinstance(action, line.Set) for action in actions)
        result.parts += self.open.apply(plain, self._resolve)
        if wanted:
            result.parts.append(TEXT_WANTED.format(wanted[0].field.name))
            self._text = (wanted[0].field, [])

    def _resolve(self, field: schema.Field, action: line.Action, name: str) -> str:
        """The reference to an object by name. Raises BadValue with the nearest names."""
        segment = _SEGMENT_OF.get(field.ref or "", "")
        found = self.configuration.find(segment, name, self.tenant) if segment else None
        if found is None:
            names = self.names(segment) if segment else []
            what = f"there is no {segment or field.ref} '{name}'"
            raise BadValue(what, action.word.text, action.word.column, ("<name>",), nearest(name, names), field.name)
        return reference(segment, str(found["name"]), tenant_of(found))

    def _collect(self, typed: str) -> Result:
        """One more line of a field's text, or END."""
        assert self._text is not None
        assert self.open is not None
        field, lines = self._text
        text = typed.rstrip("\r\n")
        result = Result(text)
        if text.strip() == "END":
            self._text = None
            result.parts += self.open.set_text(field, "\n".join(lines))
        else:
            lines.append(text)
            result.blank = True
        result.mode = self.mode
        return result

    def drop_text(self) -> None:
        """Give up a text that is being collected (Ctrl-C)."""
        self._text = None

    # Objects

    def find(self, segment: str, name: Word | str) -> Document:
        """A stored object that this tenant sees. Raises NotFound with the nearest names."""
        text = name if isinstance(name, str) else name.text
        found = self.configuration.find(segment, text, self.tenant)
        if found is None:
            near = nearest(text, self.configuration.names(segment, self.tenant))
            raise NotFound(f"there is no {segment} '{text}' in tenant {self.tenant}", hint=_did_you_mean(near))
        return found

    def _own(self, segment: str, name: str) -> Document | None:
        """The object that this tenant may change. One of admin's by the same name is another object, which references
        of this tenant find only while it has none of its own."""
        found = self.configuration.find(segment, name, self.tenant)
        return found if found is not None and (segment == "tenant" or tenant_of(found) == self.tenant) else None

    def open_object(self, segment: str, name: Word, fields: Sequence[Word], result: Result) -> None:
        """Open an object, creating it in memory when absent, and apply the fields of the line."""
        if self.tenant == ALL_TENANTS:
            raise Refused("objects are opened in one tenant", hint="switchto tenant admin")
        kind = schema.kind(segment)
        actions = line.parse(kind, kind.root, fields, segment) if fields else []
        document = self._own(segment, name.text)
        opened = OpenObject(kind, name.text, document or {"name": name.text}, document is not None, result.command)
        if document is not None:
            result.parts.append("Updating an existing object. Currently, the object is:")
            result.parts.append(verbs.object_table(self, kind, document))
        self.open = opened
        try:
            self.apply(actions, result)
        except (LanguageError, ShellError):
            self.open = None
            raise
        if result.secret:
            opened.opened_by = f"configure {segment} {name.text}"
        result.data = document

    def leave_by_save(self, result: Result) -> None:
        """`save`: close a sub-mode (rule 1), store the object, or do nothing at root (rule 2)."""
        opened = self.open
        if opened is None:
            return
        known = self._closed.paths if self._closed is not None else []
        if len(opened.modes) > 1:
            self._closed = Closed(opened.kind, "", known + opened.leave_by_save())
            return
        name = self.store(result)
        self._closed = Closed(opened.kind, name, [*known, []])

    def store(self, result: Result) -> str:
        """Commit the open object and return to root. Returns its name. Raises ShellError, and the object stays open."""
        opened = self.open
        assert opened is not None
        saved = self.configuration.save(
            opened.kind.segment, opened.document, self.tenant, user=self.user, line=opened.opened_by
        )
        self.open = None
        result.parts.append(verbs.object_table(self, opened.kind, saved.document))
        result.parts += saved.notices
        result.data = saved.document
        result.committed = saved.version
        verbs.tell_engines(self, saved.needs_engine, result)
        return str(saved.document["name"])


def _check_text(typed: str) -> None:
    """Refuse bytes that are no UTF-8: they arrive as lone surrogates and could not be stored."""
    at = next((i for i, c in enumerate(typed) if "\ud800" <= c <= "\udfff"), None) if not typed.isascii() else None
    if at is not None:
        raise BadValue("the line is not UTF-8", ascii(typed[at])[1:-1], at, ("UTF-8",))


def _from_file(action: line.Action) -> line.Action:
    """`field file:PATH` as the value that the file holds; one line end at its end does not count."""
    if not isinstance(action, line.FromFile):
        return action
    word = action.word
    if not action.value:
        raise IncompleteLine("a file's name is missing after 'file:'", "", word.column + 5, ("file:<path>",))
    try:
        text = files.read(action.value)
    except Refused as exc:
        raise BadValue(exc.what, word.text, word.column, (), (), action.field.name) from None
    return line.Set(action.field, word, text.removesuffix("\n"))


def _did_you_mean(names: Sequence[str]) -> str:
    return f"did you mean {', '.join(names)}?" if names else ""
