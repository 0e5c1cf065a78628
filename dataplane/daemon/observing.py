"""What others read of an engine over HTTP, if that is asked for. Its modules are loaded only then."""

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
    """Serves the engine's metrics on an address and port meanwhile; None: serves nothing. Gives the port. Raises
    EngineError where the address cannot be had."""
    if at is None:
        yield 0
        return
    from dataplane.daemon.looking import Looks
    from dataplane.metrics import exposition, page, text
    from dataplane.metrics.endpoint import Answer, Endpoint
    from dataplane.metrics.snapshot import Gatherer

    gatherer = Gatherer(engine)

    looks = Looks(engine)

    async def metrics(_query: str) -> Callable[[], Answer]:
        snapshot = await gatherer.snapshot()
        return lambda: Answer(exposition.CONTENT_TYPE, text.text(snapshot))

    async def browsed(query: str) -> Callable[[], Answer]:
        report, rates = await looks.look()
        asked = page.asked(query)
        return lambda: Answer("text/html; charset=utf-8", page.html(report, rates, asked), page.POLICY)

    endpoint = Endpoint(at, {"/metrics": metrics, "/": browsed})
    log.info("metrics are on http://%s:%d/metrics, a page for browsers on /", at[0], endpoint.port)
    try:
        yield endpoint.port
    finally:
        await endpoint.close()
