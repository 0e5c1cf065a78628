"""Events as tests hear them."""

from __future__ import annotations

from dataplane.events.model import Kind, Subject, Tell


def into(texts: list[str], named: list[str] | None = None) -> Tell:
    """Note what events say; named: and of which kind each one is."""

    def tell(kind: Kind, about: Subject, text: str) -> None:
        assert about.kind, f"{text}: about nothing"
        texts.append(text)
        if named is not None:
            named.append(kind.name)

    return tell
