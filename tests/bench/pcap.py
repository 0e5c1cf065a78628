"""How fast the pcap driver is, from the wire of `tests.bench.wire` into a bridge without ports.

The driver, forwarding 64-byte frames of 1,000 UDP flows by layer 2 and by layer 3 with every step on and all slots
stable, beside a loop in C on the same packet sockets that sends each frame as it came, and beside the driver where
Python moves the frames, as it did before there was a loop in C. One core generates more than any can take; the driver's
thread, or the loop's, has the other. What leaves in a second of that thread's time on its processor is the rate:
whatever else runs there takes nothing from it.

Frames leave by a bridge that has nowhere to send them: it counts each one and lets it go. A veth would do the next
machine's receiving in the sender's time, a third of all that the loop in C has, which no card does.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from ctypes import byref, c_int, c_uint32, c_void_p
from threading import Thread

from dataplane.drivers.pcap import driver as pcap
from dataplane.drivers.pcap.packetsocket import RING, PacketSocket
from dataplane.forwarding.values import Interface, Pool
from dataplane.native import library
from dataplane.plan import L2, L3_IPIP

from . import rates, wire
from .alternatives import PASS
from .cloops import built
from .measure import Effort, Samples, Unmeasurable, interleaved
from .wire import Wire

FLOWS = 1000
SECONDS = 0.8
"""Of one repetition in a full run."""
GENERATOR, WORKER = 0, 1
"""The processors."""


def forwarding(effort: Effort) -> Iterator[Samples]:
    """Lines "L2" and "L3" (IP-in-IP): the driver's rate against the copying loop's; "L2 against Python": against the
    same driver where Python moves the frames; "transition": all slots in transition, against none. All of them measured
    in the same rounds.

    Raises Unmeasurable on a machine of one processor.
    """
    if len(os.sched_getaffinity(0)) < 2:
        raise Unmeasurable("generator and driver need a processor each")
    seconds = max(0.05, SECONDS * effort.scale)
    with ExitStack() as held:
        loops, on = held.enter_context(built("copyloop.c")), held.enter_context(wire.wire())
        pass_on = held.enter_context(held.enter_context(wire.built(PASS)).program("pass_on"))
        out = egress(on)
        on.traffic.send(wire.frame(on.first.mac), flows=FLOWS)

        def rate(worker: Callable[[], AbstractContextManager[Thread]]) -> Callable[[], float]:
            def measure() -> float:
                with worker() as thread:
                    on.offer(0.1, GENERATOR)
                    before, started, until = left(on, out), processor_time(thread), time.monotonic() + 20
                    on.offer(seconds, GENERATOR)
                    while (frames := left(on, out) - before) == 0 and time.monotonic() < until:
                        on.offer(seconds, GENERATOR)
                    return frames / (processor_time(thread) - started) / 1e6

            return measure

        stable, tunnelled = (rates.pool(mode, out.index) for mode in (L2, L3_IPIP))
        with on.balancer.run(lambda: wire.attach(on.balancer, on.first.name, pass_on)):
            found = interleaved(
                effort.rounds,
                copy=rate(lambda: copying(on, out, loops)),
                l2=rate(lambda: driver(on, out, stable)),
                l3=rate(lambda: driver(on, out, tunnelled)),
                moving=rate(lambda: driver(on, out, rates.moving(stable, 1))),
                python=rate(lambda: driver(on, out, stable, native=False)),
            )
    note = f"64-byte frames, {FLOWS:,} flows; frames that left in a second of the thread's processor time"
    yield Samples("L2", "Mpps", found["l2"], found["copy"], "C on the same packet sockets that only copies", note)
    yield Samples("L3", "Mpps", found["l3"], found["copy"], "C on the same packet sockets that only copies", note)
    yield Samples("transition", "Mpps", found["moving"], found["l2"], "stable", note)
    yield Samples("L2 against Python", "Mpps", found["l2"], found["python"], "the driver in Python", note)


def egress(on: Wire) -> Interface:
    """A bridge without ports, beside the balancer's interfaces."""
    on.balancer.sh("ip link add out type bridge mcast_snooping 0; ip link set out up")
    index, mac = on.balancer.link("out")
    return Interface(index, "out", mac, 1500)


def left(on: Wire, out: Interface) -> int:
    """Frames that left by it."""
    (told,) = json.loads(on.balancer.sh(f"ip -s -j link show dev {out.name}"))
    return int(told["stats64"]["tx"]["packets"])


@contextmanager
def driver(on: Wire, out: Interface, value: Pool, *, native: bool = True) -> Iterator[Thread]:
    """The pcap driver, its thread on the worker's processor."""
    with on_processor(WORKER):
        running = on.balancer.run(lambda: pcap.PcapDriver(f"bench-{os.getpid()}", native=native))

    def fill() -> None:
        for interface in (on.first, out):
            running.put_interface(interface)
        running.put_addresses(frozenset((rates.OWN,)))
        rates.put(running, value, rates.service(0))

    try:
        on.balancer.run(fill)
        yield running._worker._thread
    finally:
        on.balancer.run(lambda: running.close(keep=False))


@contextmanager
def copying(on: Wire, out: Interface, loops: ctypes.CDLL) -> Iterator[Thread]:
    """The loop to compare with, on the worker's processor."""
    ending = c_int(0)
    source, target = on.balancer.run(lambda: [PacketSocket(interface) for interface in (on.first, out)])
    arguments = (
        c_int(source.fileno()), c_void_p(library.address(source.ring)), c_uint32(RING), c_uint32(source.slot),
        c_int(target.fileno()), byref(ending),
    )  # fmt: skip
    with on_processor(WORKER):
        thread = Thread(target=loops.copy, args=arguments)
        thread.start()
    try:
        yield thread
    finally:
        ending.value = 1
        thread.join()
        source.close()
        target.close()


def processor_time(thread: Thread) -> float:
    """Seconds that a thread has had of its processor."""
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


@contextmanager
def on_processor(number: int) -> Iterator[None]:
    """This thread, and the threads it starts meanwhile, run on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
