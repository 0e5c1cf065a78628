"""Compares a transcript's expected lines with the printed lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from avi_shell.transcripts.normalise import Normaliser

REGULAR, GLOB = " (re)", " (glob)"
"""Ends of lines that are patterns."""
_LARGEST = 250_000
"""Pairs of lines that are tried to find which expected line is which printed one."""


class BadPattern(Exception):
    """A line that ends in ` (re)` and is no regular expression."""


@cache
def pattern(line: str) -> re.Pattern[str] | None:
    """What an expected line looks for; None where it is the printed line itself. Raises BadPattern."""
    if line.endswith(REGULAR):
        try:
            return re.compile(line.removesuffix(REGULAR))
        except re.error as exc:
            raise BadPattern(f"{line!r} is no regular expression: {exc}") from None
    if line.endswith(GLOB):
        return re.compile(_translated(line.removesuffix(GLOB)), re.DOTALL)
    return None


def _translated(glob: str) -> str:
    """`*` stands for any characters, `?` for one; behind a backslash each is itself."""
    forms = {"*": ".*", "?": ".", "\\*": r"\*", "\\?": r"\?", "\\\\": r"\\"}
    return "".join(forms.get(part) or re.escape(part) for part in re.split(r"(\\[*?\\]|[*?])", glob))


def settled(expected: Sequence[str], printed: Sequence[str], normalise: Normaliser) -> list[str]:
    """The printed lines as a transcript has them: normalised, but as expected where an expected line meets one. It is
    equal to what is expected where nothing differs. Raises BadPattern."""
    wanted = [_Line(line, normalise) for line in expected]
    found = [(line.rstrip(), normalise(line)) for line in printed]
    begin = 0
    while begin < min(len(wanted), len(found)) and wanted[begin].meets(*found[begin]):
        begin += 1
    end = 0
    while end < min(len(wanted), len(found)) - begin and wanted[-1 - end].meets(*found[-1 - end]):
        end += 1
    middle = _aligned(wanted[begin : len(wanted) - end], found[begin : len(found) - end])
    return [*expected[:begin], *middle, *expected[len(expected) - end :]]


class _Line:
    """An expected line."""

    def __init__(self, text: str, normalise: Normaliser) -> None:
        self.text = text
        self._normalised = normalise(text)

    def meets(self, printed: str, normalised: str) -> bool:
        """Whether a printed line is the one that is expected."""
        if normalised == self._normalised:
            return True
        looked_for = pattern(self.text)
        return looked_for is not None and bool(looked_for.fullmatch(printed) or looked_for.fullmatch(normalised))


def _aligned(wanted: Sequence[_Line], found: Sequence[tuple[str, str]]) -> list[str]:
    """The printed lines, each by the expected line that meets it, of as many as can meet in their order."""
    rows, columns = len(wanted), len(found)
    if rows * columns > _LARGEST:
        return [normalised for _, normalised in found]
    most = [[0] * (columns + 1) for _ in range(rows + 1)]
    meets = [[line.meets(*pair) for pair in found] for line in wanted]
    for row in reversed(range(rows)):
        for column in reversed(range(columns)):
            skipped = max(most[row + 1][column], most[row][column + 1])
            most[row][column] = max(skipped, 1 + most[row + 1][column + 1] if meets[row][column] else 0)
    lines, row = [], 0

    def meet(row: int, column: int) -> bool:
        """Whether the two lines match in the alignment with the most matches."""
        return row < rows and meets[row][column] and most[row][column] == 1 + most[row + 1][column + 1]

    for column, (_, normalised) in enumerate(found):
        while row < rows and not meet(row, column) and most[row + 1][column] == most[row][column]:
            row += 1
        if meet(row, column):
            lines.append(wanted[row].text)
            row += 1
        else:
            lines.append(normalised)
    return lines
