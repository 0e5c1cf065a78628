"""Export and import as JSON, the running configuration as lines, and a plan compiled from an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from avi_shell.configuration import document
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import ALL, HIDDEN_STATE, Document
from avi_shell.configuration.importing import META, import_
from avi_shell.configuration.runningconfig import running_config
from avi_shell.errors import Refused
from dataplane.foreign import files, jsontext
from dataplane.plan import file
from dataplane.version import VERSION
from grammar import schema

__all__ = ["compile_file", "dumps", "export", "import_", "running_config"]


def export(configuration: Configuration, tenant: str = ALL) -> dict[str, Any]:
    """Every object of a tenant, by the kinds' message names; of all tenants with the kinds that were imported unknown,
    which stand last. A tenant's export holds nothing of admin's: what it may use is not its own, and has secrets."""
    data: dict[str, Any] = {META: {"product": "avi-shell", "version": VERSION, "object_model": "30.2.1"}}
    with configuration.snapshot() as store:
        for segment, name in schema.SEGMENTS.items():
            owners = None if tenant == ALL else {tenant}
            kind = schema.kind(segment)
            found = [document.with_clouds(kind, entry.document) for entry in store.entries(segment, owners)]
            objects = [_without_state(one) for one in found]
            if objects:
                data[name] = objects
        if tenant == ALL:
            data.update(store.foreign())
    return data


def dumps(data: dict[str, Any]) -> str:
    """An export's text: the same bytes for the same data."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def compile_file(source: Path, target: Path) -> list[str]:
    """Write the plan that a commit of an export would publish to one file. Returns the notices.

    Raises Refused where a file cannot be read or written, InvalidObject for what a commit would refuse.
    """
    try:
        data = jsontext.loads(files.read(source))
    except OSError as exc:
        raise Refused(f"{source}: {exc.strerror}") from exc
    except ValueError as exc:
        raise Refused(f"{source} is not an export: {exc}") from exc
    configuration = Configuration.in_memory()
    notices = import_(configuration, data, keep_uuid=True).notices
    with configuration.snapshot() as store:
        compiled = store.whole_plan()
    try:
        file.save(compiled, target)
    except OSError as exc:
        raise Refused(f"{target}: {exc.strerror}") from exc
    if not compiled.services:
        notices.append("the plan is empty: no virtual service of this export is forwarded by direct server return")
    return notices


def _without_state(found: Document) -> Document:
    return {name: value for name, value in found.items() if name != HIDDEN_STATE}
