"""However a configuration came about, step by step or at once, it is accepted alike and planned alike."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avi_shell import exchange
from avi_shell.configuration import Configuration
from avi_shell.document import Document, address, reference
from avi_shell.errors import ShellError
from dataplane import plan

from .conftest import Site, tcp_profile, udp_profile

HASH = "LB_ALGORITHM_CONSISTENT_HASH"
few = st.integers(1, 3)
addresses = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]).map(address)
profiles = st.sampled_from(
    [
        tcp_profile(dsr_type="DSR_TYPE_L2"),
        udp_profile(),
        udp_profile(per_pkt_loadbalance=True),
        {"tcp_fast_path_profile": {}},
        {"tcp_fast_path_profile": {"enable_syn_protection": True, "dsr_profile": {"dsr_type": "DSR_TYPE_L2"}}},
    ]
)
ports = st.tuples(st.integers(80, 84), st.integers(0, 2)).map(lambda p: {"port": p[0], "port_range_end": sum(p)})
services = st.lists(
    st.tuples(ports, few, st.booleans()).map(
        lambda s: s[0] | ({"override_network_profile_ref": reference("networkprofile", f"n{s[1]}")} if s[2] else {})
    ),
    max_size=2,
)
servers = st.lists(
    st.tuples(addresses, st.booleans()).map(lambda s: {"ip": s[0], "port": 80, "enabled": s[1]}),
    max_size=3,
    unique_by=lambda server: server["ip"]["addr"],
)


def vs(name: int, profile: int, pool: int | None, vip: int, ports: list[Document], enabled: bool) -> Document:
    return {
        "name": f"s{name}",
        "network_profile_ref": reference("networkprofile", f"n{profile}"),
        "pool_ref": reference("pool", f"p{pool}") if pool else None,
        "vsvip_ref": reference("vsvip", f"v{vip}"),
        "services": ports,
        "enabled": enabled,
        "application_profile_ref": reference("applicationprofile", "System-L4-Application"),
    }


saves = st.one_of(
    st.tuples(st.just("networkprofile"), st.builds(lambda n, p: {"name": f"n{n}", "profile": p}, few, profiles)),
    st.tuples(
        st.just("pool"),
        st.builds(
            lambda n, s, a, on: {"name": f"p{n}", "servers": s, "lb_algorithm": a, "enabled": on},
            few,
            servers,
            st.sampled_from([HASH, HASH, "LB_ALGORITHM_ROUND_ROBIN"]),
            st.booleans(),
        ),
    ),
    st.tuples(
        st.just("vsvip"),
        st.builds(
            lambda n, a: {"name": f"v{n}", "vip": [{"ip_address": v} for v in a]}, few, st.lists(addresses, max_size=2)
        ),
    ),
    st.tuples(st.just("virtualservice"), st.builds(vs, few, few, st.none() | few, few, services, st.booleans())),
    st.tuples(
        st.just("vrfcontext"),
        st.builds(lambda a: {"name": "global", "gateway_mon": [{"gateway_ip": a}]}, addresses),
    ),
    st.tuples(st.just("cloud"), st.just({"name": "Default-Cloud", "vtype": "CLOUD_AWS"})),
)
deletes = st.tuples(
    st.just("delete"),
    st.sampled_from(
        [f"{kind} {letter}{n}" for kind, letter in (("virtualservice", "s"), ("pool", "p")) for n in (1, 2)]
    ),
)


def services_of(configuration: Configuration) -> dict[str, plan.Service]:
    """The plan without what tells its history."""
    with configuration.snapshot() as store:
        found = plan.read(store.connection).services
    return {
        key: replace(s, version=0, servers=tuple(replace(server, generation=0) for server in s.servers))
        for key, s in found.items()
        if s is not None
    }


@given(steps=st.lists(saves | saves | saves | deletes, min_size=5, max_size=40))
@settings(max_examples=120, suppress_health_check=list(HealthCheck), deadline=None)
def test_step_by_step_and_at_once_are_the_same(steps: list[tuple[str, Any]]) -> None:
    configuration = Configuration.in_memory()
    site = Site(configuration)
    for n in (1, 2, 3):
        site.save("networkprofile", name=f"n{n}", profile=tcp_profile(dsr_type="DSR_TYPE_L2"))
        site.save("pool", name=f"p{n}", lb_algorithm=HASH)
        site.save("vsvip", name=f"v{n}", vip=[{"ip_address": address(f"10.0.0.{n}")}])
    for kind, what in steps:
        before = exchange.dumps(exchange.export(configuration)), services_of(configuration)
        try:
            if kind == "delete":
                configuration.delete(*what.split(), "admin")
            else:
                site.save(kind, **what)
        except ShellError:
            assert (exchange.dumps(exchange.export(configuration)), services_of(configuration)) == before
    at_once = Configuration.in_memory()
    exchange.import_(at_once, exchange.export(configuration), keep_uuid=True)
    assert services_of(at_once) == services_of(configuration)
