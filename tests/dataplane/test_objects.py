"""The shipped BPF objects are what their source gives."""

import subprocess
from pathlib import Path

import pytest

from dataplane.forwarding.program import FOLDER


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.o")))
def test_rebuilding_gives_the_same_object(name: str, tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", FOLDER, f"OUT={tmp_path}", f"{tmp_path}/{name}"], check=True)
    assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
