from collections.abc import Iterator

import pytest

from dataplane import plan
from tests.drivers import COMMON
from tests.l3.world import PREPARED, SERVERS, World, built, service
from tests.polling import until


@pytest.fixture(scope="module", params=COMMON)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The network with an engine whose servers are known: two up, one down."""
    with built(tmp_path_factory.mktemp("l3")) as there:
        there.driver = request.param
        there.publish(*(service(mode, protocol) for mode in (plan.L3_IPIP, plan.L3_GRE) for protocol in ("tcp", "udp")))
        there.start_engine()
        wanted = {name: "up" if name in PREPARED else "down" for name in SERVERS}
        for mode in (plan.L3_IPIP, plan.L3_GRE):
            until(
                lambda m=mode: {n: state for n, (state, _) in there.servers(m).items()} == wanted,  # type: ignore[misc]
                lambda: (there.status(), there.log()),
            )
        yield there
