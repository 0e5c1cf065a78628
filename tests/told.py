"""Events as tests hear them."""

from __future__ import annotations

from dataplane.events.model import Kind, Subject, Tell


def into(texts: list[str]) -> Tell:
    """Note what events say, and that their severity and object are what they must be."""

    def tell(kind: Kind, about: Subject, text: str) -> None:
        assert kind.name
        assert about.kind
        texts.append(text)

    return tell
