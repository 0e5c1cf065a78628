"""The plan in one JSON file, as `compile` writes and `replay` reads it.

{"format": 1, "version": 7, "common": {…}, "services": {"10.0.0.100/tcp/80-80": {…}, …}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dataplane.errors import PlanError, command
from dataplane.foreign import files, jsontext
from dataplane.foreign.text import harmless
from dataplane.plan import checks, codec
from dataplane.plan.model import Common, Plan

FORMAT = 1
"""The number of the file's layout. A file without one is of the first."""


def save(plan: Plan, path: Path) -> None:
    """Write a whole plan to one JSON file, its owner's alone. Raises OSError."""
    files.write(
        path, (json.dumps(document(plan), indent=1) + "\n").encode(), mode=0o600
    )  # scripts' variables are in it


def load(path: Path) -> Plan:
    """Read a whole plan from one JSON file. Raises PlanError naming the file and what is wrong with it."""
    try:
        data = jsontext.loads(files.read(path))
        checks.listed(data, "the file", dict)
        if data.get("format", FORMAT) != FORMAT:
            found = harmless(str(data["format"]), 20)
            raise PlanError(f"{path}: written by another release (format {found}, this one reads {FORMAT})")
        services = {}
        for key, body in checks.listed(data["services"], "services", dict).items():
            services[key] = codec.read_service(
                body, checks.listed(body, harmless(key, 60), dict).get("version", 0), key
            )
        common = checks.listed(data["common"], "common", dict)
        return Plan(checks.version(data["version"]), services, codec.read_common(common, common.get("version", 0)))
    except PlanError as exc:
        if exc.what.startswith(f"{path}: "):
            raise
        raise PlanError(f"{path}: not a plan: {exc}", remedy=_remedy(path)) from exc
    except OSError as exc:
        raise PlanError(f"{path}: {exc.strerror}") from exc
    except KeyError as exc:
        raise PlanError(f"{path}: not a plan: {exc.args[0]} is missing", remedy=_remedy(path)) from exc
    except ValueError as exc:
        raise PlanError(f"{path}: not a plan: {exc}", remedy=_remedy(path)) from exc


def _remedy(path: Path) -> str:
    return command("avi-shell compile EXPORT.json {}", path)


def document(plan: Plan) -> dict[str, Any]:
    """A whole plan as the file has it."""
    services = {key: codec.document(service) for key, service in plan.services.items() if service is not None}
    common = codec.document(plan.common or Common())
    return {"format": FORMAT, "version": plan.version, "common": common, "services": services}
