"""What of the manual is made from the product: `python -m tests.manualpages` writes it anew (`make manual`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from avi_shell import manual
from dataplane.events import kinds
from grammar import schema

EVENTS = manual.HERE / "events.md"
KINDS = "| kind | severity | means |"
"""Where the made part of that page begins."""
LIMITS = manual.HERE / "limits.md"
MARK = "\n## Fields without effect\n"
"""Where the made part of the page begins."""


def no_effect(field: schema.Field) -> bool:
    """Whether the field is offered and changes nothing."""
    return field.described and field.help.endswith("(no effect here)")


def untyped(field: schema.Field) -> bool:
    """Whether the field is kept and never typed, since what it holds is not known here."""
    return field.scope == "carried"


def limits() -> str:
    """The made part of the page: two tables of fields, by kind or message."""
    return "\n".join(
        (
            MARK,
            *_table(no_effect),
            "",
            "## Fields that cannot be typed",
            "",
            *_table(untyped),
            "",
        )
    )


def _table(wanted: Callable[[schema.Field], bool]) -> Iterator[str]:
    yield "| of | fields |"
    yield "|---|---|"
    messages = {name: message for kind in schema.kinds() for name, message in kind.messages.items()}
    for name in sorted(messages):
        fields = [f"`{field.name}`" for field in messages[name].fields.values() if wanted(field)]
        if fields:
            yield f"| {name} | {', '.join(fields)} |"


def written(page: str) -> str:
    """The page with its made part as it is to be."""
    return page.split(MARK)[0].rstrip("\n") + "\n" + limits()


def events(page: str) -> str:
    """The page of events with its table of kinds as it is to be."""
    rows = [f"| `{kind.name}` | {kind.severity.word} | {kind.meaning} |" for kind in kinds.ALL.values()]
    return "\n".join((page.split(KINDS)[0].rstrip("\n"), "", KINDS, "|---|---|---|", *rows, ""))


if __name__ == "__main__":
    EVENTS.write_text(events(EVENTS.read_text("utf-8")), "utf-8")
    LIMITS.write_text(written(LIMITS.read_text("utf-8")), "utf-8")
