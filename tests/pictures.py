"""The README's pictures, taken of a laboratory under traffic: `python -m tests.pictures` (`make pictures`).

Shell and live view are what a terminal draws, as pyte has it, written as SVG by rich; the page is Chromium's. One
server dies before they are taken.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pexpect
import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

from avi_shell import manual
from dataplane.lab import topology
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import inside
from dataplane.lab.steady import Steady
from dataplane.lab.topology import ENGINE
from tests.shell.emulator import Emulator

FOLDER = manual.HERE / "pictures"
EXAMPLE, SERVICE, POOL = "l2_dsr", "dsr-vs", "dsr-pool"
METRICS = 9100
PROMPT = "[admin:10-1-1-1]: >"
TRAFFIC = 14.0
"""Seconds of traffic before pictures are taken, so that there is something to see."""
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Fonts that rich's pictures would load from elsewhere."""


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    shipped = topology.load(topology.find(EXAMPLE))
    with Lab(shipped, driver="xdp") as lab:
        lab.start_servers()
        lab.start_engine("--metrics", f"127.0.0.1:{METRICS}")
        lab.configure()
        lab.wait_ready()
        with Steady(lab):
            with _terminal(lab, (100, 22)) as live:
                live.at.send(f"show virtualservice {SERVICE} live\r")
                _watch(live, TRAFFIC)
                lab.stop_server(shipped.servers[1])
                live.until(lambda: any("is down" in line for line in live.lines))
                _watch(live, TRAFFIC / 2)
                _write("live", live.screen, "show virtualservice live")
            with _terminal(lab, (112, 30)) as shell:
                dead = shipped.servers[1].address
                for line in ("show virtualservice", f"show pool {POOL} server", f"show events server {dead}"):
                    shell.at.send(f"{line}\r")
                    shell.until(lambda line=line: _is_done(shell, line))  # type: ignore[misc]
                _write("shell", shell.screen, "avi-shell")
            _browse(lab, FOLDER / "page.png")
    for path in sorted(FOLDER.iterdir()):
        print(f"{path}: {path.stat().st_size >> 10} KiB")


def _is_done(shell: Emulator, line: str) -> bool:
    """Whether the prompt waits below what a line printed."""
    shown = [row for row in shell.lines if row]
    return f"{PROMPT} {line}" in shown and shown[-1] == PROMPT and shown[-2] != f"{PROMPT} {line}"


class _terminal:
    """A shell on a laboratory's state directory, at a terminal."""

    def __init__(self, lab: Lab, size: tuple[int, int]) -> None:
        self._lab, self._size = lab, size

    def __enter__(self) -> Emulator:
        at = pexpect.spawn(
            sys.executable,
            ["-m", "avi_shell", "--state", str(self._lab.state)],
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "PROMPT_TOOLKIT_NO_CPR": "1"},
            encoding="utf-8",
            dimensions=self._size[::-1],
        )
        self._seen = Emulator(at, self._size)
        self._seen.shows(PROMPT)
        return self._seen

    def __exit__(self, *_: object) -> None:
        self._seen.at.close(force=True)


def _watch(seen: Emulator, seconds: float) -> None:
    """Draw what comes for some seconds, and the frame that is drawn then to its end."""
    until = time.monotonic() + seconds
    seen.until(lambda: time.monotonic() >= until)
    seen.settle()


def _write(name: str, screen: pyte.Screen, title: str) -> None:
    """Write what a screen shows as SVG, without the rows that are empty below it."""
    rows = [Text.assemble(*_pieces(screen, row)) for row in range(screen.lines)]
    while rows and not rows[-1].plain.strip():
        rows.pop()
    console = Console(record=True, width=screen.columns, file=io.StringIO(), force_terminal=True, highlight=False)
    for row in rows:
        console.print(row, no_wrap=True, overflow="crop")
    drawn = console.export_svg(title=title, unique_id=name)
    (FOLDER / f"{name}.svg").write_text(_FONTS.sub("", drawn), "utf-8")


def _pieces(screen: pyte.Screen, row: int) -> Iterator[tuple[str, Style]]:
    """Runs of cells that look alike."""
    cells = (screen.buffer[row][column] for column in range(screen.columns))
    for look, alike in groupby(cells, lambda cell: (cell.fg, cell.bold, cell.reverse, cell.underscore)):
        colour = None if look[0] == "default" else {"brown": "yellow"}.get(look[0], look[0])
        text = "".join(cell.data for cell in alike)
        yield text, Style(color=colour, bold=look[1], reverse=look[2], underline=look[3])


def _browse(lab: Lab, path: Path) -> None:
    """Have Chromium look at the page twice, so that there are rates, and write what it shows the second time."""
    with tempfile.TemporaryDirectory() as profile:
        words = [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-proxy-server"),
            *(f"--user-data-dir={profile}", "--window-size=1300,560", f"--screenshot={path}"),
            f"http://127.0.0.1:{METRICS}/",
        ]
        for _ in range(6):
            inside(lab.hosts[ENGINE], _run(words))
            time.sleep(2)


def _run(words: list[str]) -> Callable[[], None]:
    def run() -> None:
        subprocess.run(words, check=True, capture_output=True, timeout=120)

    return run


if __name__ == "__main__":
    if shutil.which("chromium") is None:
        sys.exit("chromium is not installed: .ci/install test")
    main()
