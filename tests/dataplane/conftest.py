"""What tests of the engine's network stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns import Namespace


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A namespace with one link that is up, eth0, 10.0.0.2/24."""
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up")
        there.sh("ip addr add 10.0.0.2/24 dev eth0")
        yield there
