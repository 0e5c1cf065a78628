"""An engine's writers of the native decision's maps, without an engine: `python -m tests.xdp.changer FOLDER SEED`.

It puts the services of `tests.packets.world`, says `ready`, and changes pools, services and VIPs until it is killed.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

from dataplane.drivers.maps.tables import MapTables
from dataplane.native.decision.maps import SharedMaps
from tests.packets.world import ETH0, WORLD

from .decider import received_on
from .worlds import changed_pool

FLOWS = 1 << 12


def main() -> None:
    rnd, world = random.Random(sys.argv[2]), received_on(WORLD, ETH0)
    tables = MapTables(SharedMaps(Path(sys.argv[1]), FLOWS))
    world.put(tables)
    print("ready", flush=True)
    while True:
        pool, service, vip = rnd.choice(world.pools), rnd.choice(world.services), rnd.choice(world.vips)
        tables.put_pool(changed_pool(rnd, pool))
        tables.put_vip(replace(vip, up=rnd.random() < 0.5))
        tables.remove_service(service.key)
        tables.put_service(service)


if __name__ == "__main__":
    main()
