"""Random worlds and frames through the XDP program and the reference: every verdict, byte and counter must be equal.

python -m tests.xdp.fuzz [--frames N] [--seconds S] [--seed X]
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import time
from array import array
from dataclasses import dataclass, replace

from dataplane import decision, hashing
from dataplane.forwarding import TCP, UDP, Counters, Interface, Pool, Service, ServiceKey, Target, Vip
from tests.packets.world import World

from .decider import LOOPBACK, KernelDecider, difference, expected

FRAMES_A_WORLD = 2000
BATCH = 200
"""Frames between two looks at the counters, and between two changes of the world."""


class Mismatch(Exception):
    """The two disagree; the text says on what."""


@dataclass
class Fuzz:
    """One seeded run. The program is loaded once; a world replaces the other as one plan replaces another."""

    seed: int
    frames: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.decider = KernelDecider()

    def close(self) -> None:
        self.decider.close()

    def run(self, frames: int, seconds: float) -> None:
        """Raises Mismatch."""
        until = time.monotonic() + seconds
        while self.frames < frames and time.monotonic() < until:
            self._world()

    def _world(self) -> None:
        world = random_world(self.random)
        values = decision.Values()
        world.put(values)
        self.decider.readopt()
        world.put(self.decider.tables)
        self.decider.tables.prune()
        for _ in range(FRAMES_A_WORLD // BATCH):
            self._batch(world, values)
            world = self._change(world, values)

    def _batch(self, world: World, values: decision.Values) -> None:
        interface = values.interfaces[LOOPBACK]
        want, before = Counters(), self.decider.tables.counters()
        for _ in range(BATCH):
            frame = random_frame(self.random, world)
            verdict = decision.decide(frame, interface, values)
            ran = self.decider.run(frame)
            if ran != expected(verdict, interface):
                raise Mismatch(f"seed {self.seed}, {frame.hex()}\nreference: {verdict}\nprogram:   {ran}\n{world}")
            decision.count(verdict, want)
            self.frames += 1
        counted = difference(self.decider.tables.counters(), before)
        if counted != want:
            raise Mismatch(f"seed {self.seed}: counters\nreference: {want}\nprogram:   {counted}\n{world}")

    def _change(self, world: World, values: decision.Values) -> World:
        """One value becomes another, or is taken away and comes back."""
        both = values, self.decider.tables
        choice = self.random.randrange(7)
        if choice == 0:
            pool = self.random.choice(world.pools)
            changed = random_pool(self.random, pool.uuid)
            for tables in both:
                tables.put_pool(changed)
            return replace(world, pools=tuple(changed if p is pool else p for p in world.pools))
        if choice == 1:
            vip = self.random.choice(world.vips)
            flipped = Vip(vip.address, not vip.up, self.random.random() < 0.5)
            for tables in both:
                tables.put_vip(flipped)
            return replace(world, vips=tuple(flipped if v is vip else v for v in world.vips))
        if choice == 2:
            interface = self.random.choice(world.interfaces)
            changed_interface = replace(
                interface, mtu=self.random.choice((576, 1400, 1500)), mac=random_mac(self.random)
            )
            for tables in both:
                tables.put_interface(changed_interface)
            rest = tuple(changed_interface if i is interface else i for i in world.interfaces)
            return replace(world, interfaces=rest)
        if choice == 3 and len(world.services) > 1:
            gone = self.random.choice(world.services)
            for tables in both:
                tables.remove_service(gone.key)
            return replace(world, services=tuple(s for s in world.services if s is not gone))
        if choice == 4:
            service = self.random.choice(world.services)
            pool = self.random.choice(world.pools).uuid
            changed_service = replace(service, by_port=not service.by_port, pool=pool)
            for tables in both:
                tables.put_service(changed_service)
            return replace(world, services=tuple(changed_service if s is service else s for s in world.services))
        if choice == 5:
            addresses = frozenset(random_address(self.random) for _ in range(3))
            for tables in both:
                tables.put_addresses(addresses)
            return replace(world, addresses=addresses)
        self.decider.readopt()
        return world


def random_address(rnd: random.Random) -> bytes:
    """Mostly of a small set, so that roles meet."""
    if rnd.random() < 0.9:
        return bytes((10, 0, rnd.randrange(2), rnd.randrange(1, 20)))
    return rnd.randbytes(4)


def random_mac(rnd: random.Random) -> bytes:
    return bytes((2, 0, 0, 0, rnd.randrange(2), rnd.randrange(12)))


def random_pool(rnd: random.Random, uuid: str) -> Pool:
    addresses = {random_address(rnd) for _ in range(rnd.choice((0, 1, 1, 2, 2, 3, 3, 5, 8)))}
    targets = tuple(
        Target(
            address,
            rnd.random() < 0.9,
            random_mac(rnd) if rnd.random() < 0.95 else None,
            rnd.choice((1, 1, 1, 2, 3, 9)) if rnd.random() < 0.95 else None,
        )
        for address in sorted(addresses)
    )
    slots, seed = rnd.choice((13, 31, 251, 1021)), rnd.getrandbits(32)
    up = [i for i, t in enumerate(targets) if t.up]
    owners = hashing.build_table([(targets[i].address, rnd.randrange(1, 4)) for i in up], slots, seed)
    table = array("H", [o if o == hashing.NO_SERVER else up[o] for o in owners])
    return Pool(uuid, seed, table, targets)


def random_world(rnd: random.Random) -> World:
    indices = (LOOPBACK, 2, 3)
    interfaces = tuple(Interface(i, f"eth{i}", random_mac(rnd), rnd.choice((576, 1280, 1500))) for i in indices)
    vips = {random_address(rnd): None for _ in range(rnd.randrange(1, 6))}
    pools = tuple(random_pool(rnd, f"pool-{n}") for n in range(rnd.randrange(1, 5)))
    services = []
    for vip in vips:
        for protocol in (TCP, UDP):
            port = 0
            for _ in range(rnd.randrange(4)):
                port += rnd.choice((1, 1, 5, 50))
                end = port + rnd.choice((0, 0, 1, 7, 100))
                key = ServiceKey(vip, protocol, port, end)
                pool = f"pool-{rnd.randrange(len(pools))}" if rnd.random() < 0.95 else "not there"
                services.append(Service(key, "vs", pool, rnd.random() < 0.5, rnd.random() < 0.1))
                port = end
    services = services or [Service(ServiceKey(min(vips), TCP, 80, 80), "vs", "pool-0", True)]
    addresses = frozenset(random_address(rnd) for _ in range(3))
    states = tuple(Vip(address, rnd.random() < 0.9, rnd.random() < 0.8) for address in vips)
    return World(interfaces, addresses, pools, tuple(services), states)


def random_frame(rnd: random.Random, world: World) -> bytes:
    """Mostly almost right, so that every step is reached."""
    kind = rnd.random()
    body = _arp(rnd, world) if kind < 0.08 else _ip(rnd, world) if kind < 0.98 else rnd.randbytes(rnd.randrange(100))
    ether = b"\x08\x06" if kind < 0.08 else b"\x08\x00"
    dst = world.interfaces[0].mac if rnd.random() < 0.93 else rnd.choice((b"\xff" * 6, random_mac(rnd)))
    if kind < 0.08 and rnd.random() < 0.7:
        dst = b"\xff" * 6
    tag = b""
    if rnd.random() < 0.15:
        tag = rnd.choice((b"\x81\x00",) * 6 + (b"\x88\xa8",)) + rnd.randbytes(2)
        if rnd.random() < 0.1:
            tag += b"\x81\x00" + rnd.randbytes(2)
    frame = bytearray(dst + random_mac(rnd) + tag + ether + body)
    if rnd.random() < 0.2:
        frame += rnd.randbytes(rnd.choice((1, 2, 6, 40)))
    if rnd.random() < 0.06:
        del frame[rnd.randrange(14, len(frame) + 1) :]
    if rnd.random() < 0.06 and len(frame) > 14:
        for _ in range(rnd.randrange(1, 4)):
            frame[rnd.randrange(len(frame))] = rnd.getrandbits(8)
    return bytes(frame.ljust(14, b"\0"))


def _arp(rnd: random.Random, world: World) -> bytes:
    sender, target = random_address(rnd), rnd.choice(world.vips).address if rnd.random() < 0.8 else random_address(rnd)
    operation = b"\x00\x01" if rnd.random() < 0.9 else b"\x00\x02"
    sender = target if rnd.random() < 0.1 else sender
    return b"\x00\x01\x08\x00\x06\x04" + operation + random_mac(rnd) + sender + rnd.randbytes(6) + target


def _ip(rnd: random.Random, world: World) -> bytes:
    service = rnd.choice(world.services).key
    destination = service.vip if rnd.random() < 0.95 else random_address(rnd)
    source = random_address(rnd) if rnd.random() < 0.5 else b"\xc0\0\2" + rnd.randbytes(1)
    if rnd.random() < 0.05:
        source = rnd.choice((b"\0" * 4, b"\xff" * 4, b"\x7f\0\0\1", rnd.randbytes(4)))
    protocol = service.protocol if rnd.random() < 0.93 else rnd.choice((1, TCP, UDP, 47, rnd.randrange(256)))
    port = rnd.randint(service.port, service.port_end) if rnd.random() < 0.9 else rnd.randrange(200)
    data = rnd.randbytes(rnd.choice((0, 0, 5, 18, 500, 536, 556, 1240, 1460, 1461)))
    if protocol == TCP:
        offset = rnd.choice((5,) * 12 + (6, 8, 4, 15))
        layer4 = struct.pack("!HHIIBBHHH", rnd.randrange(65536), port, 1, 2, offset << 4, 2, 100, 0, 0) + data
    elif protocol == UDP:
        length = 8 + len(data) + (rnd.randrange(-9, 3) if rnd.random() < 0.1 else 0)
        layer4 = struct.pack("!HHHH", rnd.randrange(65536), port, max(0, length), 0) + data
    else:
        layer4 = rnd.randbytes(rnd.choice((0, 7, 8, 30)))
    options = rnd.randbytes(4 * rnd.choice((0,) * 9 + (1, 2, 5, 10)))
    fragment = rnd.choice((0,) * 40 + (0x4000, 0x8000, 0x2000, 0x2001, 0x0001, 0x1FFF))
    size = 20 + len(options)
    total = size + len(layer4) + (rnd.choice((-1, 1, -20, -30, 100)) if rnd.random() < 0.05 else 0)
    first = 0x40 | size // 4 if rnd.random() < 0.97 else rnd.getrandbits(8)
    start = struct.pack("!BBHHHBBH4s4s", first, 0, max(0, total), 7, fragment, 64, protocol, 0, source, destination)
    header = bytearray(start + options)
    words = sum(struct.unpack(f"!{len(header) // 2}H", header))
    words = (words & 0xFFFF) + (words >> 16)
    words = (words & 0xFFFF) + (words >> 16)
    struct.pack_into("!H", header, 10, ~words & 0xFFFF if rnd.random() < 0.97 else rnd.getrandbits(16))
    return bytes(header) + layer4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.xdp.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"seed {seed}", flush=True)
    fuzz = Fuzz(seed)
    started = time.monotonic()
    try:
        fuzz.run(options.frames, options.seconds)
    except Mismatch as exc:
        print(exc, file=sys.stderr)
        return 1
    finally:
        fuzz.close()
    print(f"{fuzz.frames} frames agree, in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
