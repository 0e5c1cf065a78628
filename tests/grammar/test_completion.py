"""Completion: what is offered is what the parser takes, at every place of the whole schema."""

import re
from functools import cache
from itertools import islice

import pytest

from grammar import commands, completion, schema, tree
from grammar.errors import AmbiguousWord, LineError, UnknownWord
from grammar.fields import NO, typable
from grammar.lexer import Word, quote, split
from grammar.nodes import Node
from grammar.parser import parse

NAMES = {"pool": ["p1", "my pool"], "Pool": ["p1", "my pool"], "networkprofile": ["System-TCP-Proxy"]}


COMMITS = {"7": "2026-11-29 06:48:26+00:00 alice (admin): as asked for", "6": "2026-11-28 00:00:00+00:00 admin: x"}


def names(kind: str, beginning: str) -> completion.Known:
    if kind == "commit":
        return completion.Known(list(COMMITS), help=COMMITS)
    return completion.Known([name for name in NAMES.get(kind, ["one"]) if name.startswith(beginning)])


ROOT = commands.Context(tree.root(), elsewhere=tree.in_mode())


def context(kind: str, message: str = "", closed: tuple[str, ...] = ()) -> commands.Context:
    model = schema.kind(kind)
    here = commands.Place(model, model.messages[message] if message else model.root, kind)
    left = tuple(commands.Place(model, model.messages[name], name) for name in closed)
    return commands.Context(tree.in_mode(), here, left, tree.root())


def words(text: str, where: commands.Context = ROOT) -> list[str]:
    return [candidate.word for candidate in completion.complete(text, where, names).candidates]


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("conf", "configure "),
        ("configure netw", "configure networkprofile "),
        ("configure pool m", 'configure pool "my pool" '),
        ("configure pool p", "configure pool p1 "),
        ('configure pool "my', 'configure pool "my pool" '),
        ("show poo", "show pool "),
        ("show pool p1 s", "show pool p1 server"),
        ("show pool p1 server di", "show pool p1 server diagnose "),
        ("show pool p1 server-", "show pool p1 server-setup "),
        ("configure pool p1 lb_algorithm lb_algorithm_r", "configure pool p1 lb_algorithm lb_algorithm_r"),
        ("configure pool p1 lb_algorithm lb_algorithm_ro", "configure pool p1 lb_algorithm lb_algorithm_round_robin "),
        ("configure pool p1 no inli", "configure pool p1 no inline_health_monitor "),
        ("configure pool p1 servers ind", "configure pool p1 servers index "),
        ("terminal o", "terminal output "),
        ("show pool | g", "show pool | grep "),
        ("show pool | grep ", "show pool | grep "),
        ("show pool|cou", "show pool|count "),
        ("show pool | grep 'a|b' | la", "show pool | grep 'a|b' | last "),
        ("watch ", "watch "),
        ("watch s", "watch show "),
        ("watch 5 ", "watch 5 "),
        ("watch 5 c", "watch 5 count "),
        ("watch 5 count 3 ", "watch 5 count 3 show "),
        ("watch 5 count 3 show poo", "watch 5 count 3 show pool "),
        ("nonsense ", "nonsense "),
        ("configure pool p1 nonsense ", "configure pool p1 nonsense "),
    ],
)
def test_what_tab_makes_of_a_line(text: str, completed: str) -> None:
    offer = completion.complete(text, ROOT, names)
    assert text[: offer.column] + offer.replacement() == completed


def test_a_listing_pads_words_to_twenty_columns() -> None:
    lines = completion.complete("show pool p1 ", ROOT, names).listing()
    assert lines == [
        "detail               live state of the pool",
        "server               live state of each server",
        "hmonstat             the health monitors of each server: what they found, and how often they failed",
        "algo                 how evenly its servers share slots, packets and flows",
        "server-setup         commands that make a host ready to be a server of this pool",
        "history              its commits, newest first, with what each changed",
    ]
    (address,) = completion.complete("show pool p1 server diagnose ", ROOT, names).listing()
    assert address == "<x.x.x.x>            address of one server; all without it"


@pytest.mark.parametrize("line", ["show configuration diff ", "show configuration diff 7 "])
def test_commits_are_offered_with_what_they_are(line: str) -> None:
    assert completion.complete(line, ROOT, names).listing()[1:] == [f"{n:20} {told}" for n, told in COMMITS.items()]


def test_a_listing_breaks_help_between_words_and_longer_words_keep_the_column() -> None:
    offer = completion.complete("", context("healthmonitor"), names)
    wide, narrow = offer.listing(), offer.listing(60)
    assert max(map(len, narrow)) <= 60
    assert "allow_duplicate_monitors" in wide, "longer than the column: its help stands on the next line"
    for lines in (wide, narrow):
        assert all(line[:21].rstrip() == line.split(" ")[0] or line[:21].isspace() for line in lines if len(line) > 24)
    assert " ".join(" ".join(narrow).split()) == " ".join(" ".join(wide).split())


@pytest.mark.parametrize(
    ("kind", "text", "form", "required"),
    [
        ("networkprofile", "profile tcp_fast_path_profile session_idle_timeout ", "<5-14400> sec, 0 = infinite", False),
        ("pool", "servers ip ", "<x.x.x.x>", True),
        ("pool", "servers ", "<x.x.x.x>", False),
        ("pool", "vrf_ref ", "<name>", False),
        ("pool", "servers index ", "<1-4294967295>", True),
        ("vrfcontext", "static_routes prefix ", "<x.x.x.x/n>", True),
        ("pool", "description ", "<text>", False),
        ("networkprofile", "profile tcp_fast_path_profile dsr_profile dsr_type ", "<word>", True),
        ("pool", "no health_monitor_refs ", "<name>", False),
    ],
)
def test_the_form_of_a_value(kind: str, text: str, form: str, required: bool) -> None:
    offer = completion.complete(text, context(kind), names)
    assert (offer.form, offer.required) == (form, required)
    assert offer.listing()[0].startswith(form)


