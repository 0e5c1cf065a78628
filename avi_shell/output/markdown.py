"""Pages of the manual, formatted for a terminal."""

from __future__ import annotations

import io


def formatted(text: str, width: int, *, colour: bool) -> str:
    """Markdown as a terminal shows it. width: columns. colour: with escape sequences for colours and bold."""
    from rich.console import Console  # late: only pages need it
    from rich.markdown import Markdown

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, no_color=not colour, legacy_windows=False)
    console.print(Markdown(text, code_theme="bw", hyperlinks=False))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))
