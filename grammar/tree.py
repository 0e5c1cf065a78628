"""The shell's commands as a tree of words and slots: plain data. `commands` matches lines against it.

One tree serves the parser, completion and help.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from grammar import schema
from grammar.debugging import DEBUG_ENGINE, exported_capture
from grammar.nodes import Node, Slot, any_of, comment, commit_number, commit_options, number
from grammar.pages import PAGES
from grammar.placing import PLACING
from grammar.views import CLEAR, EVENTS, VIEWS
from grammar.watching import watch


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


def _two_names(verb: str, help_: str) -> Node:
    """A command about an object that gives a name."""
    kinds = []
    for segment in _CONFIGURABLE:
        usage = f"Usage: '{verb} {segment} <name> <new name>'. You must enter both names."
        new = Node("<new name>", "a name that no other has", verb, (comment(verb),), Slot.TEXT, "new_name", segment)
        name = Node("<name>", "name of the object", "", (new,), Slot.OBJECT, "name", segment, usage)
        kinds.append(Node(segment, next=(name,), kind=segment, usage=usage))
    return Node(verb, help_, next=tuple(kinds))


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
                    _CHANGES,
                ),
            ),
            kind=segment,
        )
        for segment in schema.SEGMENTS
    )
    others = (
        Node("cluster", "the store that hosts share: its members, its log, its engines", "show.cluster"),
        _CONFIGURATION,
        EVENTS,
        Node("history", "changes of the configuration, newest last", "show.history"),
        Node("impact", "what save, or commit session, would do to what is forwarded", "show.impact"),
        Node("running_config", "lines that recreate the configuration", "show.running_config"),
        Node("session", "what the configuration session would change", "show.session"),
        Node(
            "tech-support",
            "write an archive for whoever helps from afar",
            "show.techsupport",
            (_path("show.techsupport"),),
        ),
        Node("version", "version of this program", "version", (_CONTROLLER,)),
    )
    if in_mode:
        diff = Node("diff", "what save would change", "show.diff")
        return Node("show", "the object as it would be saved, or any object", "show.open", (diff, *listed, *others))
    return Node("show", "show objects and state", next=(*listed, *others))


_CONTROLLER = Node("controller", "this program, its store, and the engines that follow it", "version.controller")


def _path(action: str, *after: Node) -> Node:
    return Node("<file>", "a file", action, after, Slot.PATH, "path")


def _newest(help_: str, action: str) -> Node:
    """`history [count]`: the newest commits."""
    count = number("count", action, "<1-999999>", help_="so many of them at most; 20 without it")
    return Node("history", help_, action, (count,))


_CHANGES = _newest("its commits, newest first, with what each changed", "show.changes")
_CONFIGURATION = Node(
    "configuration",
    "the history of the whole configuration",
    next=(
        _newest("commits, newest first: who made them, when, from where, and of what", "show.commits"),
        Node(
            "diff",
            "what differs from the configuration after a commit",
            next=(
                commit_number(
                    "number",
                    "show.difference",
                    commit_number("other", "show.difference", help_="the commit to compare with; now without it"),
                    help_="the commit; 0: the fresh store",
                ),
            ),
        ),
    ),
)
"""The nodes of `show` for earlier configurations."""


_LOADED = _path("load", *commit_options("load"))


def _of_session(verb: str, help_: str, *after: Node) -> Node:
    return Node(verb, help_, next=(Node("session", "the one that configure session opened", f"session.{verb}", after),))


_TERMINAL = Node(
    "terminal",
    "settings of this session's output",
    next=(
        Node("length", "rows of a page, 0 = no pages", next=(number("number", "terminal.length", "<0-9999>"),)),
        Node("width", "columns of a line, 0 = as the terminal", next=(number("number", "terminal.width", "<0-9999>"),)),
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
        Node("plain", "no escape sequences, as terminals and programs want it that know none", "terminal.plain"),
    ),
)
_CONFIRM = Node("confirm", "keep what save confirm stored; never abbreviated", "confirm")
UNABBREVIATED = frozenset({"confirm"})
"""Commands that must be typed in full: one could keep a mistake, and `conf` has always meant configure."""
_TOPIC = Node("<command or page>", "", "help", (), Slot.VERB, "verb")
_HELP = Node("help", "commands and what they do, and the pages of the manual", "help", (_TOPIC,))
_EVERYWHERE = (
    Node("where", "tenant, and what is set in this mode", "where"),
    _TERMINAL,
    Node("history", "lines typed in this session", "history"),
    Node("version", "version of this program", "version"),
    CLEAR,
    _HELP,
)


_IMPORT_OPTIONS = (
    ("keep_uuid", "keep the file's uuids", "keep"),
    ("--dry-run", "say what would be imported, and change nothing", "dry_run"),
    ("--verbose", "show every notice", "verbose"),
)
"""Words that may follow the file of an import: word, help, argument."""


_ROLLBACK = Node(
    "rollback",
    "make an earlier configuration the configuration again",
    next=(
        commit_number(
            "number",
            "rollback",
            Node("preview", "say what would change, and change nothing", "rollback", argument="preview"),
            Node("force", "without a question", "rollback", commit_options("rollback"), argument="force"),
            *commit_options("rollback"),
            help_="its number in the history",
        ),
    ),
)


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
            next=(
                *_each_kind(
                    "open", _CONFIGURABLE, "Usage: 'configure {} <name>'. You must enter the object name.", True
                ),
                Node("session", "gather changes that are stored together, or not at all", "session.open"),
            ),
        ),
        show,
        Node(
            "delete",
            "delete an object",
            next=_each_kind("delete", schema.SEGMENTS, "Usage: 'delete {} <name>'. You must enter the object name."),
        ),
        _of_session("commit", "store the changes of a configuration session", *commit_options("session.commit")),
        _of_session("check", "say whether the changes of a configuration session can be stored"),
        _of_session(
            "discard",
            "give the changes of a configuration session up",
            *_each_kind(
                "session.discard",
                schema.SEGMENTS,
                "Usage: 'discard session {} <name>'. You must enter the object name.",
            ),
        ),
        _two_names("copy", "store an object like another, under a name of its own"),
        _two_names("rename", "give an object another name; what refers to it follows"),
        _ROLLBACK,
        Node(
            "debug",
            "open the debug settings of an object, or capture what an engine drops",
            next=(
                *(
                    Node(word, next=debug_next, kind="debugvirtualservice", usage=debug_usage)
                    for word in ("virtualservice", "debugvirtualservice")
                ),
                DEBUG_ENGINE,
            ),
        ),
        Node(
            "switchto",
            "work in another tenant or cloud",
            next=(
                Node(
                    "tenant",
                    "a tenant, or * for all",
                    next=(
                        Node("<name>", "name of the tenant", "switchto", (), Slot.OBJECT, "name", "tenant"),
                        Node("*", "every tenant's objects are shown", "switchto", argument="name"),
                    ),
                ),
                Node(
                    "cloud",
                    "a cloud, or * for all",
                    next=(
                        Node("<name>", "name of the cloud", "switchto.cloud", (), Slot.OBJECT, "name", "cloud"),
                        Node("*", "every cloud's objects are shown", "switchto.cloud", argument="name"),
                    ),
                ),
            ),
        ),
        Node(
            "export",
            "write all objects, or a capture, to a file",
            next=(
                Node("configuration", "as JSON", next=(Node("file", "", next=(_path("export"),)),)),
                exported_capture(_path("export.capture")),
            ),
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
                            next=(_path("import", *any_of("import", _IMPORT_OPTIONS)),),
                        ),
                    ),
                ),
            ),
        ),
        Node(
            "load",
            "take over a file of commands or an export, as one commit",
            next=(
                Node("merge", "add and change what the file has", next=(_LOADED,), argument="how"),
                Node(
                    "replace",
                    "make the configuration what an empty shell becomes by the file",
                    next=(_LOADED,),
                    argument="how",
                ),
            ),
        ),
        *PLACING,
        watch(show),
        *_EVERYWHERE,
        _CONFIRM,
        Node("save", "nothing is open; save confirm gives what waits more time", "save", commit_options("save")),
        Node("exit", "leave the shell", "exit"),
        Node("quit", "leave the shell", "exit"),
    )


@cache
def in_mode() -> tuple[Node, ...]:
    """The commands of every mode of an open object."""
    show = _show(False)
    from_root = (show, watch(show), *_EVERYWHERE)
    return (
        Node("save", "close this mode; at the object, store it", "save", commit_options("save")),
        Node("exit", "leave this mode and keep what was entered; at the object, store it", "exit"),
        Node("quit", "the same as exit", "exit"),
        Node("cancel", "drop what was entered in this mode", "cancel"),
        _CONFIRM,
        _show(True),
        Node(
            "do",
            "run a command of the root prompt that changes nothing",
            next=(Node("", slot=Slot.COMMAND, next=from_root),),
        ),
        watch(show),
        *_EVERYWHERE,
    )


_FLAGS = (
    ("-i", "in small and capital letters alike"),
    ("-v", "lines that do not have it"),
    ("-c", "how many lines"),
)


def _searched(action: str, flags: Sequence[tuple[str, str]] = _FLAGS) -> tuple[Node, ...]:
    """The arguments of grep: options, and a pattern."""
    pattern = Node("<pattern>", "a regular expression, as grep's: 'a\\|b' finds a or b", action, (), Slot.TEXT, "text")
    one = Node("-e", "one of several patterns", next=(pattern,))
    return (*(Node(f, told, "", _searched(action, [o for o in flags if o[0] != f])) for f, told in flags), one, pattern)


PIPES: tuple[Node, ...] = (
    Node("grep", "only lines with a pattern", next=_searched("grep")),
    Node("match", "the same as grep", next=_searched("grep")),
    Node("include", "the same as grep", next=_searched("grep")),
    Node("except", "only lines without a pattern", next=_searched("except")),
    Node("begin", "from the first line with a pattern on", next=_searched("begin", _FLAGS[:1])),
    Node("last", "the last lines; 10 without a number", "last", (number("number", "last", "<1-9999>"),)),
    Node("count", "the number of objects or rows, behind another | of lines", "count"),
    Node("no-more", "not page by page", "no-more"),
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


def topics(*, inside: bool = False) -> dict[str, str]:
    """The topics of `help`: every command and every page of the manual, by name, with its help."""
    return {**PAGES, **{word: node.help for word, node in verb_help(inside=inside).items()}}


def verb_help(*, inside: bool = False) -> dict[str, Node]:
    """The help of every command by its word. For a command of both prompts: the root's, or the one inside an open
    object."""
    first, second = (in_mode(), root()) if inside else (root(), in_mode())
    nodes = {node.word: node for node in first}
    for node in second:
        nodes.setdefault(node.word, node)
    return nodes
