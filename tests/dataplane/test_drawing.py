"""Tables as text: as wide as they need, folded on a narrow terminal, as rich draws them."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.box import ASCII2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dataplane import drawing
from dataplane.drawing import draw
from tests.examples import examples


def by_rich(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """What rich draws."""
    table = Table(box=ASCII2, header_style="")
    for column in columns:
        table.add_column(column, max_width=drawing.WRAP, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")


def test_long_values_continue_under_an_empty_name() -> None:
    drawn = draw(("Field", "Value"), [("description", "y" * 200)]).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in drawn if line.startswith("|")]
    assert cells[1:] == [["description", "y" * 80], ["", "y" * 80], ["", "y" * 40]]


def test_brackets_stay() -> None:
    assert "[admin:10-1-1-1]: :smile:" in draw(("A", "B"), [("[admin:10-1-1-1]: :smile:", "ü")], 60)


@pytest.mark.parametrize("cell", ["b" * 70, "ü" * 70, "面" * 70])
def test_a_narrow_terminal_is_kept(cell: str) -> None:
    drawn = draw(("A", "B"), [("a" * 70, cell)], 60)
    assert {drawing._width(line) for line in drawn.splitlines()} <= {59, 60}
    assert drawn.count("a") == 70
    assert drawn.count(cell[0]) == 70


def test_columns_that_are_named_shrink_alone() -> None:
    drawn = draw(("Name", "VIP"), [("n" * 40, "v" * 20)], 40, folded=("Name",))
    assert "v" * 20 in drawn
    assert max(map(len, drawn.splitlines())) == 40


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80).filter(
    lambda text: not text.endswith(" ")
)


@given(st.lists(st.tuples(printable, printable), max_size=3))
@settings(max_examples=examples(20))
def test_what_fits_is_drawn_as_rich_draws_it(rows: list[tuple[str, str]]) -> None:
    columns = ("Field", "Value")
    assert draw(columns, rows) == by_rich(columns, rows, 200)


words = st.lists(st.text("abc-", min_size=1, max_size=30), min_size=1, max_size=4).map(" ".join)


@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=4), st.integers(40, 90))
@settings(max_examples=examples(30))
def test_a_folded_table_has_every_word_and_no_line_too_long(rows: list[tuple[str, str, str]], width: int) -> None:
    drawn = draw(("One", "Two", "Three"), rows, width)
    assert len({len(line) for line in drawn.splitlines()}) == 1
    assert len(drawn.splitlines()[0]) <= width
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in drawn.splitlines() if line[0] == "|"]
    if "Two" in drawn.splitlines()[1] or len(lines[0]) != 2:
        told = {column: "".join(line[at] for line in lines[1:]) for at, column in enumerate(lines[0])}
        wanted = {name: "".join(row[at] for row in rows) for at, name in enumerate(("One", "Two", "Three"))}
    else:
        told = {"": "".join(value for _, value in lines)}
        wanted = {"": "".join(cell for row in rows for cell in row)}
    for column, shown in wanted.items():
        if column in told:
            assert told[column].replace(" ", "") == shown.replace(" ", "")
        else:
            assert set(shown) <= {"-"}, "only a column without any value is left out"


@pytest.mark.parametrize("width", [20, 40, 200])
def test_no_rows_still_make_a_table(width: int) -> None:
    assert draw(("Name", "UUID"), [], width).count("\n") == 3


def test_ten_thousand_rows_are_nothing_to_wait_for() -> None:
    """One cell that is folded makes no other row slower: rich takes 2 ms a row."""
    rows = [(f"10.1.{n >> 8}.{n & 255}", "80", "UP", "answers", "0.1 %") for n in range(10_000)]
    rows[5] = ("n" * 100, "80", "UP", "answers", "0.1 %")
    few = rows[:100]
    began = time.process_time()
    by_rich("ABCDE", few, 80)
    hundred = time.process_time() - began
    began = time.process_time()
    draw("ABCDE", rows, 80)
    assert time.process_time() - began < 10 * hundred


def test_cells_are_folded_between_words_as_long_as_that_does() -> None:
    drawn = draw(("Commit", "Time", "What"), [("12", "2026-11-29 16:12:16", "created ServiceEngine se2")], 50)
    assert {len(line) for line in drawn.splitlines()} <= set(range(51))
    for word in ("2026-11-29", "16:12:16", "ServiceEngine"):
        assert word in drawn


def test_columns_without_any_value_are_left_out_before_words_are_cut() -> None:
    columns, row = ("Name", "IP Address", "IP6 Address", "Comment"), ("web", "192.168.1.100", "-", "")
    assert "IP6" in draw(columns, [row], 60)
    drawn = draw(columns, [row, row], 32)
    assert "192.168.1.100" in drawn
    assert "IP6" not in drawn
    assert "Comment" not in drawn
    assert "IP6" in draw(columns, [row, ("x", "192.168.1.101", "fe80::1", "")], 60)
    assert all(name in draw(columns, [], 40) for name in ("Name", "Comment"))


def test_a_table_whose_words_do_not_fit_is_drawn_row_by_row() -> None:
    columns = ("Service Engine", "VIP", "Server", "MAC Address", "Verdict", "Note")
    row = ("se-1", "192.168.1.100:80 tcp", "192.168.1.12:80", "0e:0a:d6:d1:63:28", "forwarded", "")
    drawn = draw(columns, [row, row], 60).splitlines()
    assert drawn[1:6] == [f"| {name:14} | {cell:20} |" for name, cell in zip(columns, row[:5], strict=False)]
    assert drawn[0] == drawn[6] == drawn[-1] == f"+{'-' * 16}+{'-' * 22}+"
    assert drawn[7:12] == drawn[1:6], "a border stands between two rows, and a column without any value is left out"
    assert len(drawn) == 13


def test_a_word_that_is_longer_than_an_address_is_cut_before_that() -> None:
    drawn = draw(("Time", "Engine", "Event"), [("16:12:16", "se1", f"etcd://{'x' * 50}/prod is followed")], 50)
    assert drawn.splitlines()[1].startswith("| Time     | Engine | Event ")


def test_a_long_text_beside_many_columns_is_drawn_row_by_row() -> None:
    columns = ("Service Engine", "Server", "VIP", "Oper State", "Verdict")
    long = "the path to it has no fault; its way back to clients was not seen: avi-server check looks at it"
    row = ("se-1", "192.168.1.11", "192.168.1.100", "OPER_UP", long)
    drawn = draw(columns, [row, row], 80).splitlines()
    assert drawn[1:5] == [f"| {name:14} | {cell:59} |" for name, cell in zip(columns[:4], row[:4], strict=True)]
    assert len(drawn) == 15
    assert draw(columns, [(*row[:4], "its path has no fault")], 80).splitlines()[1].startswith("| Service Engine | Ser")


def test_a_name_stays_in_one_piece_beside_its_value() -> None:
    drawn = draw(("Field", "Value"), [("answered (ARP, ping, too big)", "2"), ("uuid", "pool-" + "0" * 36)], 60)
    assert "answered (ARP, ping, too big)" in drawn


def test_cells_with_arrows_are_folded_between_words_too() -> None:
    drawn = draw(("Hop", "Address", "TTL"), [("client → engine", "10.10.10.100:80", "64")], 40)
    assert [line[:12] for line in drawn.splitlines()[3:5]] == ["| client →  ", "| engine    "]
