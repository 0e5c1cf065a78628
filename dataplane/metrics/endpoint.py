"""The HTTP endpoint: `/metrics` for Prometheus, `/` for a browser.

Threads of its own answer; the engine's loop gives the values alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from dataplane.errors import EngineError

TIMEOUT = 10.0
"""Seconds that a client may take for its request, and the loop for an answer."""
AT_ONCE = 8
"""Clients that are answered at a time."""


class Answer(NamedTuple):
    """A resource at one moment."""

    content_type: str
    body: str
    policy: str = "default-src 'none'"  # what a browser may do with it (CSP)


Resource = Callable[[str], Awaitable[Callable[[], Answer]]]
"""Takes the values on the loop, given the query of the address. What it returns makes the answer of them, in the thread
of the client."""


class Endpoint:
    """Serves resources by path until `close`. Raises EngineError where the address cannot be had."""

    def __init__(self, at: tuple[str, int], resources: Mapping[str, Resource]) -> None:
        self._loop = asyncio.get_running_loop()
        self._resources = resources
        self._room = threading.Semaphore(AT_ONCE)
        try:
            self._server = _Server(at, _handler(self))
        except OSError as exc:
            raise EngineError(f"metrics cannot be served on {at[0]}:{at[1]}: {exc.strerror}") from exc
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    async def close(self) -> None:
        """Serve no more."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()

    def answer(self, path: str) -> tuple[HTTPStatus, Answer]:
        """What a client gets; called in the client's thread."""
        place, _, query = path.partition("?")
        resource = self._resources.get(place)
        if resource is None:
            paths = ", ".join(self._resources)
            return HTTPStatus.NOT_FOUND, Answer("text/plain; charset=utf-8", f"not here; there is: {paths}\n")
        if not self._room.acquire(timeout=TIMEOUT):
            return HTTPStatus.SERVICE_UNAVAILABLE, Answer("text/plain; charset=utf-8", "too many clients\n")
        try:
            made = asyncio.run_coroutine_threadsafe(_called(resource, query), self._loop).result(TIMEOUT)
            return HTTPStatus.OK, made()
        except TimeoutError:
            return HTTPStatus.SERVICE_UNAVAILABLE, Answer("text/plain; charset=utf-8", "the engine is busy\n")
        finally:
            self._room.release()


async def _called(resource: Resource, query: str) -> Callable[[], Answer]:
    return await resource(query)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nobody's concern."""


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT
        server_version = "avi-se"
        sys_version = ""

        def do_GET(self) -> None:
            status, answer = endpoint.answer(self.path)
            body = answer.body.encode()
            self.send_response(status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Security-Policy", answer.policy)
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """A request is no event."""

    return Handler
