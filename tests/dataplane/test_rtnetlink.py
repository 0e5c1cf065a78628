"""Many questions to the kernel at a time, and one that went wrong."""

from __future__ import annotations

import socket

import pytest

from dataplane.network import routes, rtnetlink


def test_answers_that_were_lost_spoil_no_later_question() -> None:
    kernel = rtnetlink.RtnetlinkSocket()
    here = routes._question(socket.inet_aton("127.0.0.1"))
    bad = rtnetlink.Request(here.kind, 0, bytes((255,)) + here.body[1:])
    assert [bool(answer.error) for answer in kernel.ask([here, bad])] == [False, True]
    assert kernel._socket is not None
    kernel._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with pytest.raises(OSError, match="No buffer space"):
        kernel.ask([here] * 200)
    assert [bool(answer.error) for answer in kernel.ask([bad, here, here])] == [True, False, False]
    with pytest.raises(BlockingIOError):  # and nobody waits for an answer that does not come
        kernel.ask([here, rtnetlink.Request(here.kind, 0, b"")])
    assert not kernel.ask([here])[0].error
    kernel.close()
