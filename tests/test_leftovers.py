"""The check at the end of a run sees what a run leaves, and nothing of anybody else's."""

import os
import subprocess
import uuid

import pytest

from dataplane.drivers.dpdk.folder import Folder
from tests.conftest import MARK, bears, leftovers
from tests.netns import Namespace


def test_a_namespace_is_seen_until_it_is_gone() -> None:
    with Namespace() as there:
        assert leftovers([os.getpid()], "none")["namespaces"] == [there.name]
        assert "namespaces" not in leftovers([int(f"{os.getpid()}0")], "none")
    assert "namespaces" not in leftovers([os.getpid()], "none")


@pytest.mark.parametrize(
    ("name", "its"),
    [
        ("avi-test-88-0123ab", True),
        ("avi-lab-t88x1-client", True),
        ("start-88", True),
        ("avi-test-880-0123ab", False),
        ("avi-test-9-a88b12", False),
        ("avi-test-9-88f012", False),
    ],
)
def test_a_name_bears_the_number_of_the_process_that_made_it(name: str, its: bool) -> None:
    assert bears([7, 88], name) is its


def test_maps_in_memory_are_seen_until_they_are_gone() -> None:
    folder = Folder(f"avi-test-{os.getpid()}")
    assert leftovers([os.getpid()], "none")["shared maps"] == [folder.root.name]
    folder.remove()
    folder.close()
    assert "shared maps" not in leftovers([os.getpid()], "none")


def test_a_process_is_seen_until_it_has_ended() -> None:
    run = uuid.uuid4().hex
    with subprocess.Popen(["cat"], env=os.environ | {MARK: run}, stdin=subprocess.PIPE) as process:
        assert [line.split(":")[0] for line in leftovers([os.getpid()], f"{MARK}={run}")["processes"]] == [
            str(process.pid)
        ]
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    assert "processes" not in leftovers([os.getpid()], f"{MARK}={run}")
