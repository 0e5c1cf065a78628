"""Prepares a pool member again after each boot: one systemd unit for each VIP runs `avi-server apply`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from dataplane.errors import ServerError

UNITS = Path("/etc/systemd/system")
RUNNING = Path("/run/systemd/system")
"""Exists if systemd is the init process (sd_booted(3))."""

TARGET = "multi-user.target"


def refusal() -> str | None:
    """Why nothing can be prepared for the next boot here; None if it can."""
    if not RUNNING.is_dir():
        return "this machine was not started by systemd: there is nobody to run it at boot"
    if os.stat("/proc/thread-self/ns/net").st_ino != os.stat("/proc/1/ns/net").st_ino:
        return "this is not the machine's own network namespace: it does not outlive a boot"
    return None


def text(vip: str, command: Sequence[str]) -> str:
    """A unit file that runs a command once, as soon as the network is up (systemd.service(5))."""
    line = shlex.join(command).replace("%", "%%")
    return f"""[Unit]
Description=Direct server return: prepare this host for VIP {vip}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={line}

[Install]
WantedBy={TARGET}
"""


def install(vip: str, command: Sequence[str], units: Path = UNITS) -> Path:
    """Write and enable a VIP's unit. Returns its file. Raises ServerError."""
    path = units / _name(vip)
    link = units / f"{TARGET}.wants" / path.name
    try:
        link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text(vip, command), "utf-8")
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..") / path.name)
    except OSError as exc:
        raise ServerError(f"cannot write {path}: {exc.strerror}", remedy="run it as root") from exc
    return path


def remove(vip: str, units: Path = UNITS) -> Path | None:
    """Disable and remove a VIP's unit. Returns its file; None if there was none. Raises ServerError."""
    path = units / _name(vip)
    try:
        (units / f"{TARGET}.wants" / path.name).unlink(missing_ok=True)
        path.unlink()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ServerError(f"cannot remove {path}: {exc.strerror}", remedy="run it as root") from exc
    return path


def _name(vip: str) -> str:
    return f"avi-server-{vip}.service"
