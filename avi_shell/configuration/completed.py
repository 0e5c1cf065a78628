"""A document as it would be stored."""

from __future__ import annotations

from collections.abc import Callable
from os import urandom

from avi_shell.configuration import autofill, document
from avi_shell.configuration.document import ADMIN, ALL, Document
from avi_shell.configuration.entry import Entry
from grammar import schema


def completed(
    kind: schema.Kind,
    opened: Document,
    tenant: str,
    stored: Entry | None,
    exists: Callable[[str], bool],
    *,
    own: bool = False,
) -> Document:
    """A document as it would be stored: with the appliance's choices, defaults, and the stored object's uuid or a new
    one. exists: tells whether a reference names a stored object."""
    owner = tenant if tenant != ALL else ADMIN
    new = autofill.filled(kind, opened, owner, stored.document if stored else None, exists, own=own)
    new.setdefault("uuid", stored.uuid if stored else new_uuid(kind.segment))
    return document.with_defaults(kind, new)


def new_uuid(segment: str) -> str:
    """A uuid for a new object."""
    digits = urandom(16).hex()  # as uuid.uuid4 makes them (RFC 9562), in a third of the time
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{segment}-{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
