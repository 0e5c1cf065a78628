"""Counts in what people read: one of something is told in the singular. Times: always with the zone's offset."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.wording import clock, counted, fits, moment, rfc3339, timed

ROOT = Path(__file__).parents[1]
NOUNS = (
    "addresses bytes characters checks clients columns commits connections days engines entries events "
    "faults fields files flows frames hosts interfaces levels lines minutes notices objects packets peers pools ports "
    "prefixes probes rows seconds servers services slots times tunnels VIPs workers"
).split()
_AFTER = re.compile(rf"^ (?:more |other |changed |new )?({'|'.join(NOUNS)})\b(?!/)")
_MAY_BE = re.compile(rf"}} (?:\w+ )?(?:{'|'.join(NOUNS)})\b")
"""What a source has, if anything is to be found there: few are parsed."""
_ALLOWED = {
    "dataplane/placement/room.py: among engines",  # more than one
    "avi_shell/views/drops.py: sample['size'] bytes",  # of a frame
    "avi_shell/views/impact.py: len(servers) servers",  # where there are more than one
    "avi_shell/session/comment.py: len(word.text) characters",  # too long
    "avi_shell/transcripts/plugin.py: columns columns",
    "dataplane/__main__.py: frame['bytes'] bytes",
    "dataplane/bgp/sessions.py: len(session.losses) times",  # it flaps
    "dataplane/daemon/capturing.py: len(ports) ports",  # too many
    "dataplane/daemon/capturing.py: len(vips) VIPs",
    "dataplane/events/model.py: count times",  # repeated
    "dataplane/foreign/capture.py: captured bytes",  # more than any capture
    "dataplane/foreign/capture.py: max(len(content), length) bytes",
    "dataplane/forwarding/devices.py: LONGEST - len(FAR_END) bytes",
    "dataplane/metrics/page.py: len(servers) servers",  # more than a page has
    "dataplane/plan/checks.py: longest bytes",
    "dataplane/drivers/selection.py: entry.slower times",
    "dataplane/bpf/maps.py: self.max_entries entries",
    "dataplane/native/decision/maps.py: self.max_entries entries",
}


def test_a_count_has_the_noun_that_fits() -> None:
    assert [counted(number, "packet") for number in (0, 1, 2000)] == ["0 packets", "1 packet", "2,000 packets"]
    assert counted(2, "more address", "more addresses") == "2 more addresses"
    assert (fits(1, "is", "are"), fits(0, "is", "are")) == ("is", "are")


def test_no_message_puts_a_plural_after_any_number() -> None:
    """A plural noun that follows a value in a message stands only where the value is a constant, or never one. "1 of 1
    servers" is a form of its own."""
    found = {one for room in ("avi_shell", "dataplane", "grammar") for one in _plurals(ROOT / room)}
    assert found - _ALLOWED == set(), "dataplane.wording.counted makes one of them"
    assert _ALLOWED - found == set(), "allowed, and not there any more"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('f"{len(x)} engines run"', ["len(x) engines"]),
        ('f"{n:,} more VIPs"', ["n VIPs"]),
        ('f"{n} of {len(x)} servers up"', []),
        ('f"at most {MOST} bytes, {k.MOST} lines"', []),
        ('f"{rate} packets/s"', []),
    ],
)
def test_what_is_found(text: str, told: list[str]) -> None:
    assert list(_of(ast.parse(text))) == told


def _plurals(room: Path) -> Iterator[str]:
    for path in sorted(room.rglob("*.py")):
        if _MAY_BE.search(text := path.read_text("utf-8")):
            yield from (f"{path.relative_to(ROOT)}: {one}" for one in _of(ast.parse(text)))


def _of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for value, following in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.Constant):
                before = str(value.value)
            elif isinstance(value, ast.FormattedValue) and isinstance(following, ast.Constant):
                expression = ast.unparse(value.value)
                noun = _AFTER.match(str(following.value))
                if noun and not before.endswith(" of ") and not expression.rpartition(".")[2].isupper():
                    yield f"{expression} {noun[1]}"


@pytest.fixture
def india(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone whose offset has minutes."""
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("india")
def test_a_time_has_the_offset_of_the_zone() -> None:
    at = 1.7e9 + 0.9876549
    assert moment(at) == "2023-11-15 03:43:20+05:30"
    assert clock(at, 6) == "2023-11-15 03:43:20.987654+05:30"
    assert re.fullmatch(r"\d\d:\d\d:\d\d\+05:30", clock(time.time()))
    assert rfc3339(at) == "2023-11-15T03:43:20.987+05:30"
    report = {"at": at, "since": 12.5, "changed": 0, "last": None, "events": [{"until": at}], "x": at}
    assert timed([report]) == [
        {**report, "at_time": rfc3339(at), "events": [{"until": at, "until_time": rfc3339(at)}]},
    ]


def test_no_view_makes_times_of_its_own() -> None:
    """All take them from `dataplane.wording`; a file's name, a log's UTC and a screen's own clock are not views'."""
    allowed = {
        "avi_shell/fronts/livescreen.py", "avi_shell/fronts/watching.py", "avi_shell/session/techsupport.py",
        "dataplane/capture/recorder.py", "dataplane/events/logformat.py", "dataplane/wording.py",
    }  # fmt: skip
    sources = (path for room in ("avi_shell", "dataplane", "grammar") for path in (ROOT / room).rglob("*.py"))
    made = re.compile(r"strftime\(|(?<!from)isoformat\(|ctime\(")
    found = {str(path.relative_to(ROOT)) for path in sources if made.search(path.read_text("utf-8"))}
    assert found == allowed
