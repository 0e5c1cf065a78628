"""Words of other shells: each is answered with what does the same here."""

import pytest

from grammar import commands, schema, tree
from grammar.errors import UnknownWord
from grammar.fields import NO
from grammar.habits import HABITS
from grammar.lacking import LACKING
from grammar.lexer import split

POOL = schema.kind("pool")
ROOT = commands.Context(tree.root(), None, (), tree.in_mode())
MODE = commands.Context(tree.in_mode(), commands.Place(POOL, POOL.root, "pool"), (), tree.root())


def refused(context: commands.Context, line: str) -> UnknownWord:
    with pytest.raises(UnknownWord) as caught:
        commands.resolve(context, split(line))
    return caught.value


@pytest.mark.parametrize(
    ("word", "root", "mode"),
    [
        ("undo", ("rollback",), ("cancel", "no")),
        ("end", ("exit",), ("save", "cancel")),
        ("abort", ("discard",), ("cancel",)),
        ("rm", ("delete",), ("no",)),
        ("ls", ("show",), ("show", "where")),
        ("pool", ("configure pool", "show pool"), None),
    ],
)
def test_a_word_of_habit_is_answered_with_the_command(
    word: str, root: tuple[str, ...], mode: tuple[str, ...] | None
) -> None:
    assert (refused(ROOT, word).nearest, refused(ROOT, word).expected) == (root, ())
    if mode is not None:
        assert (refused(MODE, word).nearest, refused(MODE, word).expected) == (mode, ())


@pytest.mark.parametrize("word", HABITS)
def test_what_is_meant_is_a_command_of_the_prompt_and_the_word_is_none(word: str) -> None:
    meant = HABITS[word]
    assert {*meant.root} <= {node.word for node in tree.root()}
    assert {*meant.mode} <= {NO, *(node.word for node in tree.in_mode())}
    assert word not in LACKING
    assert word not in {node.word for node in (*tree.root(), *tree.in_mode())}


@pytest.mark.parametrize(("line", "name"), [("conf pool p2", "configure"), ("roll 3", "rollback")])
def test_an_abbreviated_command_of_the_other_prompt_is_named(line: str, name: str) -> None:
    error = refused(MODE, line)
    assert error.what == f"'{name}' is a command of the root prompt; an object is open: save or cancel it first"
