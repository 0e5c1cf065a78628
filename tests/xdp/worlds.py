"""Random worlds: few addresses, so that roles meet; every mode, phase and state of a server."""

from __future__ import annotations

import random
from array import array
from dataclasses import replace

from dataplane.forwarding import maglev
from dataplane.forwarding.maglev import NO_SERVER
from dataplane.forwarding.values import (
    STABLE,
    TCP,
    TRACKED,
    TRANSITION,
    UDP,
    Interface,
    Pool,
    Service,
    ServiceKey,
    Target,
    Vip,
)
from dataplane.plan import L2, L3_GRE, L3_IPIP
from tests.packets.world import World

from .decider import LOOPBACK

OWN = bytes((10, 0, 9, 1))


def random_address(rnd: random.Random) -> bytes:
    """Mostly of a small set."""
    if rnd.random() < 0.9:
        return bytes((10, 0, rnd.randrange(2), rnd.randrange(1, 20)))
    return rnd.randbytes(4)


def random_mac(rnd: random.Random) -> bytes:
    return bytes((2, 0, 0, 0, rnd.randrange(2), rnd.randrange(12)))


def random_target(rnd: random.Random, address: bytes) -> Target:
    return Target(
        address,
        rnd.random() < 0.9,
        random_mac(rnd) if rnd.random() < 0.97 else None,
        rnd.choice((LOOPBACK,) * 12 + (2, 2, 3, 9)) if rnd.random() < 0.97 else None,
        OWN,
        rnd.random() < 0.8,
        rnd.choice((0, 0, 1, 77)),
        rnd.choice((0, 0, 0, 0, 86, 576, 1000, 1400, 9000)),
    )


def random_table(rnd: random.Random, targets: tuple[Target, ...], slots: int) -> array[int]:
    """Shared out among the targets that are up."""
    up = [i for i, t in enumerate(targets) if t.up]
    owners = maglev.build_table([(targets[i].address, rnd.randrange(1, 4)) for i in up], slots, rnd.randrange(5))
    return array("H", [o if o == NO_SERVER else up[o] for o in owners])


def random_phases(rnd: random.Random, pool: Pool) -> Pool:
    """The pool with slots in every phase, or with all stable."""
    if rnd.random() < 0.3:
        return replace(pool, phases=b"", fallback=array("H"))
    weights = rnd.choice(((1, 1, 1), (8, 1, 1), (0, 1, 0), (0, 0, 1)))
    phases = bytes(rnd.choices((STABLE, TRANSITION, TRACKED), weights, k=pool.slots))
    if not any(phases):
        return replace(pool, phases=b"", fallback=array("H"))
    members = [*range(len(pool.targets))] * 3 + [NO_SERVER]
    return replace(pool, phases=phases, fallback=array("H", rnd.choices(members, k=pool.slots)))


def random_pool(rnd: random.Random, uuid: str) -> Pool:
    addresses = {random_address(rnd) for _ in range(rnd.choice((0, 1, 2, 2, 3, 3, 5, 8, 8)))}
    targets = tuple(random_target(rnd, address) for address in sorted(addresses))
    slots, seed = rnd.choice((13, 31, 251, 1021)), rnd.getrandbits(32)
    pool = Pool(uuid, seed, random_table(rnd, targets, slots), targets, rnd.choice((L2, L2, L3_IPIP, L3_GRE)))
    return random_phases(rnd, pool)


def changed_pool(rnd: random.Random, pool: Pool) -> Pool:
    """The pool after a change that a running one can see: servers come, go, change; slots change owner and phase."""
    targets = [
        replace(
            random_target(rnd, target.address),
            mac=target.mac,
            interface=target.interface,
            generation=target.generation + (rnd.random() < 0.2),
        )
        for target in pool.targets
        if rnd.random() < 0.85
    ]
    if rnd.random() < 0.5:
        targets.append(random_target(rnd, random_address(rnd)))
    members = tuple({target.address: target for target in sorted(targets, key=lambda t: t.address)}.values())
    return random_phases(rnd, replace(pool, targets=members, table=random_table(rnd, members, pool.slots)))


def random_world(rnd: random.Random) -> World:
    indices = (LOOPBACK, 2, 3)
    interfaces = tuple(Interface(i, f"eth{i}", random_mac(rnd), rnd.choice((576, 1280, 1500, 9000))) for i in indices)
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
                pool = f"pool-{rnd.randrange(len(pools) * 8 + 1) % (len(pools) + 1)}"  # the last is not there
                services.append(random_service(rnd, key, pool))
                port = end
    services = services or [random_service(rnd, ServiceKey(min(vips), TCP, 80, 80), "pool-0")]
    addresses = frozenset(random_address(rnd) for _ in range(3))
    states = tuple(Vip(address, rnd.random() < 0.95, rnd.random() < 0.8) for address in vips)
    return World(interfaces, addresses, pools, tuple(services), states)


def random_service(rnd: random.Random, key: ServiceKey, pool: str) -> Service:
    return Service(key, "vs", pool, rnd.random() < 0.5, rnd.random() < 0.1, rnd.choice((0, 60, 300)))
