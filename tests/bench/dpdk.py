"""How fast the DPDK driver is: beside testpmd on the same devices, and without any device's cost beside a loop that
only exchanges MAC addresses, in a second of its own processor time.
"""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from dataplane.drivers.dpdk import ports, program
from dataplane.drivers.dpdk.driver import DpdkDriver
from dataplane.drivers.dpdk.process import Forwarder, Port
from dataplane.drivers.dpdk.program import Options
from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding.devices import AF_PACKET, Device
from dataplane.forwarding.values import Interface
from dataplane.native.decision.maps import SharedMaps
from dataplane.plan import L2, L3_IPIP

from . import rates, wire
from .alternatives import PASS
from .measure import Effort, Samples, Unmeasurable, interleaved
from .pcap import GENERATOR, WORKER, on_processor
from .wire import Wire

FLOWS = 1000
SECONDS = 0.8
"""Of one repetition in a full run."""
READY = 30.0
_MAC = bytes.fromhex("020000000001")
_PCAP = struct.Struct("=IHHiIII")
_FRAME = struct.Struct("=IIII")


def on_packet_sockets(effort: Effort) -> Iterator[Samples]:
    """Lines "L2" and "L3": the driver on net_af_packet beside testpmd's forwarding of MAC addresses on the same. Raises
    Unmeasurable where DPDK is not built, or on one processor."""
    _needs()
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
                effort.rounds, testpmd=rate(testpmd), l2=rate(lambda on: driver(on, L2)),
                l3=rate(lambda on: driver(on, L3_IPIP)),
            )  # fmt: skip
    for name, key in (("L2", "l2"), ("L3", "l3")):
        yield Samples(
            name, "Mpps", found[key], found["testpmd"], "testpmd's forwarding of MAC addresses on the same devices",
            f"net_af_packet, 64-byte frames, {FLOWS:,} flows",
        )  # fmt: skip


def in_memory(effort: Effort) -> Iterator[Samples]:
    """Lines "L2" and "L3": frames of a capture, received from memory and let go as they are sent, beside the same loop
    that exchanges MAC addresses."""
    _needs()
    seconds = max(0.05, SECONDS * effort.scale)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        capture = folder / "in.pcap"
        _write(capture)
        loops = {
            name: stack.enter_context(_looping(folder / name, mode))
            for name, mode in (("exchange", ""), ("l2", L2), ("l3", L3_IPIP))
        }
        found = interleaved(
            effort.rounds,
            exchange=lambda: _pace(loops["exchange"], capture, seconds),
            l2=lambda: _pace(loops["l2"], capture, seconds),
            l3=lambda: _pace(loops["l3"], capture, seconds),
        )
    for name, key in (("L2", "l2"), ("L3", "l3")):
        yield Samples(
            name, "Mpps", found[key], found["exchange"], "the same loop that only exchanges MAC addresses",
            f"net_pcap, 64-byte frames, {FLOWS:,} flows; received in a second of the process's processor time",
        )  # fmt: skip


@contextmanager
def driver(on: Wire, mode: str) -> Iterator[None]:
    """The driver, its forwarder on the worker's processor."""
    devices = {one.name: Device(AF_PACKET, one.name, one.name) for one in (on.first, on.second)}

    def start() -> DpdkDriver:
        with on_processor(WORKER):
            made = DpdkDriver(f"bench-{os.getpid()}", None, devices)
        for interface in (on.first, on.second):
            made.put_interface(interface)
        made.put_addresses(frozenset((rates.OWN,)))
        rates.put(made, rates.pool(mode, on.second.index), rates.service(0))
        return made

    running = on.balancer.run(start)
    try:
        yield
    finally:
        on.balancer.run(lambda: running.close(keep=False))


@contextmanager
def testpmd(on: Wire) -> Iterator[None]:
    """testpmd on the same devices, on the worker's processor."""
    command = ["dpdk-testpmd", "--no-huge", "--no-shconf", "-m", "512", "--no-pci", "--no-telemetry"]
    command += ["--file-prefix", f"bench-{os.getpid()}", "--lcores", f"(0-1)@({WORKER})"]
    for number, one in enumerate((on.first, on.second)):
        device = ports.port(one, Device(AF_PACKET, one.name, one.name), 1, ports.LEAST_FRAME)
        command += ["--vdev", f"net_af_packet{number},iface={one.name},{device.more}"]
    peer = rates.server_mac(0).hex(":")
    command += ["--", "--forward-mode=mac", "--auto-start", "--no-lsc-interrupt", "--total-num-mbufs=32768"]
    command += [f"--eth-peer=0,{peer}", f"--eth-peer=1,{peer}"]
    with subprocess.Popen(
        ["nsenter", f"--net={on.balancer.path}", *command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        said = []
        for line in running.stdout:
            said.append(line)
            if "Press enter to exit" in line or "mac packet forwarding" in line:
                break
        if running.poll() is not None:
            raise Unmeasurable(f"testpmd does not start: {''.join(said[-3:])}")
        try:
            yield
        finally:
            running.communicate("\n", timeout=20)


@contextmanager
def _looping(folder: Path, mode: str) -> Iterator[Forwarder]:
    """A forwarder that receives a capture again and again. mode: of the pool; "": it exchanges MAC addresses."""
    folder.mkdir()
    with ExitStack() as stack:
        interface = Interface(1, "memory", _MAC, 1500)
        if mode:
            maps = SharedMaps(folder)
            stack.callback(maps.close)
            tables = MapTables(maps)
            stack.callback(tables.close)
            tables.put_interface(interface)
            tables.put_addresses(frozenset((rates.OWN,)))
            rates.put(tables, rates.pool(mode, interface.index), rates.service(0))
        options = Options(f"bench-{os.getpid()}-{folder.name}", decides=bool(mode))
        with on_processor(WORKER):
            made = Forwarder(folder, options, lambda frame: None, lambda index, up: None)
        stack.callback(lambda: made.close(keep=False))
        yield made


def _pace(loop: Forwarder, capture: Path, seconds: float) -> float:
    """Mpps while it receives: a port is there only meanwhile, so that others have the processor."""
    loop.add(Port(1, "memory", "net_pcap1", more=f"rx_pcap={capture},infinite_rx=1"))
    try:
        before, started = _received(loop), _worked(loop)
        time.sleep(seconds)
        return (_received(loop) - before) / (_worked(loop) - started) / 1e6
    finally:
        loop.remove(1)


def _received(loop: Forwarder) -> int:
    return int(loop.statistics()["ports"][0]["received"])


def _worked(loop: Forwarder) -> float:
    """Seconds that its threads have had of their processors (schedstat, Documentation/scheduler/sched-stats.rst)."""
    threads = Path(f"/proc/{loop.process}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9


def _write(capture: Path) -> None:
    """A capture of one frame of every flow."""
    first = wire.frame(_MAC)
    with capture.open("wb") as out:
        out.write(_PCAP.pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for flow in range(FLOWS):
            frame = first[:34] + (1024 + flow).to_bytes(2, "big") + first[36:]
            out.write(_FRAME.pack(0, 0, len(frame), len(frame)) + frame)


def _needs() -> None:
    if missing := program.missing():
        raise Unmeasurable(f"{missing.what}: {missing.remedy}")
    if len(os.sched_getaffinity(0)) < 2:
        raise Unmeasurable("generator and forwarder need a processor each")
