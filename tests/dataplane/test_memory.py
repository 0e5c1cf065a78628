"""How much memory control groups leave, and how much maps take."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.bpf import memory
from dataplane.bpf.objects import Object
from dataplane.forwarding.program import DSR


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def test_version_1(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("9:name=systemd:/\n4:memory:/docker/abc\n0::/\n")
    statistics = "cache 7\ninactive_file 1\nactive_file 1\ntotal_inactive_file 10\ntotal_active_file 20"
    group(tmp_path / "memory", memory__limit_in_bytes="900", memory__usage_in_bytes="700", memory__stat=statistics)
    assert memory.room(tmp_path / "cgroup", tmp_path) == 230, "a container sees its own group as the root"
    inner = tmp_path / "memory/docker/abc"
    group(inner, memory__limit_in_bytes="500", memory__usage_in_bytes="400", memory__stat=statistics)
    assert memory.room(tmp_path / "cgroup", tmp_path) == 130


def test_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    statistics = "inactive_file 10\nactive_file 20"
    group(tmp_path / "a/b", memory__max="max", memory__current="400", memory__stat=statistics)
    assert memory.room(tmp_path / "cgroup", tmp_path) is None
    group(tmp_path / "a", memory__max="500", memory__current="450", memory__stat=statistics)
    assert memory.room(tmp_path / "cgroup", tmp_path) == 80


def test_where_nothing_is_told(tmp_path: Path) -> None:
    assert memory.room(tmp_path / "none", tmp_path) is None


@pytest.mark.root
def test_what_maps_take_is_known_before_they_are_made() -> None:
    with Object(DSR) as loaded:
        known, taken = loaded.memory(), 0
        loaded.load()
        for name in loaded.names:
            with loaded.map(name) as one:
                told = Path(f"/proc/self/fdinfo/{one.fd}").read_text().splitlines()
            taken += int(dict(line.split(":", 1) for line in told)["memlock"])
    assert 0.95 < known / taken < 1.05
