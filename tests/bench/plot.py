"""The results as a picture: an SVG of horizontal bars, written by hand, for it needs nothing but text.

First one bar a judged line, in multiples of its goal, so that longer is better in every row: the line of all goals is
the same, each bar has a mark at its own floor. Then, row by row, what was measured beside others in its own unit.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from .report import mark, number
from .rows import Bound, Verdict

COLOURS = {
    Verdict.GOAL: "#3a923a",
    Verdict.FLOOR: "#d9a404",
    Verdict.MISSED: "#d9a404",
    Verdict.BELOW: "#c03d3e",
}
OTHERS = "#8fa5bf"
WIDTH, LINE, BAR = 1180, 22, 13
LEFT, RIGHT = 360, 800
"""Where bars begin, and where the longest end; texts are on both sides."""
LONGEST = 2.0
"""Multiples of the goal; what is longer is cut, and has an arrow at its end."""
Line = dict[str, Any]


def svg(told: dict[str, Any]) -> str:
    """The picture of a JSON document (tests.bench.report.document)."""
    body: list[str] = []
    y = 58.0
    judged = [(row, line) for row in told["rows"] for line in row["lines"] if line["verdict"]]
    body += _axis(y, y + LINE * len(judged))
    before = ""
    for row, line in judged:
        body += _judged(y, row["row"] if row["row"] != before else "", line)
        before = row["row"]
        y += LINE
    for row in told["rows"]:
        if not any(line["verdict"] is None for line in row["lines"]):
            continue
        y += 44
        body.append(_text(24, y - 12, f"{row['row']}: {row['work']}", "bold"))
        for line, length in _beside(row["lines"]):
            body += _measured(y, line, length)
            y += LINE
    for row in told["rows"]:
        if row["failure"]:
            y += LINE
            body.append(_text(24, y, f"{row['row']}: not measured: {row['failure']}", fill=COLOURS[Verdict.BELOW]))
    y += 30
    body.append(_text(24, y, _footer(told), size=11, fill="#555"))
    size = f'width="{WIDTH}" height="{y + 16:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {y + 16:.0f}"'
    head += ' font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="12.5">\n'
    head += f'<rect {size} fill="white"/>\n'
    title = _text(24, 26, "How fast: every line in multiples of its goal (longer is better)", "bold", size=15)
    return head + "\n".join([title, *body]) + "\n</svg>\n"


def _axis(top: float, bottom: float) -> Iterator[str]:
    for tenth in range(0, int(LONGEST * 10) + 1, 5):
        x, goal = _x(tenth / 10), tenth == 10
        look = 'stroke="#222" stroke-width="1.6"' if goal else 'stroke="#ddd"'
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6:.1f}" y2="{bottom:.1f}" {look}/>'
        yield _text(x, top - 11, "goal" if goal else f"{tenth / 10:g} ×", anchor="middle", size=11, fill="#555")


def _x(multiple: float) -> float:
    return LEFT + (RIGHT - LEFT) * min(multiple, LONGEST) / LONGEST


def multiple(value: float, goal: float, more: bool) -> float:
    """How many times as good as the goal. Where the goal is nothing at all: 1 for nothing, less for more."""
    if goal == 0:
        return 1 / (1 + value)
    return value / goal if more else goal / value if value > 0 else LONGEST


def _judged(y: float, key: str, line: Line) -> Iterator[str]:
    goal, floor, more = line["goal"], line["floor"], line["more_is_better"]
    good = multiple(line["median"], goal, more)
    middle, top = y + LINE / 2, y + (LINE - BAR) / 2
    yield _text(24, middle + 4, key, "bold")
    yield _text(LEFT - 10, middle + 4, line["name"], anchor="end")
    colour = COLOURS[Verdict(line["verdict"])]
    yield f'<rect x="{LEFT}" y="{top:.1f}" width="{_x(good) - LEFT:.1f}" height="{BAR}" fill="{colour}"/>'
    if good > LONGEST:
        yield f'<path d="M{RIGHT} {top:.1f} l8 {BAR / 2} l-8 {BAR / 2} z" fill="{colour}"/>'
    ends = sorted(_x(multiple(quartile, goal, more)) for quartile in line["quartiles"])
    if ends[1] - ends[0] > 1:
        yield f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle:.1f}" y2="{middle:.1f}" stroke="#111"/>'
    if floor is not None:
        x = _x(multiple(floor, goal, more))
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3:.1f}" y2="{top + BAR + 3:.1f}"'
            ' stroke="#7a0010" stroke-width="2.2"/>'
        )
    bound = Bound(goal, floor, more)
    unit = "×" if line["ratio"] else line["unit"]
    yield _text(RIGHT + 18, middle + 4, f"{number(line['median'])} {unit}", "bold")
    told = f"goal {mark(bound, goal)}" + (f", floor {mark(bound, floor)}" if floor is not None else "")
    yield _text(RIGHT + 170, middle + 4, told, fill="#555", size=11)


def _beside(lines: list[Line]) -> Iterator[tuple[Line, float]]:
    """Lines with what they measured as a share of the greatest of their unit."""
    values = [(line, statistics.median(line["values"])) for line in lines]
    for line, value in values:
        greatest = max(other for same, other in values if same["unit"] == line["unit"])
        yield line, value / greatest if greatest else 0.0


def _measured(y: float, line: Line, length: float) -> Iterator[str]:
    middle, top = y + LINE / 2, y + (LINE - BAR) / 2
    colour = COLOURS[Verdict(line["verdict"])] if line["verdict"] else OTHERS
    yield _text(LEFT - 10, middle + 4, line["name"], anchor="end")
    yield f'<rect x="{LEFT}" y="{top:.1f}" width="{(RIGHT - LEFT) * length:.1f}" height="{BAR}" fill="{colour}"/>'
    yield _text(RIGHT + 18, middle + 4, f"{number(statistics.median(line['values']))} {line['unit']}")


def _footer(told: dict[str, Any]) -> str:
    machine, commit = told["machine"], told["commit"][:10] + (" with changes" if told["changed"] else "")
    load = " → ".join(f"{told[name][0]:.2f}" for name in ("load_start", "load_end"))
    return (
        f"{machine['cpu']}, {machine['usable_cpus']} cores, Linux {machine['kernel']}; {told['began']}; "
        f"commit {commit}; load {load}. Dark red mark: floor; thin line: quartiles."
    )


def _text(
    x: float, y: float, text: str, weight: str = "normal", anchor: str = "start", size: float = 12.5, fill: str = "#111"
) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}"'
    look = f'font-weight="{weight}" text-anchor="{anchor}" font-size="{size}" fill="{fill}"'
    return f"<text {where} {look}>{escape(text)}</text>"
