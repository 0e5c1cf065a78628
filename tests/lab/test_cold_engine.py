"""An engine that begins after a change of a server's health takes over the connections of those that saw it."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.coldengine import standing, taken_over


@pytest.mark.root
def test_connections_begun_before_the_window_find_their_servers_by_an_engine_that_saw_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        wanted, after = taken_over(standing(stack, tmp_path, 300))
    assert len(wanted) > 300
    assert after == wanted
