"""What a session holds between lines, and what commands do with it: find, open, change and store objects. `session`
turns lines into calls of this module; `verbs` holds what each command does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import (
    ADMIN,
    ALL,
    DEFAULT_CLOUD,
    SECRET,
    Document,
    cloud_of,
    place,
    reference,
    tenant_of,
)
from avi_shell.configuration.record import Author
from avi_shell.errors import Conflict, NotFound, Refused, ShellError
from avi_shell.output.result import Part, Result, Table
from avi_shell.output.table import nothing, object_rows
from avi_shell.session import elements, files
from avi_shell.session.openobject import TEXT_WANTED, OpenObject
from avi_shell.views.live import no_engine
from grammar import commands, relations, schema
from grammar.actions import Action, Lines, Set
from grammar.errors import BadValue, LanguageError
from grammar.lexer import Word, nearest, quote
from grammar.parser import parse

if TYPE_CHECKING:
    from avi_shell.configuration.candidate import Candidate
    from avi_shell.configuration.replanned import Replanned
    from avi_shell.views.gathering import Engines
    from avi_shell.views.liveview import LiveView

FIELD_VALUE = ("Field", "Value")
"""The columns of an object's table."""
QUESTION = "{} (yes/no): "
"""What a person is asked, who answers behind it."""

_SEGMENT_OF = {name: segment for segment, name in schema.SEGMENTS.items()}


@dataclass(slots=True)
class Settings:
    """The settings of `terminal …`."""

    length: int | None = None  # rows of a page; 0 = no pages
    width: int = 0  # columns of a line; 0 = as the terminal, off one as wide as needed
    brief: bool | None = None  # tables leave defaults out; None: those of a `save` at a terminal alone
    plain: bool = False  # no escape sequences are sent to the terminal
    path_prompt: bool = False  # every mode stands in the prompt, instead of the outermost and innermost


@dataclass(slots=True)
class Closed:
    """Modes that `save` closed. A field of one of them, typed next, opens it again."""

    kind: schema.Kind  # of the object
    name: str  # of the object when it was committed; "" while it is still open
    paths: list[list[str]]  # field names from the object to each closed mode, innermost first

    def places(self) -> tuple[commands.Place, ...]:
        """The closed modes as the grammar knows them."""
        return tuple(self._place(path) for path in self.paths)

    def _place(self, path: list[str]) -> commands.Place:
        message = self.kind.root
        for name in path:
            inner = self.kind.message(message.fields[name])
            assert inner is not None
            message = inner
        return commands.Place(self.kind, message, " ".join([self.kind.segment, *path]))


@dataclass(slots=True)
class TypedText:
    """A field's text that is being typed on several lines."""

    target: schema.Field  # whose value it is
    lines: list[str] = field(default_factory=list)  # so far
    size: int = 0  # characters, with the line ends


def check_name(name: Word) -> None:
    """Raises BadValue for a name that no object may get."""
    if "$" in name.text:
        raise BadValue("a name may not contain '$'", name.text, name.column, ("another character",), path="name")


