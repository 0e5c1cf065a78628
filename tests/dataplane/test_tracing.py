"""Links at tracepoints: held while they are wanted, told to the registry, attached again where one is none any more."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator

import pytest

from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.drivers.xdp.losses import PROGRAMS, Losses
from dataplane.drivers.xdp.tracing import TracingLinks
from dataplane.forwarding.program import LOSSES
from dataplane.kernel.objects import TRACE, KernelObject

pytestmark = pytest.mark.root

ONE = KernelObject(TRACE, "exception")


@pytest.fixture
def program() -> Iterator[Program]:
    with Object(LOSSES) as loaded:
        loaded.load()
        with loaded.program(ONE.name) as found:
            yield found


def test_a_link_that_is_none_any_more_is_attached_again(program: Program) -> None:
    links = TracingLinks()
    links.attach(ONE.name, program)
    assert (links.objects(), links.missing()) == ([ONE], [])
    _, link = links._held[ONE.name]
    detached = subprocess.run(["bpftool", "link", "detach", "id", str(link.id)], capture_output=True, check=False)
    assert detached.returncode != 0
    assert links.missing() == [], "the kernel lets nobody detach it"
    os.close(link.fd)
    link.fd = os.open("/dev/null", os.O_RDONLY)
    assert links.missing() == [ONE]
    assert asyncio.run(links.restore([ONE])) == {ONE: ""}
    assert links.missing() == []
    links.detach(ONE.name)
    assert (links.objects(), links.missing()) == ([], [])


def test_the_programs_that_count_losses_are_listed_while_they_count() -> None:
    links = TracingLinks()
    losses = Losses(links)
    assert {one.name for one in links.objects()} == set(PROGRAMS)
    losses.close()
    assert links.objects() == []
