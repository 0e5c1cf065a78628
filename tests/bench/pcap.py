"""How fast the pcap driver is, on the wire of `tests.bench.wire`.

The driver, forwarding 64-byte frames of 1,000 UDP flows by layer 2 and by layer 3 with every step on and all slots
stable, beside a Python loop that receives on one raw packet socket and sends the same bytes out of another. One core
generates more than either can take; the driver's thread, or the loop's, has the other. What arrives at the sink in a
second is the rate.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from dataplane.drivers.pcap import driver as pcap
from dataplane.drivers.pcap import packetsocket
from dataplane.forwarding.values import Interface
from dataplane.plan import L2, L3_IPIP

from . import rates, wire
from .alternatives import PASS
from .measure import Effort, Samples, Unmeasurable, interleaved
from .wire import Wire

FLOWS = 1000
SECONDS = 0.8
"""Of one repetition in a full run."""
GENERATOR, WORKER = 0, 1
"""The processors."""
SO_RCVTIMEO = 20


def forwarding(effort: Effort) -> Iterator[Samples]:
    """Lines "L2" and "L3" (IP-in-IP): the driver's rate against the copying loop's, measured in the same rounds.

    Raises Unmeasurable on a machine of one processor.
    """
    if len(os.sched_getaffinity(0)) < 2:
        raise Unmeasurable("generator and driver need a processor each")
    seconds = max(0.05, SECONDS * effort.scale)
    with wire.wire() as on, wire.built(PASS) as passing, passing.program("pass_on") as pass_on:
        on.traffic.send(wire.frame(on.first.mac), flows=FLOWS)

        def rate(worker: Callable[[Wire], AbstractContextManager[None]]) -> Callable[[], float]:
            def measure() -> float:
                with worker(on):
                    on.offer(0.1, GENERATOR)
                    before, started = sum(on.arrived().values()), time.monotonic()
                    on.offer(seconds, GENERATOR)
                    took = time.monotonic() - started
                    return (sum(on.arrived().values()) - before) / took / 1e6

            return measure

        with on.balancer.run(lambda: wire.attach(on.balancer, on.first.name, pass_on)):
            found = interleaved(
                effort.rounds,
                copy=rate(copying),
                l2=rate(lambda on: driver(on, L2)),
                l3=rate(lambda on: driver(on, L3_IPIP)),
            )
    for name, key in (("L2", "l2"), ("L3", "l3")):
        yield Samples(
            name, "Mpps", found[key], found["copy"], "Python on raw packet sockets that only copies",
            f"64-byte frames, {FLOWS:,} flows; frames that arrived in a second of wall time",
        )  # fmt: skip


@contextmanager
def driver(on: Wire, mode: str) -> Iterator[None]:
    """The pcap driver, its thread on the worker's processor."""
    with on_processor(WORKER):
        running = on.balancer.run(lambda: pcap.PcapDriver(f"bench-{os.getpid()}"))

    def fill() -> None:
        for interface in (on.first, on.second):
            running.put_interface(interface)
        running.put_addresses(frozenset((rates.OWN,)))
        rates.put(running, rates.pool(mode, on.second.index), rates.service(0))

    try:
        on.balancer.run(fill)
        yield
    finally:
        on.balancer.run(lambda: running.close(keep=False))


@contextmanager
def copying(on: Wire) -> Iterator[None]:
    """The loop to compare with, on the worker's processor."""
    ending = threading.Event()
    sockets = on.balancer.run(lambda: [raw(interface) for interface in (on.first, on.second)])
    with on_processor(WORKER):
        thread = threading.Thread(target=copy, args=(*sockets, ending))
        thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        for one in sockets:
            one.close()


def raw(interface: Interface) -> socket.socket:
    """A raw packet socket of an interface, as a plain forwarder opens it."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(packetsocket.SOL_PACKET, packetsocket.PACKET_IGNORE_OUTGOING, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVTIMEO, struct.pack("@ll", 0, 50_000))
    made.bind((interface.name, packetsocket.ETH_P_ALL))
    return made


def copy(source: socket.socket, target: socket.socket, ending: threading.Event) -> None:
    """Receive and send, nothing else: two system calls a frame, no object made but the slice."""
    buffer = bytearray(2048)
    view = memoryview(buffer)
    receive, send = source.recv_into, target.send
    while True:
        try:
            while True:
                send(view[: receive(buffer)])
        except BlockingIOError:
            if ending.is_set():
                return


@contextmanager
def on_processor(number: int) -> Iterator[None]:
    """This thread, and the threads it starts meanwhile, run on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
