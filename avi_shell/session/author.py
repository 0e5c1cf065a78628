"""Who uses a shell: the operating system's user behind it, and where that user sits."""

from __future__ import annotations

import os
import pwd

from avi_shell.configuration.record import Author


def author(user: str) -> Author:
    """The author of what this process commits. user: the shell's. Whoever became root by sudo is named with root:
    `alice as root`."""
    return Author(user, os_user=_os_user(), terminal=_terminal())


def _os_user() -> str:
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    before = os.environ.get("SUDO_USER", "") if uid == 0 else ""  # any other could set it as it likes
    return f"{before} as {name}" if before.isprintable() and before not in ("", name) else name


def _terminal() -> str:
    """The terminal, and the address from which a remote login came (sshd's SSH_CONNECTION, which sudo may drop)."""
    found = next((os.ttyname(stream) for stream in (0, 1, 2) if os.isatty(stream)), "")
    peer = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return " from ".join(part for part in (found, peer) if part and part.isprintable())
