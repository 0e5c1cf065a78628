"""The HTTP monitor: a request to the VIP through the server, and what its answer must be (RFC 9112).

As in the appliance, a request without a version gets HTTP/1.0, one without a path /, one without a method GET. Host
(the VIP), User-Agent and Accept are added if they are missing. With `exact_http_request` it is sent as typed. The first
`response_size` bytes of the answer are looked at, headers included; 2048 if that is not set.
"""

from __future__ import annotations

import re
import socket

from dataplane.health.probes.check import Check, Outcome, ProbeFailed, wire
from dataplane.health.probes.connection import ConnectionProbe, Connections, Exchange
from dataplane.health.probes.tcp import READ, missing, silence
from dataplane.plan import Monitor

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})(?:[ \r\n]|$)")
_ANY = "HTTP_ANY"
_DEFAULT = ("HTTP_2XX",)
"""What counts as good if the monitor names no status."""
_METHOD = re.compile(r"[A-Z]+$")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


def request(monitor: Monitor, host: str) -> bytes:
    """The bytes to send. host: the value of the Host header, if the request has none."""
    typed, body = wire(monitor.request), wire(monitor.body)
    if monitor.exact:
        return typed + body
    text = typed.decode("latin-1").replace("\r\n", "\n")
    head, _, rest = text.partition("\n\n")
    line, *headers = head.strip("\n").split("\n")
    body += rest.encode("latin-1")
    names = {header.partition(":")[0].strip().lower() for header in headers}
    for name, value in (("Host", host), ("User-Agent", "avi/1.0"), ("Accept", "*/*")):
        if name.lower() not in names:
            headers.append(f"{name}: {value}")
    if body and "content-length" not in names:
        headers.append(f"Content-Length: {len(body)}")
    return "\r\n".join((_request_line(line), *headers, "", "")).encode("latin-1") + body


def _request_line(line: str) -> str:
    words = line.split()
    version = words.pop() if words and words[-1].startswith("HTTP/") else "HTTP/1.0"
    method = words.pop(0) if words and _METHOD.match(words[0]) else "GET"
    return " ".join((method, *(words or ["/"]), version))


def judge(monitor: Monitor, answer: bytes, *, whole: bool) -> bool:
    """Whether the answer so far is good; False: not yet. whole: it is complete.

    Raises ProbeFailed if it is bad whatever follows.
    """
    status = _STATUS.match(answer)
    if status is None:
        if whole or (b"\n" in answer or len(answer) >= 64):
            raise ProbeFailed(f"not an HTTP answer: {answer[:40].decode('latin-1')!r}" if answer else "an empty answer")
        return False
    code = int(status[1])
    if code in monitor.maintenance_codes:
        raise ProbeFailed(f"under maintenance: HTTP status {code}")
    if not _counts(code, monitor.codes or _DEFAULT):
        wanted = ", ".join(group.removeprefix("HTTP_") for group in monitor.codes or _DEFAULT)
        raise ProbeFailed(f"HTTP status {code}, expected {wanted}")
    if monitor.maintenance and wire(monitor.maintenance) in answer:
        raise ProbeFailed(f"under maintenance: its answer contains {monitor.maintenance!r}")
    found = not monitor.response or wire(monitor.response) in answer
    if whole and not found:
        raise ProbeFailed(f"HTTP status {code}, but its answer does not contain {monitor.response!r}")
    return found and (whole or not monitor.maintenance)


def _counts(code: int, groups: tuple[str, ...]) -> bool:
    return _ANY in groups or f"HTTP_{code // 100}XX" in groups


def complete(answer: bytes, *, head: bool) -> bool:
    """Whether an answer is complete. head: it answers a HEAD request, and so has no body."""
    headers, ended, body = answer.partition(b"\r\n\r\n")
    if not ended:
        return False
    status = _STATUS.match(answer)
    if head or (status and status[1] in (b"204", b"304")):
        return True
    length = _LENGTH.search(headers)
    if length:
        return len(body) >= int(length[1])
    return b"chunked" in headers.lower() and body.endswith(b"0\r\n\r\n")


def probe(check: Check, connections: Connections) -> ConnectionProbe:
    """The HTTP probe of a check."""
    monitor = check.monitor
    sent = request(monitor, socket.inet_ntoa(check.vip))
    head, size = sent.startswith(b"HEAD "), monitor.response_size or READ

    def judged(answer: bytes, whole: bool) -> bool:
        return judge(monitor, answer, whole=whole or complete(answer, head=head))

    def late(answer: bytes | None) -> Outcome:
        if answer is None:
            return silence(check)
        if answer and monitor.response:
            return missing(check, answer)
        some = "no whole answer" if answer else "no answer"
        return ProbeFailed(f"the VIP took the connection, and sent {some} within {monitor.receive_timeout} s")

    target = (socket.inet_ntoa(check.vip), check.port)
    return ConnectionProbe(connections, Exchange(target, monitor.receive_timeout, sent, judged, size, late))
