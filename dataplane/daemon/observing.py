"""What others read of an engine over HTTP, if it is asked for. Its modules are loaded then alone."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dataplane.engine.engine import Engine

if TYPE_CHECKING:
    from dataplane.metrics.endpoint import Answer

log = logging.getLogger("avi-se")


@asynccontextmanager
async def served(engine: Engine, at: tuple[str, int] | None) -> AsyncIterator[int]:
    """The engine's metrics are served on an address and port meanwhile; nothing is where that is None. Gives the port.
    Raises EngineError where the address cannot be had."""
    if at is None:
        yield 0
        return
    from dataplane.metrics import exposition, text
    from dataplane.metrics.endpoint import Answer, Endpoint
    from dataplane.metrics.snapshot import Gatherer

    gatherer = Gatherer(engine)

    async def metrics() -> Callable[[], Answer]:
        snapshot = await gatherer.snapshot()
        return lambda: Answer(exposition.CONTENT_TYPE, text.text(snapshot))

    endpoint = Endpoint(at, {"/metrics": metrics})
    log.info("metrics are on http://%s:%d/metrics", at[0], endpoint.port)
    try:
        yield endpoint.port
    finally:
        await endpoint.close()
