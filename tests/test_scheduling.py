"""How tests share the machine: who is alone, who is first, and that what is named is there."""

import fcntl
from pathlib import Path

import pytest

from tests.scheduling import LONG, turn

ROOT = Path(__file__).parent.parent


def free(folder: Path, how: int) -> bool:
    """Whether another test could have the machine, shared or alone."""
    with open(folder / "machine", "w") as machine:
        try:
            fcntl.flock(machine, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@pytest.mark.parametrize(("alone", "shared"), [(False, True), (True, False)])
def test_who_wants_to_be_alone_is(alone: bool, shared: bool, tmp_path: Path) -> None:
    with turn(tmp_path, alone):
        assert free(tmp_path, fcntl.LOCK_SH) is shared
        assert not free(tmp_path, fcntl.LOCK_EX)
    assert free(tmp_path, fcntl.LOCK_EX)


@pytest.mark.parametrize("name", LONG)
def test_what_takes_long_is_there(name: str) -> None:
    assert (ROOT / name.partition("::")[0]).exists()
