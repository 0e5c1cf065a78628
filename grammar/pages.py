"""The manual's pages by name, as `help` offers them. The texts are the shell's (`avi_shell/manual/`)."""

from __future__ import annotations

from collections.abc import Mapping

PAGES: Mapping[str, str] = {
    "install": "what a machine needs: kernel, packages, rights, units, containers",
    "shell": "modes, completion, pipes, configuration sessions, tenants and clouds",
    "layer2": "a whole layer-2 set-up, with the server's side",
    "layer3": "a whole layer-3 set-up: tunnels to servers behind routers",
    "several-engines": "several hosts with one configuration, and VIPs told to routers by BGP",
    "drivers": "XDP and packet sockets: which one is taken, and what each needs",
    "dpdk": "when DPDK pays, how it is built, and how interfaces are given to it",
    "monitors": "health monitors: types, paths, and what follows from their results",
    "operating": "status, states, drop reasons, and how a packet is decided",
    "events": "what happened: where it is shown, kept and logged, and every kind of event",
    "undo": "history, rollback, confirmed commits, backup and restore",
    "troubleshooting": "symptoms, their causes, and what mends them",
    "capacity": "limits of size, and measured speed",
    "replay": "a configuration tried on a capture, without a network",
    "automation": "scripts: options, JSON and exit statuses",
    "glossary": "the words of this manual",
    "limits": "what does not work here, and fields without effect",
}
"""Page → what it is about."""
