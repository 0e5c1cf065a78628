"""Tables that change while a worker decides as fast as it can: no frame is lost, none goes where no server ever was."""

from __future__ import annotations

import ctypes
import random
import subprocess
import time
from ctypes import c_char_p, c_int, c_uint32, c_uint64, c_void_p
from pathlib import Path
from threading import Thread

from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding import maglev
from dataplane.forwarding.values import TRANSITION, UDP, Interface, Pool, Service, ServiceKey, Target, Vip
from dataplane.native.decision.maps import SharedMaps
from dataplane.native.decision.worker import DROPPED, HOSTS, SENT, SLOW, Worker
from tests.packets.cases import frame, udp
from tests.packets.world import VIP, ip, mac

from .decider import LOOPBACK

SECONDS = 1.5
SLOTS, SERVERS, FLOWS = 251, range(0x10, 0x40), 500
OWN = Interface(LOOPBACK, "lo", mac(1), 1500)
KEY = ServiceKey(ip(VIP), UDP, 53, 53)


class Calls(ctypes.Structure):
    """struct calls of hammer.c."""

    _fields_ = (("decide", c_void_p), ("worker_online", c_void_p), ("worker_offline", c_void_p))


def pool(rnd: random.Random) -> Pool:
    """Some of the servers, all up, each reached by a MAC address that ends with its number; half of the slots in
    transition, or none."""
    numbers = sorted(rnd.sample(SERVERS, rnd.randrange(1, 20)))
    targets = tuple(Target(bytes((10, 0, 0, n)), True, mac(n), LOOPBACK) for n in numbers)
    table = maglev.build_table([(target.address, 1) for target in targets], SLOTS, 1)
    made = Pool("pool", 1, table, targets)
    if rnd.random() < 0.5:
        return made
    return Pool("pool", 1, table, targets, phases=bytes(rnd.choices((0, TRANSITION), k=SLOTS)), fallback=table)


def test_no_frame_is_lost_while_tables_change(tmp_path: Path) -> None:
    subprocess.run(
        ["clang", "-O2", "-fPIC", "-shared", Path(__file__).with_name("hammer.c"), "-o", tmp_path / "hammer.so"],
        check=True,
    )
    maps = SharedMaps(flows=1 << 12)
    worker, tables, rnd = Worker(maps), MapTables(maps), random.Random(1)
    tables.put_interface(OWN)
    tables.put_pool(pool(rnd))
    tables.put_service(Service(KEY, "vs", "pool", True))
    tables.put_vip(Vip(ip(VIP), True, True))
    names = ("decide", "worker_online", "worker_offline")
    calls = Calls(*(ctypes.cast(getattr(maps.library, name), c_void_p).value for name in names))
    sent, verdicts, ending = (c_uint64 * 256)(), (c_uint64 * 4)(), c_int(0)
    frames = [frame(udp(53, sport=1000 + n), dst=OWN.mac) for n in range(FLOWS)]
    hammer = ctypes.CDLL(str(tmp_path / "hammer.so")).hammer
    hammer.argtypes = (c_void_p, c_void_p, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p, c_void_p, c_void_p)
    thread = Thread(
        target=hammer,
        args=(
            ctypes.addressof(calls), worker.begun, b"".join(frames), FLOWS, len(frames[0]), LOOPBACK,
            ctypes.addressof(sent), ctypes.addressof(verdicts), ctypes.addressof(ending),
        ),
    )  # fmt: skip
    thread.start()
    try:
        changes, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            tables.put_pool(pool(rnd))
            changes += 1
    finally:
        ending.value = 1
        thread.join()
        worker.end()
    counted = tables.counters().services[KEY].packets
    tables.close()
    maps.close()
    assert changes > 100
    assert verdicts[SENT] == counted > 100_000
    assert (verdicts[HOSTS], verdicts[DROPPED], verdicts[SLOW]) == (0, 0, 0)
    assert {number for number, times in enumerate(sent) if times} <= set(SERVERS)
