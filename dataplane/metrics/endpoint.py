"""The HTTP endpoint: `/metrics` for Prometheus, `/` for a browser.

Its own threads answer requests; the engine's loop only supplies the values.
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
"""Seconds that a client may take for its request, and seconds that the loop may take for an answer."""
AT_ONCE = 8
"""How many clients are answered at the same time."""


class Answer(NamedTuple):
    """A resource at one moment."""

    content_type: str
    body: str
    policy: str = "default-src 'none'"  # the header Content-Security-Policy


Resource = Callable[[str], Awaitable[Callable[[], Answer]]]
"""Takes the values on the loop for a URL's query. Returns a function that makes the answer from them in the client's
thread."""


class Endpoint:
    """Serves resources by path until `close`. Raises EngineError if it cannot listen on the address."""

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
        """The port on which it listens."""
        return int(self._server.server_address[1])

    async def close(self) -> None:
        """Stop serving."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()

    def answer(self, path: str) -> tuple[HTTPStatus, Answer]:
        """The answer for a client; called in the client's thread."""
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
        """Ignore clients that went away."""


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
            """Log nothing: a request is no event."""

    return Handler