class SessionState(ABC):
    """What a session holds between lines. directory: the state directory, where engines are asked; author: who types;
    typed: the line that is run, "" between lines; origin: where it comes from, "FILE:LINE", "" at a terminal; tenant,
    cloud: "*" for all; closed: the modes that `save` just closed."""

    def __init__(self, configuration: Configuration, directory: Path, author: Author) -> None:
        self.configuration = configuration
        self.directory = directory
        self.author = author
        self.origin = ""
        self.typed = ""
        self.tenant = ADMIN
        self.cloud = ALL
        self.settings = Settings()
        self.progress: Callable[[str], None] = lambda _text: None  # a front that a person looks at shows it
        self.ask: Callable[[Sequence[Part], str], bool] | None = None  # of a front at which a person sits
        self.observer: Callable[[str, Result], None] | None = None  # is told each line's prompt and result
        self.terminal = False  # a person looks
        self.foresees = False  # commits tell what they do to what is forwarded
        self.candidate: Candidate | None = None  # of the configuration session, whose configuration is then this one's
        self.rehearsing = False  # lines are tried on a copy: they write no file, and show nothing
        self.loading = False  # they are those of a file that is loaded
        self.leaving = False  # the shell was to be left with a session open, and that was told
        self.open: OpenObject | None = None
        self.closed: Closed | None = None
        self.text: TypedText | None = None
        self.lines: list[str] = []
        self.live: LiveView | None = None  # what the line that is run again and again looks at

    @abstractmethod
    def run(self, typed: str) -> Result:
        """Carry out one line."""

    @abstractmethod
    def context(self) -> commands.Context:
        """What a line may refer to now."""

    @abstractmethod
    def another(self, configuration: Configuration) -> SessionState:
        """A new session of the same author over another configuration, without an audit log."""

    @property
    def collecting(self) -> bool:
        """Whether the next line is text for a field, up to END."""
        return self.text is not None

    @property
    def engines(self) -> Engines:
        """The engines that can be asked."""
        from avi_shell.views.gathering import Engines

        return Engines(self.stored, self.directory, self.author.os_user or self.author.user)

    @contextmanager
    def foreseeing(self, result: Result) -> Iterator[None]:
        """Have commits tell a result first what they do to what is forwarded, where somebody wants to know."""
        stored = self.stored

        def foresee(replanned: Replanned) -> None:
            from avi_shell.views.impact import foretold

            result.foretold, result.impact = foretold(self.engines, replanned)

        stored.foresee = foresee if self.foresees and not stored.is_copy else None
        try:
            yield
        finally:
            stored.foresee = None

    @property
    def stored(self) -> Configuration:
        """The stored configuration, not the copy of a configuration session."""
        return self.candidate.stored if self.candidate is not None else self.configuration

    @property
    def mode(self) -> list[str]:
        """The open modes, outermost first."""
        return self.open.segments() if self.open is not None else []

    def by(self, line: str, origin: str | None = None) -> Author:
        """The author of a commit that a line makes. origin: the line's, where it is not the current one."""
        where = self.origin if origin is None else origin
        return replace(self.author, line=line, origin=where, typed=self.typed or line, typed_at=self.origin)

    def agreed(self, told: Sequence[Part], question: str, result: Result) -> bool:
        """Whether to do what is told. A person is shown it, with what was foreseen of it, and asked; elsewhere it is
        told and done."""
        if self.ask is not None:
            from avi_shell.output.render import foretold

            told = [*told, *foretold(result)]
            result.foretold, self.stored.foresee = "", None  # it is told once
            agreed = self.ask(told, question)
            result.asked += [*told, QUESTION.format(question) + ("yes" if agreed else "no")]
            return agreed
        result.parts += told
        return True

    @property
    def owner(self) -> str:
        """Whose objects an export and an import are about: the tenant's own; in admin's session those of all."""
        return ALL if self.tenant == ADMIN else self.tenant

    @property
    def tenants(self) -> tuple[str, ...] | None:
        """Whose objects the history shows: the tenant's own and admin's; in admin's session those of all (None)."""
        return None if self.owner == ALL else (self.tenant, ADMIN)

    def work_in(self, tenant: str) -> None:
        """Work in a tenant, "*" in all. Raises NotFound."""
        if tenant != ALL and self.configuration.find("tenant", tenant, ADMIN) is None:
            names = self.configuration.names("tenant", ALL)
            raise NotFound(f"there is no tenant '{tenant}'", hint=f"expected: {', '.join([*names, ALL])}")
        self.tenant = tenant

    def names(self, kind: str) -> list[str]:
        """Names of a kind's objects that this tenant and cloud see. kind: segment or message name."""
        return self.configuration.names(_SEGMENT_OF.get(kind, kind), self.tenant, self.cloud)

    def names_beginning(self, kind: str, beginning: str, most: int) -> tuple[list[str], bool]:
        """Names of those that begin with a text: the first `most` and the last, and whether there are others."""
        return self.configuration.names_beginning(
            _SEGMENT_OF.get(kind, kind), self.tenant, self.cloud, beginning=beginning, most=most
        )

    def apply(self, actions: Sequence[Action], result: Result) -> None:
        """Carry out actions in the current mode; a text that follows on lines of its own is awaited afterwards."""
        assert self.open is not None
        wanted = [action for action in actions if isinstance(action, Lines)]
        if wanted and (len(wanted) > 1 or actions[-1] is not wanted[0]):
            raise BadValue("'--' must end the line", "--", wanted[0].word.column)
        plain = [files.in_place(action) for action in actions if action not in wanted]
        for action in plain:
            if isinstance(action, Set) and action.field.name == "name" and len(self.open.modes) == 1:
                check_name(action.word)
            if getattr(action, "value", None) == SECRET and not self.loading:
                what = f"{SECRET} stands for a secret that is not shown"
                raise BadValue(what, SECRET, action.word.column, ("the secret itself",), (), action.field.name)
        if not self.loading:
            elements.check_entered(self.configuration, self.open, plain)
        result.secret = any(action.field.sensitive and isinstance(action, Set) for action in actions)
        result.parts += self.open.apply(plain, self._resolve)
        if wanted:
            result.parts.append(TEXT_WANTED.format(wanted[0].field.name))
            self.text = TypedText(wanted[0].field)

    def _resolve(self, field: schema.Field, action: Action, name: str) -> str:
        """The reference to an object by name, or by a whole reference: the one in the open object's cloud before
        others. Raises BadValue with the nearest names."""
        segment = _SEGMENT_OF.get(field.ref or "", "")
        found = self._referred(segment, name) if segment else None
        if found is None:
            names = self.names(segment) if segment else []
            what = f"there is no {segment or field.ref} '{name}'"
            raise BadValue(what, action.word.text, action.word.column, ("<name>",), nearest(name, names), field.name)
        return place(schema.kind(segment), found).reference

    def _referred(self, segment: str, name: str) -> Document | None:
        if name.startswith(f"/api/{segment}/"):
            try:
                return self.configuration.referenced(name)
            except ValueError:
                return None
        assert self.open is not None
        cloud = cloud_of(self.open.kind, self.open.document)
        within = self.configuration.find(segment, name, self.tenant, cloud or self.cloud)
        return within or self.configuration.find(segment, name, self.tenant)

    def find(self, segment: str, name: Word | str) -> Document:
        """A stored object that this tenant and cloud see. Raises NotFound with the nearest names."""
        text = name if isinstance(name, str) else name.text
        found = self.configuration.find(segment, text, self.tenant, self.cloud)
        if found is None:
            near = nearest(text, self.names(segment))
            where = f"tenant {self.tenant}" + (f", cloud {self.cloud}" if self.cloud != ALL else "")
            raise NotFound(f"there is no {segment} '{text}' in {where}", hint=_did_you_mean(near))
        return found

    def own(self, segment: str, name: str) -> Document | None:
        """The object that may be changed in this tenant and cloud. One of admin's by the same name is another object,
        which references of this tenant find only while it has none of its own; the same of the default cloud's."""
        found = self.configuration.find(segment, name, self.tenant, self.cloud)
        if found is None or (segment != "tenant" and tenant_of(found) != self.tenant):
            return None
        return found if self.cloud in (ALL, cloud_of(schema.kind(segment), found) or self.cloud) else None

    def open_object(self, segment: str, name: Word, fields: Sequence[Word], result: Result) -> None:
        """Open an object, creating it in memory when absent, and apply the fields of the line."""
        if self.tenant == ALL:
            raise Refused("objects are opened in one tenant", hint="switchto tenant admin")
        kind = schema.kind(segment)
        actions = parse(kind, kind.root, fields, segment) if fields else []
        document = self.own(segment, name.text)
        if document is None:
            check_name(name)
        opened = OpenObject(
            kind, name.text, document or self._new(kind, name.text), document is not None, result.command, self.origin
        )
        there = document
        if kind.segment == "debugvirtualservice":  # it is there with its virtual service, whatever was typed of it
            traced = self.find("virtualservice", name)
            there = document or self.configuration.prepared(segment, opened.document, self.tenant)
            there = {"uuid": f"debug{traced['uuid']}", **there}
        if there is not None:
            result.parts.append("Updating an existing object. Currently, the object is:")
            result.parts += self._shown(kind, there)
        self.open = opened
        try:
            self.apply(actions, result)
        except (LanguageError, ShellError):
            self.open = None
            raise
        if result.secret:
            opened.opened_by = f"configure {segment} {name.text}"
        result.data = document

    def _new(self, kind: schema.Kind, name: str) -> Document:
        """A new object: it belongs to the cloud that the session is in."""
        there = {"cloud_ref": reference("cloud", self.cloud)} if self.cloud not in (ALL, DEFAULT_CLOUD) else {}
        return {"name": name, **(there if kind.segment in relations.OF_A_CLOUD else {})}

    def leave_by_save(self, result: Result, comment: str = "", confirm: float = 0.0) -> None:
        """`save`: close a sub-mode, at the object store it; at root nothing is open and nothing is done. comment,
        confirm: of the commit, now or when the object is stored; "" and 0 keep what was given in a sub-mode."""
        opened = self.open
        if opened is None:
            return
        known = self.closed.paths if self.closed is not None else []
        if len(opened.modes) > 1:
            elements.check_left(self.configuration, opened, self.tenant)
            self.closed = Closed(opened.kind, "", known + opened.leave_by_save())
            opened.comment = comment or opened.comment
            opened.confirm = confirm or opened.confirm
            return
        name = self.store(result, comment, confirm)
        self.closed = Closed(opened.kind, name, [*known, []])

    def store(self, result: Result, comment: str = "", confirm: float = 0.0) -> str:
        """Commit the open object and return to root. Returns its name. Raises ShellError, and the object stays open."""
        opened = self.open
        assert opened is not None
        comment, confirm = comment or opened.comment, confirm or opened.confirm
        by = replace(self.by(opened.opened_by, opened.origin), comment=comment, confirm=confirm)
        try:
            saved = self.configuration.save(opened.kind.segment, opened.document, self.tenant, by)
        except Conflict as exc:
            raise Conflict(f"{exc.what}: {meanwhile(opened.kind, opened.base, exc.stored or {})}", exc.stored) from None
        self.open = None
        result.parts += self._shown(opened.kind, saved.document, opened.typed_of(saved.document))
        result.parts += saved.notices
        if comment and not saved.changed:
            result.parts.append("Nothing was changed, so there is no commit that has the comment.")
        if confirm and not saved.changed:
            result.parts.append("Nothing was changed, so there is no commit to be confirmed.")
        result.data = saved.document
        result.committed = saved.version
        self.tell_engines(saved.needs_engine, result)
        return str(saved.document["name"])

    def _shown(self, kind: schema.Kind, document: Document, typed: Collection[tuple[int, str]] = ()) -> list[Part]:
        """What `configure` shows of an object that is there, and `save` of the one that it stored. A person sees what
        differs from its default, and what was typed, and how to see the rest."""
        whole = object_rows(kind, document)
        if not (self.terminal if self.settings.brief is None else self.settings.brief):
            return [Table(FIELD_VALUE, whole)]
        rows = object_rows(kind, document, brief=lambda message, name: (id(message), name) in typed)
        told: list[Part] = [Table(FIELD_VALUE, rows)]
        if self.settings.brief is None and len(rows) < len(whole):
            command = f"show {kind.segment} {quote(str(document['name']))}"
            left = len(whole) - len(rows)
            told.append(f"{left} default{'s are' if left > 1 else ' is'} not shown. To see all: {command}")
        return told

    def table(self, kind: schema.Kind, document: Document) -> Table:
        """An object's table, with or without defaults as `terminal output` says."""
        return Table(FIELD_VALUE, object_rows(kind, document, brief=nothing if self.settings.brief else None))

    def tell_engines(self, needed: bool, result: Result) -> None:
        """After a commit: wake the engines. Where one is needed and none runs, say so."""
        if self.configuration.is_copy:
            return
        from dataplane import client

        if client.engines(self.directory):
            client.notify(self.directory)
        elif needed:
            name = result.data.get("name") if isinstance(result.data, dict) else None
            committed = f"'{name}' is not forwarded" if name else "nothing is forwarded"
            result.parts.append(no_engine(self.directory, committed))


def meanwhile(kind: schema.Kind, before: Document, stored: Document) -> str:
    """What somebody else changed of an object since it was opened."""
    from avi_shell.configuration.differences import compare
    from avi_shell.output import differences

    return differences.sentence(kind, compare(kind, before, stored)) or "nothing that is shown"


def _did_you_mean(names: Sequence[str]) -> str:
    return f"did you mean {', '.join(names)}?" if names else ""
