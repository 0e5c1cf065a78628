"""The shell's commands as data: a tree of words and slots, and what a line means at a prompt.

One tree serves the parser, completion and help. `resolve` decides whether a line is a command or fields of the current
mode, or of a mode that `save` just closed (the third rule of leaving modes).
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from grammar import parser as line
from grammar import schema
from grammar.errors import BadValue, IncompleteLine, LineError, UnknownWord
from grammar.lexer import Word, pick


class Slot(enum.Enum):
    """What a word may be where no keyword is meant."""

    OBJECT = enum.auto()  # the name of an object of the node's kind
    NUMBER = enum.auto()
    PATH = enum.auto()
    TEXT = enum.auto()
    VERB = enum.auto()  # any command's name
    FIELDS = enum.auto()  # the rest of the line: fields of the kind
    COMMAND = enum.auto()  # the rest of the line: a command out of `next`


@dataclass(frozen=True, slots=True)
class Node:
    """A keyword, or a slot with `word` as its form (`<name>`).

    action: what is done if the line ends here ("" = it cannot); usage: what to say when it does end; argument: the name
    under which the slot's word is handed on; kind: the segment that an OBJECT or FIELDS slot speaks of.
    """

    word: str
    help: str = ""
    action: str = ""
    next: tuple[Node, ...] = ()
    slot: Slot | None = None
    argument: str = ""
    kind: str = ""
    usage: str = ""


@dataclass(slots=True)
class Command:
    """A line understood as a command: what to do, with which words; fields: words for the fields of `kind`."""

    action: str
    kind: str = ""
    arguments: dict[str, Word] = field(default_factory=dict)
    fields: list[Word] = field(default_factory=list)

    def text(self, name: str) -> str:
        """An argument's text, "" when it was not typed."""
        word = self.arguments.get(name)
        return word.text if word is not None else ""


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode in which fields may be typed; where: its name for messages."""

    kind: schema.Kind
    message: schema.Message
    where: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a line may speak of: commands, the current mode (None at root), modes that `save` just closed, innermost
    first, and the commands of the other prompt, to say so when one is typed here."""

    commands: tuple[Node, ...]
    mode: Mode | None = None
    closed: tuple[Mode, ...] = ()
    elsewhere: tuple[Node, ...] = ()

    def modes(self) -> tuple[Mode, ...]:
        """The current mode, then the closed ones."""
        return ((self.mode,) if self.mode is not None else ()) + self.closed

    def vocabulary(self) -> dict[str, Node | schema.Field | None]:
        """Every first word: commands, then fields of the modes, then `no`; an earlier meaning hides a later one."""
        words: dict[str, Node | schema.Field | None] = {node.word: node for node in self.commands}
        for mode in self.modes():
            for name, member in line.typable(mode.kind.segment, mode.message.name).items():
                words.setdefault(name, member)
        if self.modes():
            words.setdefault(line.NO, None)
        return words


def resolve(context: Context, words: Sequence[Word]) -> Node | Mode:
    """What the first words choose: a command's node, or the mode that the line's fields belong to.

    Raises UnknownWord, AmbiguousWord, IncompleteLine (a lonely `no`).
    """
    first = words[0]
    commands = {node.word: node for node in context.commands}
    if first.text in commands:
        return commands[first.text]
    modes = context.modes()
    if not modes:
        return commands[_pick(context, first, commands, "a command")]
    if first.text == line.NO:
        return _mode_of(context, words, line.NO)
    mode = _owner(modes, first.text)
    if mode is not None:
        return mode
    if context.mode is not None and any(node.word == first.text for node in context.elsewhere):
        # `delete pool p1` must not become an abbreviated delete_server_on_dns_refresh of the pool that is open.
        raise _explained(context, UnknownWord("", first.text, first.column), first)
    where = context.mode.where if context.mode is not None else ""
    name = _pick(context, first, context.vocabulary(), f"a command or a field of {where}" if where else "a command")
    return commands[name] if name in commands else _mode_of(context, words, name)


def _mode_of(context: Context, words: Sequence[Word], name: str) -> Mode:
    """The mode that a field's name belongs to; for `no`, that of the word after it."""
    modes = context.modes()
    if name == line.NO:
        if len(words) < 2:
            return modes[0]  # whose parser says what is missing
        names = {n: None for mode in modes for n in line.typable(mode.kind.segment, mode.message.name)}
        if words[1].text in names:
            name = words[1].text
        else:
            matches = [n for n in names if n.startswith(words[1].text)]
            if not matches or (len(matches) > 1 and not context.closed):
                return modes[0]  # whose parser names the fault
            name = pick(words[1], names, "a field")
    mode = _owner(modes, name)
    assert mode is not None
    return mode


