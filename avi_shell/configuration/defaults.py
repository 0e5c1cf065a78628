"""The objects of a fresh controller (`default_objects.json`): what a new store holds, and what cannot be deleted."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from avi_shell.configuration.document import ADMIN, DEFAULT_CLOUD, Document
from grammar import schema


@cache
def objects() -> dict[str, list[Document]]:
    """The default objects by segment, in the order in which a fresh store takes them."""
    text = Path(__file__).with_name("default_objects.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return {segment: data[name] for segment, name in schema.SEGMENTS.items() if name in data}


def is_default(segment: str, tenant: str, cloud: str, name: str) -> bool:
    """Whether an object is one of them: it can be changed, neither deleted nor renamed."""
    names = [document["name"] for document in objects().get(segment, ())]
    return tenant == ADMIN and cloud in ("", DEFAULT_CLOUD) and name in names
