"""The systemd unit of a service engine: writes it, and says what to type then. A restart ends the process by SIGHUP:
the kernel forwards on, and the next process takes over. A stop withdraws everything. BIRD and its keeper survive a
restart, since only the engine's own process is ended."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from dataplane.drivers import registry
from dataplane.errors import EngineError
from dataplane.health.probes import sandbox

UNITS = Path("/etc/systemd/system")
WATCHDOG = 30
"""Seconds in which the engine's loop goes round, or the process is ended and started again."""


def capabilities(*, scripts: bool) -> list[str]:
    """The capabilities that suffice for every driver and for BGP. scripts: and for monitors that run scripts."""
    wanted = ["CAP_NET_ADMIN", "CAP_NET_RAW", *(name for each in registry.DRIVERS for name in each.capabilities)]
    wanted += ["CAP_NET_BIND_SERVICE", *(sandbox.CAPABILITIES if scripts else ())]
    return list(dict.fromkeys(wanted))


def name(engine: str) -> str:
    """The unit's file."""
    return f"avi-se-{engine}.service"


def text(engine: str, state: Path, command: Sequence[str], *, scripts: bool) -> str:
    """The unit (systemd.service(5)). command: runs the engine in the foreground."""
    line = shlex.join(command).replace("%", "%%").replace("$", "$$")
    return f"""[Unit]
Description=Service engine {engine}: direct server return
Wants=network-online.target
After=network-online.target
RequiresMountsFor={_quoted(state)}

[Service]
Type=notify
ExecStart={line}
ExecReload=/bin/kill -USR1 $MAINPID
Restart=on-failure
RestartSec=1
WatchdogSec={WATCHDOG}
KillMode=process
KillSignal=SIGTERM
RestartKillSignal=SIGHUP
CapabilityBoundingSet={" ".join(capabilities(scripts=scripts))}
LimitMEMLOCK=infinity

[Install]
WantedBy=multi-user.target
"""


def install(engine: str, told: str, units: Path) -> Path:
    """Write a unit. Returns its file. Raises EngineError."""
    path = units / name(engine)
    try:
        path.write_text(told, "utf-8")
    except OSError as exc:
        raise EngineError(f"cannot write {path}: {exc.strerror}", remedy="run it as root") from exc
    return path


def _quoted(path: Path) -> str:
    return '"' + str(path.absolute()).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