def _owner(modes: Sequence[Mode], name: str) -> Mode | None:
    for mode in modes:
        if name in line.typable(mode.kind.segment, mode.message.name):
            return mode
    return None


def _pick(context: Context, word: Word, vocabulary: Collection[str], what: str) -> str:
    try:
        return pick(word, vocabulary, what)
    except UnknownWord as exc:
        if word.text in LACKING:
            lacking = f"'{word.text}' is a command of the appliance that avi-shell does not have"
            raise UnknownWord(lacking, word.text, word.column) from None
        raise _explained(context, exc, word) from None


def _explained(context: Context, exc: UnknownWord, word: Word) -> UnknownWord:
    if any(node.word == word.text for node in context.elsewhere):
        exc.what = (
            f"'{word.text}' is a command of the root prompt; an object is open: save or cancel it first"
            if context.mode is not None
            else f"'{word.text}' has a meaning only while an object is open; configure opens one"
        )
        exc.nearest = exc.expected = ()
    elif context.mode is not None:
        mode = context.mode
        fields = line.typable(mode.kind.segment, mode.message.name)
        exc.expected = tuple(dict.fromkeys([*fields, *exc.expected]))
        try:
            line.parse(mode.kind, mode.message, [word], mode.where)
        except UnknownWord as better:
            if better.what != f"'{word.text}' is not a field of {mode.where}":
                exc.what, exc.nearest, exc.expected = better.what, better.nearest, better.expected
        except LineError:
            pass
    return exc


def match(node: Node, words: Sequence[Word], start: int = 1) -> Command:
    """The command of a line whose words before `start` led to `node`.

    Raises IncompleteLine with the usage, UnknownWord, AmbiguousWord or BadValue.
    """
    command = Command(node.action, node.kind)
    for position in range(start, len(words)):
        word = words[position]
        rest = next((n for n in node.next if n.slot is Slot.FIELDS), None)
        if rest is not None:
            command.fields = list(words[position:])
            break
        nested = next((n for n in node.next if n.slot is Slot.COMMAND), None)
        if nested is not None:
            chosen = {n.word: n for n in nested.next}
            inner = chosen[_inner(words[position - 1], word, chosen)]
            return match(inner, words, position + 1)
        node = step(node, word)
        if node.slot is not None:
            command.arguments[node.argument or node.word] = word
        elif node.argument:
            command.arguments[node.argument] = Word(node.word, word.column)
        command.kind = node.kind or command.kind
        command.action = node.action
    if not node.action:
        end = words[-1].column + len(words[-1].text) + 1
        raise IncompleteLine(_usage(node), "", end, () if node.usage else tuple(n.word for n in node.next))
    return command


def _inner(outer: Word, word: Word, chosen: Collection[str]) -> str:
    """The command that a word after another command (`do`, `watch`) is or abbreviates. Raises LineError."""
    try:
        return pick(word, chosen, f"a command after '{outer.text}'")
    except UnknownWord as exc:
        if any(node.word == word.text for node in root()):
            open_ = ": an object is open, save or cancel it first" if outer.text == "do" else ""
            exc.what = f"'{outer.text}' runs {', '.join(chosen)}; not '{word.text}'{open_}"
            exc.nearest = exc.expected = ()
        raise


def step(node: Node, word: Word) -> Node:
    """The node that a word leads to. Raises UnknownWord, AmbiguousWord, BadValue."""
    keywords = {n.word: n for n in node.next if n.slot is None}
    slot = next((n for n in node.next if n.slot is not None), None)
    if slot is None or (not word.quoted and word.text in keywords):
        if not keywords:
            raise UnknownWord(f"nothing is expected after '{node.word}'", word.text, word.column)
        if word.text in LACKING_KINDS and word.text not in keywords:
            what = f"'{word.text}' is a kind of object of the appliance that avi-shell does not have"
            raise UnknownWord(what, word.text, word.column)
        return keywords[pick(word, keywords, f"possible after '{node.word}'")]
    if keywords and not word.quoted:
        matches = [n for w, n in keywords.items() if w.startswith(word.text)]
        if len(matches) == 1:
            return matches[0]
    if slot.slot is Slot.NUMBER and not (word.text.isascii() and word.text.isdecimal() and len(word.text) < 7):
        raise BadValue(f"'{word.text}' is not a number", word.text, word.column, (slot.word,))
    if slot.slot is Slot.VERB:
        pick(word, verb_help(), "a command")
    if not word.text:
        raise BadValue(f"an empty word is no {slot.word}", "", word.column, (slot.word,))
    return slot


def _usage(node: Node) -> str:
    if node.usage:
        return node.usage
    return f"the line ends after '{node.word}', where more must follow"


def _object(segment: str, action: str, *after: Node) -> Node:
    return Node("<name>", "name of the object", action, after, Slot.OBJECT, "name", segment)