def test_references_offer_the_objects_that_exist() -> None:
    assert words("pool_ref ", context("virtualservice")) == ["p1", '"my pool"']


def test_enumerations_offer_their_values_in_lower_case() -> None:
    assert words("dsr_type ", context("networkprofile", "DsrProfile")) == ["dsr_type_l2", "dsr_type_l3"]


def test_closed_modes_offer_their_fields_too() -> None:
    here = context("networkprofile", closed=("TCPFastPathProfile", "NetworkProfileUnion"))
    assert "session_idle_timeout" in words("", here)
    assert words("no enable_s", here) == ["enable_syn_protection"]
    assert "<5-14400> sec" in completion.complete("session_idle_timeout ", here, names).form


def test_no_command_has_a_fields_name() -> None:
    """A field that is spelled like a command could never be typed."""
    verbs = set(tree.verb_help()) | {NO}
    for kind in schema.kinds():
        entered = {kind.name} | {f.message for m in kind.messages.values() for f in m.typable() if f.message}
        for name in entered & kind.messages.keys():
            assert not verbs & set(typable(kind.segment, name))


EVERY_MODE = [
    (kind.segment, message.name)
    for kind in schema.kinds()
    for message in kind.messages.values()
    if any(True for _ in message.typable()) and not message.one_token
]


@pytest.mark.parametrize(("kind", "message"), EVERY_MODE)
def test_every_place_of_every_mode_offers_what_the_parser_takes(kind: str, message: str) -> None:
    """At the start, after `no`, after each field: TAB's and `?`'s words are the same, are accepted, and are all."""
    here = context(kind, message)
    assert here.mode is not None
    fields = typable(kind, message)
    beginnings = ["", "no ", *(f"{name} " for name in fields), *(f"no {name} " for name in fields)]
    for beginning in beginnings:
        offer = completion.complete(beginning, here, names)
        listed = [entry.split("  ")[0].split(" ")[0] for entry in offer.listing()]
        offered = [candidate.word for candidate in offer.candidates]
        assert {word.split(" ")[0] for word in offered} <= set(listed)  # `?` lists what TAB offers
        own = [word for word in offered if word in fields]
        behind_field = beginning not in ("", "no ")  # where another field may begin, each of them may
        for word in [*(word for word in offered if word not in fields), *(own[-2:] if behind_field else own)]:
            _assert_accepted(here, beginning, word)
        if not behind_field:
            assert set(fields) <= {candidate.word for candidate in offer.candidates}
        _assert_others_refused(here, beginning, {candidate.word for candidate in offer.candidates})


def _assert_accepted(here: commands.Context, beginning: str, word: str) -> None:
    """The word is no fault where it is offered; the line may still lack something after it."""
    typed = split(beginning + word)
    column = len(beginning)
    fault = None
    try:
        chosen = commands.resolve(here, typed)
        if isinstance(chosen, commands.Place):
            parse(chosen.kind, chosen.message, typed)
        else:
            commands.match(chosen, typed)
    except LineError as exc:
        fault = exc
    refused = isinstance(fault, UnknownWord | AmbiguousWord) and fault.column == column
    assert not refused, (beginning, word, fault)


def _assert_others_refused(here: commands.Context, beginning: str, offered: set[str]) -> None:
    """A field's name of this mode that is not offered here is refused here, unless it is taken as a text or a name."""
    assert here.mode is not None
    model = here.mode.kind
    offer = completion.complete(beginning, here, names)
    if offer.form in ("<text>", "<name>") or beginning == "":
        return
    foreign = (name for name in _every_field(model.segment) if not any(word.startswith(name) for word in offered))
    for name in islice(foreign, 5 if beginning == "no " else 1):
        with pytest.raises(LineError):
            parse(model, here.mode.message, split(beginning + name))


@cache
def _every_field(segment: str) -> list[str]:
    return sorted({field.name for message in schema.kind(segment).messages.values() for field in message.typable()})


@pytest.mark.parametrize("nodes", [tree.root(), tree.in_mode()], ids=["root", "mode"])
def test_every_path_through_the_commands_offers_what_the_parser_takes(nodes: tuple[Node, ...]) -> None:
    where = commands.Context(nodes) if nodes is tree.root() else context("pool")
    lines = [""]
    seen = 0
    while lines:
        beginning = lines.pop()
        for candidate in completion.complete(beginning, where, names).candidates:
            seen += 1
            _assert_accepted(where, beginning, candidate.word)
            first = (beginning + candidate.word).split()[0]
            if len(beginning.split()) < 4 and first in {node.word for node in nodes} and first != "do":
                lines.append(f"{beginning}{candidate.word} ")
    assert seen > 100


def test_quoting_of_names_survives_the_round_trip() -> None:
    assert [word.text for word in split(quote("my pool"))] == ["my pool"]
    assert re.fullmatch(r'".*"', quote("my pool"))
    assert split("p1") == [Word("p1", 0)]


def test_of_many_names_the_first_and_the_last_are_offered() -> None:
    """TAB completes what all begin with, the last of which proves it."""

    def many(kind: str, beginning: str) -> completion.Known:
        return completion.Known(["web-000", "web-001", "web-999"], more=True)

    offer = completion.complete("show pool w", ROOT, many)
    assert offer.replacement() == "web-"
    assert offer.listing()[1:] == ["web-000", "web-001", "...", "web-999"]
