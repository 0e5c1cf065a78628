"""Exports with something changed: imported or refused with the reason, never raised, and exported again as JSON."""

from __future__ import annotations

import json

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import ShellError
from dataplane.foreign import jsontext
from tests.torture import site
from tests.torture.mutate import mutated
from tests.torture.parts import Run

IMPORTS_A_STORE = 200


def run(run: Run) -> None:
    """One import a step."""
    configuration = Configuration.in_memory()
    names = ("VirtualService", "Pool", "VsVip", "NetworkProfile", "HealthMonitor", "VrfContext", "Tenant")
    default = transfer.export(Configuration.in_memory())
    own = {
        kind: [found for found in objects if found not in default.get(kind, ()) and "System" not in found["name"]]
        for kind, objects in site.export().items()
        if kind in names
    }
    for number, chance in enumerate(run.steps()):
        if number % IMPORTS_A_STORE == 0:
            configuration.close()
            configuration = Configuration.in_memory()
        data = mutated(chance, own, chance.randrange(1, 4))
        try:
            transfer.import_(configuration, data, keep_uuid=chance.random() < 0.5)
            run.ended("imported")
        except ShellError:
            run.ended("refused")
        if number % 50 == 0:
            text = transfer.dumps(transfer.export(configuration))
            assert jsontext.loads(text) == json.loads(text)
    configuration.close()
