"""Members that several tests share; each test uses a cluster or keys of its own in them."""

from collections.abc import Iterator

import pytest

from .members import Members


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    with Members(tmp_path_factory.mktemp("etcd") / "data") as members:
        yield members
