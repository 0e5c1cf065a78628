"""The plan in one JSON file, as `compile` writes and `replay` reads it.

{"version": 7, "common": {…}, "services": {"10.0.0.100/tcp/80-80": {…}, …}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dataplane.errors import PlanError
from dataplane.foreign import files, jsontext
from dataplane.plan import codec
from dataplane.plan.model import Common, Plan


def save(plan: Plan, path: Path) -> None:
    """Write a whole plan to one JSON file, its owner's alone. Raises OSError."""
    files.write(path, (json.dumps(_file(plan), indent=1) + "\n").encode(), mode=0o600)  # scripts' variables are in it


def load(path: Path) -> Plan:
    """Read a whole plan from one JSON file. Raises PlanError naming the file and what is wrong with it."""
    try:
        data = jsontext.loads(files.read(path))
        services = {key: codec.read_service(body, body.get("version", 0)) for key, body in data["services"].items()}
        return Plan(data["version"], services, codec.read_common(data["common"], data["common"].get("version", 0)))
    except OSError as exc:
        raise PlanError(f"{path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise PlanError(f"{path}: not a plan: {exc!r}", remedy=f"avi-shell compile EXPORT.json {path}") from exc


def _file(plan: Plan) -> dict[str, Any]:
    services = {key: codec.document(service) for key, service in plan.services.items() if service is not None}
    return {"version": plan.version, "common": codec.document(plan.common or Common()), "services": services}
