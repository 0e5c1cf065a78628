"""An object as it is stored, and how its row is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avi_shell.configuration import storefile
from avi_shell.configuration.document import Document, Target, in_cloud
from avi_shell.errors import Refused
from grammar import schema


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored object."""

    id: int  # of its row
    target: Target  # by which it is found, and links name it; no other object has it
    uuid: str  # unique
    document: Document  # as it was committed

    @property
    def title(self) -> str:
        """Its name in a sentence: "Pool p1"."""
        return f"{schema.SEGMENTS[self.kind]} {self.name}"

    @property
    def kind(self) -> str:
        """Its segment."""
        return self.target.kind

    @property
    def tenant(self) -> str:
        """The tenant that it belongs to."""
        return self.target.tenant

    @property
    def cloud(self) -> str:
        """The cloud that it belongs to; "" for kinds that belong to none."""
        return self.target.cloud

    @property
    def name(self) -> str:
        """Its name."""
        return self.target.name


def only(found: Sequence[Entry], apart: str) -> Entry | None:
    """The only one of some objects of a kind and name; None: there is none. Raises Refused if there are several. apart:
    what would distinguish them, "tenant" or "cloud"."""
    if len(found) > 1:
        whose = [entry.cloud if apart == "cloud" else f"{entry.tenant}{in_cloud(entry.cloud)}" for entry in found]
        what = f"several {apart}s have a {found[0].kind} {found[0].name}: {', '.join(whose)}"
        raise Refused(what, hint=f"switchto {apart} NAME")
    return found[0] if found else None


COLUMNS = "id, kind, tenant, cloud, name, uuid, body"
"""Of the table `object`, as `entry_of` takes them."""


def entry_of(row: tuple[int, str, str, str, str, str, str], where: str) -> Entry:
    """The object of a row. where: the store's file, for messages. Raises StoreError if no release can have written the
    row."""
    title = f"{row[1]} {row[4]}" if isinstance(row[1], str) and isinstance(row[4], str) else f"object {row[0]}"
    if not all(isinstance(text, str) for text in row[1:6]) or row[1] not in schema.SEGMENTS:
        raise storefile.damaged(where, f"{title} has no kind, tenant, cloud, name or uuid")
    document = value_of(row[6], title, where)
    if not isinstance(document, dict):
        raise storefile.damaged(where, f"{title} is no document")
    return Entry(row[0], Target(*row[1:5]), row[5], document)


def value_of(body: Any, title: str, where: str) -> Any:
    """The value of a stored JSON text. title: what it is of. Raises StoreError."""
    try:
        return json.loads(body)
    except (ValueError, TypeError, RecursionError):
        raise storefile.damaged(where, f"{title} is no JSON") from None
