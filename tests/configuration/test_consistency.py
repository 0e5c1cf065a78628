"""However a configuration came about, step by step or at once, it is accepted alike and planned alike."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import reference
from avi_shell.errors import ShellError
from dataplane import plan
from dataplane.plan import sqlite
from tests.examples import examples

from .addresses import address
from .conftest import Site, tcp_profile, udp_profile

HASH = "LB_ALGORITHM_CONSISTENT_HASH"
L2 = {"dsr_profile": {"dsr_type": "DSR_TYPE_L2"}}
PROFILES = [
    *[tcp_profile(dsr_type="DSR_TYPE_L2")] * 3,
    *[udp_profile()] * 3,
    udp_profile(per_pkt_loadbalance=True),
    {"tcp_fast_path_profile": {}},
    {"tcp_fast_path_profile": {"enable_syn_protection": True, **L2}},
]


def of(letter: str, random: Random) -> str:
    return f"{letter}{random.randint(1, 3)}"


def change_profile(site: Site, random: Random) -> None:
    site.save("networkprofile", name=of("n", random), profile=random.choice(PROFILES))


def change_pool(site: Site, random: Random) -> None:
    lasts = random.sample(range(1, 12), random.randint(0, 4))
    servers = [{"ip": address(f"10.0.0.{last}"), "port": 80, "enabled": random.random() < 0.8} for last in lasts]
    algorithm = random.choice([HASH, HASH, HASH, "LB_ALGORITHM_ROUND_ROBIN"])
    site.save("pool", name=of("p", random), servers=servers, lb_algorithm=algorithm, enabled=random.random() < 0.8)


def change_vip(site: Site, random: Random) -> None:
    lasts = random.sample(range(8, 20), random.choice([0, 1, 1, 2]))
    site.save("vsvip", name=of("v", random), vip=[{"ip_address": address(f"10.0.0.{last}")} for last in lasts])


def change_service(site: Site, random: Random) -> None:
    services = []
    for port in random.sample([80, 81, 85, 90], random.choice([0, 1, 1, 2])):
        service: dict[str, Any] = {"port": port, "port_range_end": port + random.choice([0, 0, 0, 4])}
        if random.random() < 0.3:
            service["override_network_profile_ref"] = reference("networkprofile", of("n", random))
        services.append(service)
    site.save(
        "virtualservice",
        name=of("s", random),
        network_profile_ref=reference("networkprofile", of("n", random)),
        pool_ref=random.choice([None, *[reference("pool", of("p", random))] * 5]),
        vsvip_ref=reference("vsvip", of("v", random)),
        services=services,
        enabled=random.random() < 0.8,
        traffic_enabled=random.random() < 0.9,
        application_profile_ref=reference("applicationprofile", "System-L4-Application"),
    )


def change_gateway(site: Site, random: Random) -> None:
    site.save("vrfcontext", name="global", gateway_mon=[{"gateway_ip": address(f"10.0.0.{random.randint(8, 20)}")}])


def change_cloud(site: Site, random: Random) -> None:
    site.save("cloud", name="Default-Cloud", vtype=random.choice(["CLOUD_AWS", "CLOUD_NONE", "CLOUD_NONE"]))


def rename(site: Site, random: Random) -> None:
    kind, letter = random.choice([("pool", "p"), ("vsvip", "v"), ("networkprofile", "n"), ("virtualservice", "s")])
    stored = site.configuration.find(kind, of(letter, random), "admin")
    if stored is not None:
        site.configuration.save(kind, {**stored, "name": of(letter, random)}, "admin")


def delete(site: Site, random: Random) -> None:
    kind, letter = random.choice([("pool", "p"), ("vsvip", "v"), ("virtualservice", "s"), ("virtualservice", "s")])
    site.configuration.delete(kind, of(letter, random), "admin")


STEPS: list[Callable[[Site, Random], None]] = [
    change_profile,
    change_pool,
    change_pool,
    change_vip,
    change_service,
    change_service,
    change_service,
    change_gateway,
    change_cloud,
    rename,
    delete,
]


def services_of(configuration: Configuration) -> dict[str, plan.Service]:
    """The plan without what tells its history."""
    with configuration.snapshot() as store:
        found = sqlite.read(store.connection).services
    return {
        key: replace(
            s, version=0, former=(), servers=tuple(replace(server, generation=0, serve_until=0) for server in s.servers)
        )
        for key, s in found.items()
        if s is not None
    }


def walk(seed: int) -> Counter[str]:
    """Take sixty random steps, then compare with the same configuration imported at once. Returns what became of
    the steps."""
    random, seen = Random(seed), Counter[str]()
    configuration = Configuration.in_memory()
    site = Site(configuration)
    for n in (1, 2, 3):
        site.save("networkprofile", name=f"n{n}", profile=tcp_profile(dsr_type="DSR_TYPE_L2"))
        site.save("pool", name=f"p{n}", lb_algorithm=HASH)
        site.save("vsvip", name=f"v{n}", vip=[{"ip_address": address(f"10.0.0.{20 + n}")}])
    before = transfer.dumps(transfer.export(configuration)), services_of(configuration)
    for _ in range(60):
        refused = ""
        try:
            random.choice(STEPS)(site, random)
        except ShellError as exc:
            refused = type(exc).__name__
        after = transfer.dumps(transfer.export(configuration)), services_of(configuration)
        assert not refused or after == before
        seen[refused or "stored"] += 1
        seen["planned"] += after[1] != before[1]
        before = after
    at_once = Configuration.in_memory()
    transfer.import_(at_once, transfer.export(configuration), keep_uuid=True)
    assert services_of(at_once) == services_of(configuration), seed
    return seen


def test_step_by_step_and_at_once_are_the_same() -> None:
    walks = examples(20)
    seen = sum((walk(seed) for seed in range(walks)), Counter[str]())
    for what, least in {"InvalidObject": 5, "Refused": 0.75, "stored": 17.5, "planned": 3.75}.items():
        assert seen[what] >= least * walks, seen  # else the comparison says little
