"""How tests share the machine: who is alone, who is first, and that what is named is there."""

import fcntl
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Barrier

import pytest

from tests.scheduling import LONG, compiled, turn

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


def test_who_imports_first_compiles_for_all_others(tmp_path: Path) -> None:
    at_once = Barrier(2)

    def second() -> None:
        with compiled(tmp_path):
            at_once.wait(45)

    with ThreadPoolExecutor() as others:
        with compiled(tmp_path):
            waiting = [others.submit(second) for _ in range(2)]
            assert not wait(waiting, 0.2).done
            assert not at_once.n_waiting
        for one in waiting:
            one.result(45)


@pytest.mark.parametrize("name", LONG)
def test_what_takes_long_is_there(name: str) -> None:
    assert (ROOT / name.partition("::")[0]).exists()