def _each_kind(action: str, of: Collection[str], usage: str, fields: bool = False) -> tuple[Node, ...]:
    return tuple(
        Node(
            segment,
            next=(_object(segment, action, *((Node("", slot=Slot.FIELDS, kind=segment),) if fields else ())),),
            kind=segment,
            usage=usage.format(segment),
        )
        for segment in of
    )


def _view(word: str, help_: str, *after: Node) -> Node:
    return Node(word, help_, "show.view", after, argument="view")


_ONE_SERVER = Node("<x.x.x.x>", "address of one server; all without it", "show.diagnose", (), Slot.TEXT, "server")
VIEWS: Mapping[str, tuple[Node, ...]] = {
    "virtualservice": (_view("detail", "live state, packets and servers, from the service engines"),),
    "pool": (
        _view("detail", "live state of the pool"),
        _view(
            "server",
            "live state of each server",
            Node("diagnose", "find out what is wrong with servers, and what mends it", "show.diagnose", (_ONE_SERVER,)),
        ),
        Node("server-setup", "commands that make a host ready to be a server of this pool", "show.setup"),
    ),
    "serviceengine": (_view("detail", "live state: driver, interfaces, drops"),),
}
"""What there is to see of an object besides its configuration, by kind."""

_CONFIGURABLE = tuple(segment for segment in schema.SEGMENTS if segment != "debugvirtualservice")


def _show(in_mode: bool) -> Node:
    listed = tuple(
        Node(
            segment,
            action="show.list",
            next=(
                _object(
                    segment,
                    "show.object",
                    *VIEWS.get(segment, ()),
                ),
            ),
            kind=segment,
        )
        for segment in schema.SEGMENTS
    )
    others = (
        Node("history", "changes of the configuration, newest last", "show.history"),
        Node("running_config", "lines that recreate the configuration", "show.running_config"),
        Node("version", "version of this program", "version"),
    )
    if in_mode:
        diff = Node("diff", "what save would change", "show.diff")
        return Node("show", "the object as it would be saved, or any object", "show.open", (diff, *listed, *others))
    return Node("show", "show objects and state", next=(*listed, *others))


def _number(argument: str, action: str, form: str) -> Node:
    return Node(form, action=action, slot=Slot.NUMBER, argument=argument)


def _path(action: str, *after: Node) -> Node:
    return Node("<file>", "a file", action, after, Slot.PATH, "path")


_TERMINAL = Node(
    "terminal",
    "settings of this session's output",
    next=(
        Node("length", "rows of a page, 0 = no pages", next=(_number("number", "terminal.length", "<0-9999>"),)),
        Node(
            "width", "columns of a line, 0 = as the terminal", next=(_number("number", "terminal.width", "<0-9999>"),)
        ),
        Node(
            "output",
            "brief leaves defaults out of tables",
            next=(
                Node("brief", "without defaults", "terminal.output", argument="value"),
                Node("detailed", "with defaults", "terminal.output", argument="value"),
            ),
        ),
        Node(
            "prompt",
            "how deep modes are shown",
            next=(
                Node("document", "outermost and innermost mode", "terminal.prompt", argument="value"),
                Node("path", "every mode", "terminal.prompt", argument="value"),
            ),
        ),
    ),
)
_HELP = Node("help", "commands and what they do", "help", (Node("<command>", "", "help", (), Slot.VERB, "verb"),))
_EVERYWHERE = (
    Node("where", "tenant, and what is set in this mode", "where"),
    _TERMINAL,
    Node("history", "lines typed in this session", "history"),
    Node("version", "version of this program", "version"),
    Node("clear", "clear the screen", "clear"),
    _HELP,
)


def _watch(show: Node) -> Node:
    return Node("watch", "repeat a show command until Ctrl-C", next=(Node("", slot=Slot.COMMAND, next=(show,)),))


