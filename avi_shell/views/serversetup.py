"""`show pool NAME server-setup`: what makes the pool's servers ready, from the configuration alone."""

from __future__ import annotations

from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, address_text
from dataplane import plan

_SHOWN = 8


def services_of(configuration: Configuration, document: Document) -> list[plan.Service]:
    """The planned services that use a pool."""
    with configuration.snapshot() as store:
        planned = store.whole_plan().services.values()
    return [service for service in planned if service is not None and service.pool_uuid == document.get("uuid")]


def setup(configuration: Configuration, document: Document) -> tuple[list[str], Any]:
    """The lines to paste on every server, and the same as data."""
    from dataplane.server import recipe

    name = str(document["name"])
    services = services_of(configuration, document)
    servers = list(dict.fromkeys(address_text(server["ip"]) for server in document.get("servers", ())))
    if not services or not servers:
        unused = "no virtual service with direct server return, whose traffic is on, uses it"
        lacks = "it has no servers" if services else unused
        return [f"# Nothing to set up for pool {name}: {lacks}."], None
    vips = sorted({service.vip for service in services})
    modes = {service.mode for service in services}
    lines = recipe.lines(servers, vips, modes)
    short = recipe.one_line(servers, vips, modes)
    shown = ", ".join(servers[:_SHOWN]) + (f", … {len(servers)} in all" if len(servers) > _SHOWN else "")
    text = [f"# On every server of pool {name} ({shown}), as root, for {', '.join(vips)}:", *recipe.block(lines)]
    text += [
        "# Or, where avi-server is installed, which can also undo it, and --persist it across boots:",
        f"# {short}",
    ]
    data = {"servers": servers, "vips": vips, "modes": sorted(modes)}
    return text, {**data, "commands": [line for line in lines if not line.startswith("#")], "avi_server": short}
