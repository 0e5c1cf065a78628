"""A configuration that parts of the torture begin with: every kind of object that a virtual service needs, and more."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session
from tests.shell.conftest import VIRTUAL_SERVICE

LINES = f"""\
configure tenant t1
save
{VIRTUAL_SERVICE}configure vrfcontext v1 bgp_profile local_as 65000
peers peer_ip 10.1.1.9 md5_secret topsecret
exit
exit
save
configure healthmonitor h1 type health_monitor_external external_monitor command_code "exit 0"
save
save
configure pool p1 health_monitor_refs h1
save
switchto tenant t1
configure pool p2
save
switchto tenant admin
"""


def fill(configuration: Configuration) -> None:
    """Type it all."""
    session = Session(configuration, Path("/nonexistent"))
    for line in LINES.splitlines():
        told = session.run(line)
        assert told.ok, (line, told.error)


@cache
def database() -> bytes:
    """The file of a store that holds it."""
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        configuration = Configuration.open(state)
        fill(configuration)
        configuration.close()
        return (state / "config.db").read_bytes()


@cache
def export() -> dict[str, Any]:
    """Its export."""
    configuration = Configuration.in_memory()
    fill(configuration)
    return transfer.export(configuration)
