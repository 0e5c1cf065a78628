"""Words of a line: quoting, prompts, comments, abbreviations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar import lexer
from grammar.errors import AmbiguousWord, BadQuoting, UnknownWord
from grammar.lexer import Word, is_comment, is_output, pick, prompt_end, quote, split


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  \t ", []),
        ("save", [Word("save", 0)]),
        ("  a  b", [Word("a", 2), Word("b", 5)]),
        ('a "b c" d', [Word("a", 0), Word("b c", 2, True), Word("d", 8)]),
        ('x ""', [Word("x", 0), Word("", 2, True)]),
        (r'"a \"b\" \\ \n \d"', [Word('a "b" \\ \n \\d', 0, True)]),
        ('ab"c d"e', [Word("abc de", 0, True)]),
        ('"a\tb"', [Word("a\tb", 0, True)]),
    ],
)
def test_split(line: str, words: list[Word]) -> None:
    assert split(line) == words


@pytest.mark.parametrize(("line", "column"), [('a "b', 2), ('"', 0), (r'x "a\"', 2), ('a b"c', 3)])
def test_an_open_quote_is_pointed_at(line: str, column: int) -> None:
    with pytest.raises(BadQuoting) as caught:
        split(line)
    assert caught.value.column == column


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_split_reads_what_quote_writes(text: str) -> None:
    written = quote(text)
    assert "\n" not in written
    assert [word.text for word in split(written)] == [text]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6))
def test_many_quoted_words_stay_apart_and_know_their_columns(texts: list[str]) -> None:
    line = " ".join(map(quote, texts))
    words = split(line)
    assert [word.text for word in words] == texts
    assert all(line[word.column :].startswith(quote(word.text)) for word in words)


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("[admin:10-X-X-X]: > configure networkprofile x", "configure networkprofile x"),
        ("[admin:10-X-X-X]: networkprofile> profile", "profile"),
        ("[admin:10-X-X-X]: networkprofile profile:tcp_fast_path_profile>dsr_profile x", "dsr_profile x"),
        ("[t1:10-1-1-1]: networkprofile:profile:dsr_profile> save", "save"),
        ("  [admin:host.example]: > save", "save"),
        ("[admin:10-1-1-1]: pool>", ""),
        ("[*:10-1-1-1]: > show pool", "show pool"),
        ("configure pool a>b", "configure pool a>b"),
        ("description [a:b]: c> d", "description [a:b]: c> d"),
        ("[no prompt] > x", "[no prompt] > x"),
    ],
)
def test_a_pasted_prompt_is_left_out(line: str, rest: str) -> None:
    assert line[prompt_end(line) :] == rest


@pytest.mark.parametrize("line", ["", "  ", "# x", "   # x"])
def test_comments(line: str) -> None:
    assert is_comment(line)
    assert not is_comment(line + "\nx" if not line.strip() else "x # y")


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("+-----+---+", True),
        ("| a   | b |", True),
        ("New object being created", True),
        ("Overwriting the previously entered value for type", True),
        ("Removed servers with ip=10.1.1.1, port=80", True),
        ("error: 'x' is not a command", True),
        ("          ^", True),
        ("40 defaults are not shown. To see all: show pool p1", True),
        ("save", False),
        ("description | x |", False),
        ("", False),
    ],
)
def test_output_of_a_pasted_session_is_known(line: str, output: bool) -> None:
    assert is_output(line) is output


WORDS = ("save", "show", "show_all", "switchto", "where")


@pytest.mark.parametrize(
    ("typed", "meant"), [("save", "save"), ("sa", "save"), ("show", "show"), ("show_", "show_all"), ("w", "where")]
)
def test_unique_prefixes_and_exact_words(typed: str, meant: str) -> None:
    assert pick(Word(typed, 0), WORDS, "a command") == meant


def test_an_ambiguous_prefix_lists_the_candidates() -> None:
    with pytest.raises(AmbiguousWord) as caught:
        pick(Word("s", 7), WORDS, "a command")
    assert caught.value.expected == ("save", "show", "show_all", "switchto")
    assert (caught.value.word, caught.value.column) == ("s", 7)


def test_an_unknown_word_tells_the_nearest() -> None:
    with pytest.raises(UnknownWord) as caught:
        pick(Word("shwo", 3), WORDS, "a command")
    assert caught.value.nearest[0] == "show"
    assert caught.value.column == 3


def test_an_empty_word_abbreviates_nothing() -> None:
    with pytest.raises(UnknownWord):
        pick(Word("", 0, True), WORDS, "a command")


HASHES = tuple(
    f"lb_algorithm_consistent_hash_{end}"
    for end in ("source_ip_address", "source_ip_address_and_port", "uri", "custom_header", "custom_string", "callid")
)


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("source_ip_and_port", (HASHES[1],)),
        ("source_ip", HASHES[:2]),
        ("sourceip", HASHES[:2]),
        ("window", ()),
        ("callerid", (HASHES[5],)),
        ("custom_sting", (HASHES[4],)),
        ("consistent_hash_uri", (HASHES[2],)),
        ("", ()),
        ("_", ()),
    ],
)
def test_the_nearest_words_hold_every_part_of_the_typed_one(text: str, best: tuple[str, ...]) -> None:
    found = lexer.nearest(text, HASHES)
    assert found[: len(best)] == best
    if not best:
        assert found == ()