@cache
def root() -> tuple[Node, ...]:
    """The commands of the root prompt."""
    show = _show(False)
    debug_next = (_object("debugvirtualservice", "open", Node("", slot=Slot.FIELDS, kind="debugvirtualservice")),)
    debug_usage = "Usage: 'debug virtualservice <name>'. You must enter the object name."
    return (
        Node(
            "configure",
            "open an object, creating it when absent",
            next=_each_kind(
                "open", _CONFIGURABLE, "Usage: 'configure {} <name>'. You must enter the object name.", True
            ),
        ),
        show,
        Node(
            "delete",
            "delete an object",
            next=_each_kind("delete", schema.SEGMENTS, "Usage: 'delete {} <name>'. You must enter the object name."),
        ),
        Node(
            "debug",
            "open the debug settings of an object",
            next=tuple(
                Node(word, next=debug_next, kind="debugvirtualservice", usage=debug_usage)
                for word in ("virtualservice", "debugvirtualservice")
            ),
        ),
        Node(
            "switchto",
            "work in another tenant",
            next=(
                Node(
                    "tenant",
                    "a tenant, or * for all",
                    next=(
                        Node("<name>", "name of the tenant", "switchto", (), Slot.OBJECT, "name", "tenant"),
                        Node("*", "every tenant's objects are shown", "switchto", argument="name"),
                    ),
                ),
            ),
        ),
        Node(
            "export",
            "write all objects to a file",
            next=(Node("configuration", "as JSON", next=(Node("file", "", next=(_path("export"),)),)),),
        ),
        Node(
            "import",
            "read objects from a file",
            next=(
                Node(
                    "configuration",
                    "as JSON",
                    next=(
                        Node(
                            "file",
                            "",
                            next=(
                                _path("import", Node("keep_uuid", "keep the file's uuids", "import", argument="keep")),
                            ),
                        ),
                    ),
                ),
            ),
        ),
        _watch(show),
        *_EVERYWHERE,
        Node("save", "nothing is open here", "save"),
        Node("exit", "leave the shell", "exit"),
        Node("quit", "leave the shell", "exit"),
    )


@cache
def in_mode() -> tuple[Node, ...]:
    """The commands of every mode of an open object."""
    show = _show(False)
    from_root = (show, _watch(show), *_EVERYWHERE)
    return (
        Node("save", "close this mode; at the object, store it", "save"),
        Node("exit", "leave this mode and keep what was entered; at the object, store it", "exit"),
        Node("quit", "the same as exit", "exit"),
        Node("cancel", "drop what was entered in this mode", "cancel"),
        _show(True),
        Node(
            "do",
            "run a command of the root prompt that changes nothing",
            next=(Node("", slot=Slot.COMMAND, next=from_root),),
        ),
        _watch(show),
        *_EVERYWHERE,
    )


PIPES: tuple[Node, ...] = (
    Node("grep", "only lines with a word", next=(Node("<text>", "", "grep", (), Slot.TEXT, "text"),)),
    Node("except", "only lines without a word", next=(Node("<text>", "", "except", (), Slot.TEXT, "text"),)),
    Node("count", "the number of lines", "count"),
    Node("json", "the data as JSON", "json"),
    Node("save", "write the output to a file", next=(_path("save"),)),
    Node("more", "page by page", "more"),
)
"""What may follow `|`."""

PIPED = frozenset({"show", "where", "do", "watch", "history", "version", "help"})
"""Commands whose output may be piped; elsewhere `|` is a character."""


def about(node: Node) -> str:
    """A node's help; a kind's is the model's own."""
    return node.help or (schema.kind(node.kind).help if node.kind and node.slot is None else "")


def verb_help() -> dict[str, Node]:
    """Every command by its word, those of root first."""
    nodes = {node.word: node for node in root()}
    for node in in_mode():
        nodes.setdefault(node.word, node)
    return nodes


LACKING = frozenset(
    """attach backup controller copy deactivate detach disable discover enable generate migrate move patch ping
    placement reboot rebalance reload reset resync restart restore retry rollback rotate scalein scaleout send
    shell shutdown ssh start stop switch switchover sync techsupport telnet test traceroute upgrade upload
    verify warmstart write
    """.split()
)
"""Verbs of the appliance that this product lacks."""

LACKING_KINDS = frozenset(
    """actiongroupconfig alertconfig alertemailconfig alertscriptconfig alertsyslogconfig analyticsprofile
    applicationpersistenceprofile authprofile autoscalelaunchconfig backupconfiguration botdetectionpolicy
    certificatemanagementprofile cloudconnectoruser cluster controllerportalregistration controllersite
    customipamdnsprofile dnspolicy dynamicdnsrecord errorpagebody errorpageprofile fileobject geodb gslb
    gslbgeodbprofile gslbservice hardwaresecuritymodulegroup httppolicyset icapprofile ipaddrgroup
    ipamdnsproviderprofile ipreputationdb jwtprofile jwtserverprofile l4policyset labelgroup microservicegroup natpolicy
    network networksecuritypolicy nsxtsegmentruntime pingaccessagent pkiprofile poolgroup poolgroupdeploymentpolicy
    prioritylabels protocolparser role scheduler securitymanagerdata securitypolicy seproperties serverautoscalepolicy
    siteversion snmptrapprofile sslkeyandcertificate sslprofile ssopolicy statediffoperation stringgroup
    systemconfiguration systemlimits testsedatastorelevel1 trafficcloneprofile user useraccountprofile useractivity
    vcenterserver vsdatascriptset vsgs wafapplicationsignatureprovider wafcrs wafpolicy wafpolicypsmgroup wafprofile
    webapput webhook""".split()
)
"""Kinds of objects of the appliance that this product lacks."""
