"""Every live view of a world that a shell configured, beside what the world's hosts say themselves."""

from __future__ import annotations

from typing import Any

from avi_shell.output.result import Result
from avi_shell.session.session import Session
from tests import numbers
from tests.broken.world import ENGINE, VIP, World
from tests.polling import until


class Views:
    """A session's views. up: the addresses of servers that are up; moving: slots that changed their server lately."""

    def __init__(self, world: World, session: Session, up: list[str], moving: int) -> None:
        self._world, self._session, self._up, self._moving = world, session, up, moving

    def shown(self, line: str) -> Any:
        """The data of a view."""
        result: Result = self._session.run(f"show {line}")
        assert result.ok, (line, result.error)
        assert result.parts, line
        assert not list(numbers.as_text(result.data if result.kind == "" else result.live)), line
        return result.data if result.live is None else result.live

    def engine(self, word: str) -> list[dict[str, Any]]:
        """The rows of a table of the engine."""
        rows: list[dict[str, Any]] = self.shown(f"serviceengine {self._world.name} {word}")
        return rows

    def all_tell_the_truth(self) -> None:
        """Look at every one."""
        until(lambda: self.shown("virtualservice vs1 summary")[0]["rates"])  # they are of a second
        self._of_services()
        self._of_pools()
        self._of_the_engine()

    def _of_services(self) -> None:
        (listed,) = self.shown("virtualservice")
        count, of = len(self._up), len(self._up) + 1
        told = [listed[name] for name in ("pool", "servers_up", "servers", "packets_per_second")]
        assert told == ["p1", count, of, 0.0]
        (summary,) = self.shown("virtualservice vs1 summary")
        assert (summary["servers_up"], summary["rates"]["packets"], summary["state"]) == (count, 0.0, "up")
        (connections,) = self.shown("virtualservice vs1 connections")
        assert (connections["begun"], connections["begun_per_second"]) == (0, 0.0)
        assert [one["address"] for one in connections["servers"] if one["begun_per_second"] == 0.0][:2] == self._up[:2]
        (internal,) = self.shown("networkprofile dsr internal")
        assert (internal["vip"], internal["moving_slots"], internal["flows"]) == (VIP, self._moving, 0)

    def _of_pools(self) -> None:
        (monitors,) = self.shown("pool p1 hmonstat")
        states = {one["address"]: one["state"] for one in monitors["servers"]}
        assert [address for address, state in states.items() if state == "up"] == self._up
        failed = {one["address"]: one["failed_by_monitor"]["ping"] > 0 for one in monitors["servers"]}
        assert [address for address, has_failed in failed.items() if not has_failed] == self._up
        (pool,) = self.shown("pool p1 detail")
        assert [one["rates"]["packets"] for one in pool["servers"]][:2] == [0.0, 0.0]
        (pool,) = self.shown("pool p1 server detail")
        assert {one["address"] for one in pool["servers"] if one["in_table"]} == set(self._up)

    def _of_the_engine(self) -> None:
        world = self._world
        mac = world.spaces["engine"].link("eth0")[1].hex(":")
        (interface,) = self.engine("interface")
        assert (interface["mac"], interface["addresses"], interface["up"]) == (mac, [ENGINE], True)
        assert interface["received_packets"] > 0
        far = world.mode == "l3"
        hops = {name: world.spaces["router" if far else name].link("eth0")[1].hex(":") for name in world.addresses}
        routes = {one["server"]: (one["gateway"], one["mac"]) for one in self.engine("route")}
        gateway = "10.9.0.254" if far else None
        assert routes == {address: (gateway, hops[name]) for name, address in world.addresses.items()}
        known = {one["address"]: one["mac"] for one in self.engine("arptable")}
        assert known[gateway or self._up[0]] == routes[self._up[0]][1]
        (flows,) = self.engine("flowtable")
        assert (flows["vips"], flows["in_transition"], flows["tracked"]) == ([VIP], self._moving, 0)
        (vnic,) = self.engine("vnicdb")
        assert vnic["vips"] == [{"vip": VIP, "up": True, "announced": True}]
        threads = {one["thread"]: one["user"] + one["system"] for one in self.engine("cpu")}
        assert threads["all"] >= threads["main"] > 0
        memory = {one["kind"]: one["bytes"] for one in self.engine("memory")}
        assert memory["resident, at most so far"] >= memory["resident"] > 10 << 20
        told = self.shown("version controller")
        assert told["service_engines"][0]["applied"] == told["store"]["commit"]
