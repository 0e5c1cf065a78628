"""What of the manual is made from the product: `python -m tests.manualpages` writes it anew (`make manual`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from avi_shell import manual
from grammar import schema

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


if __name__ == "__main__":
    LIMITS.write_text(written(LIMITS.read_text("utf-8")), "utf-8")
