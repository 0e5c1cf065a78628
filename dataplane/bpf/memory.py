"""How much memory the kernel still gives this process: its control groups' limits (cgroups(7), versions 1 and 2).

Maps that do not fit fail with ENOMEM; a process that does not fit beside its maps is killed. So the limits are looked
at first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS, _ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_FILES = (("memory.max", "memory.current", ""), ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"))
"""Of each version: the limit, what is used, and how the names of the whole group's statistics begin."""
_GIVEN_BACK = "inactive_file", "active_file"
"""Statistics of what the kernel takes back where memory runs out."""


def room(groups: Path = _GROUPS, root: Path = _ROOT) -> int | None:
    """Bytes that this process's control groups still allow; None where they set no limit. groups, root: the list of
    them, and where they are mounted."""
    found = [left for folder in _folders(groups, root) if (left := _left(folder)) is not None]
    return min(found, default=None)


def _folders(groups: Path, root: Path) -> Iterator[Path]:
    """The folders of this process's group and of those above it, as far as they are to be seen."""
    try:
        lines = groups.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" or "memory" in controllers.split(","):
            mount = root if number == "0" else root / "memory"
            folder = mount / path.lstrip("/")
            yield from (each for each in (folder, *folder.parents) if each == mount or mount in each.parents)


def _left(folder: Path) -> int | None:
    for limit, used, begins in _FILES:
        with suppress(OSError, ValueError):  # not of this version; "max" is no number: no limit
            most = int((folder / limit).read_text())
            told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            back = sum(int(told[begins + name]) for name in _GIVEN_BACK)
            return most - int((folder / used).read_text()) + back
    return None
