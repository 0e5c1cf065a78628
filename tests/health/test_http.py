"""The bytes that monitors send: HTTP requests, and text with escapes."""

from typing import Any

import pytest

from dataplane.health.probes.check import wire
from dataplane.health.probes.http import request
from tests.health.monitors import monitor

REQUESTS = [
    ("GET / HTTP/1.0", {}, b"GET / HTTP/1.0\r\nHost: h\r\nUser-Agent: avi/1.0\r\nAccept: */*\r\n\r\n"),
    ("/index.htm", {}, b"GET /index.htm HTTP/1.0\r\nHost: h\r\nUser-Agent: avi/1.0\r\nAccept: */*\r\n\r\n"),
    ("HEAD", {}, b"HEAD / HTTP/1.0\r\nHost: h\r\nUser-Agent: avi/1.0\r\nAccept: */*\r\n\r\n"),
    (
        r"GET / HTTP/1.1\r\nhost: other\r\nUser-Agent: me\r\n\r\n",
        {},
        b"GET / HTTP/1.1\r\nhost: other\r\nUser-Agent: me\r\nAccept: */*\r\n\r\n",
    ),
    (
        "POST /",
        {"body": "a=b"},
        b"POST / HTTP/1.0\r\nHost: h\r\nUser-Agent: avi/1.0\r\nAccept: */*\r\nContent-Length: 3\r\n\r\na=b",
    ),
    (r"GET /\r\n", {"exact": True}, b"GET /\r\n"),
]


@pytest.mark.parametrize(("typed", "fields", "sent"), REQUESTS)
def test_http_requests(typed: str, fields: dict[str, Any], sent: bytes) -> None:
    assert request(monitor("HTTP", request=typed, **fields), "h") == sent


def test_text_as_bytes() -> None:
    assert wire(r"a\r\n\t\0\\n\xfF\q" + "ü\n") == b"a\r\n\t\0\\n\xff\\q" + "ü\n".encode()
