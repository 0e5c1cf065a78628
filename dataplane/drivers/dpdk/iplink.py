"""Links of this thread's network namespace by ip(8): what they are, and changes of them.

/sys/class/net is no substitute: it shows the namespace that the file system was mounted in.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any

from dataplane.errors import DriverError


def told(name: str) -> Mapping[str, Any]:
    """A link as `ip -j link` tells it: "mtu", "address", "ifalias"…; nothing where it is not there."""
    done = subprocess.run(["ip", "-j", "link", "show", "dev", name], capture_output=True, text=True, check=False)
    if done.returncode:
        return {}
    (link,) = json.loads(done.stdout)
    return dict(link)


def change(*words: str) -> None:
    """`ip link` with these words. Raises DriverError with what it says."""
    done = subprocess.run(["ip", "link", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DriverError(f"{shlex.join(('ip', 'link', *words))} failed: {done.stderr.strip()}")
