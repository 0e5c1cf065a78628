"""A network of engines and etcd, simulated tick by tick: what is cut off, dies, and comes back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dataplane.placement import arbitration, hearing, placing
from dataplane.placement.arbitration import LEASE, Registration
from dataplane.placement.hearing import Hearing, Timing
from dataplane.placement.model import Engine, Group, Mode, Place, Presence, Situation, Vip

TIMING = Timing(period=0.25, count=4)
TICK = TIMING.period


@dataclass
class Node:
    """An engine."""

    name: str
    runs: bool = True
    hearing: Hearing = field(default_factory=Hearing)
    presences: dict[str, Presence] = field(default_factory=dict)
    connected: float | None = None  # since when etcd answers
    owns: dict[str, int] = field(default_factory=dict)  # VIP → epoch by which it answers ARP for it


class Network:
    """Engines, VIPs that each answers ARP for or stands by for, and etcd."""

    def __init__(self, engines: int, vips: int, group: Group | None = None) -> None:
        self.group = group or Group("g", Mode.ACTIVE_ACTIVE)
        self.nodes = {name: Node(name) for name in "abcde"[:engines]}
        self.vips = {f"v{n}": Vip(f"v{n}", "g") for n in range(vips)}
        self.deaf: set[tuple[str, str]] = set()  # who does not hear whom
        self.cut: set[str] = set()  # whom etcd does not hear
        self.quorum = True
        self.now, self.revision = 0.0, 1
        self.registered: dict[str, tuple[Registration, float]] = {}  # with the end of the lease
        self.places: dict[str, Place] = {}
        self.writes = 0  # of places that have another first engine

    def run(self, seconds: float) -> None:
        """Let time go by."""
        for _ in range(round(seconds / TICK)):
            self.tick()

    def tick(self) -> None:
        """One period of heartbeats."""
        self.now += TICK
        running = [node for node in self.nodes.values() if node.runs]
        before = {node.name: dict(node.owns) for node in running}
        presences = {node.name: dict(node.presences) for node in running}
        for node in running:
            self._listen(node, before)
        if self.quorum:
            self.registered = {name: one for name, one in self.registered.items() if one[1] > self.now}
            for node in running:
                self._register(node)
        for node in running:
            self._conclude(node)
        for node in running:
            self._check(node, before, presences[node.name])

    def owners(self, vip: str) -> list[str]:
        """The running engines that answer ARP for a VIP."""
        return [node.name for node in self.nodes.values() if node.runs and vip in node.owns]

    def stop(self, name: str) -> None:
        """Its host dies, and forgets."""
        self.nodes[name] = Node(name, runs=False)

    def lose_quorum(self) -> None:
        """Etcd answers nobody."""
        self.quorum = False

    def regain_quorum(self) -> None:
        """Etcd answers, and all leases have ended meanwhile."""
        if not self.quorum:
            self.quorum, self.registered = True, {}

    def _reaches_etcd(self, node: Node) -> bool:
        return self.quorum and node.name not in self.cut

    def _listen(self, node: Node, owned: dict[str, dict[str, int]]) -> None:
        others = [name for name in self.nodes if name != node.name]
        arrived = [name for name in others if name in owned and (node.name, name) not in self.deaf]
        node.hearing = hearing.look(node.hearing, others, arrived, TIMING, self.now)
        for vip, epoch in list(node.owns.items()):
            if arbitration.yields(epoch, [owned[name][vip] for name in arrived if vip in owned[name]]):
                del node.owns[vip]

    def _register(self, node: Node) -> None:
        if not self._reaches_etcd(node):
            node.connected = None
            return
        node.connected = self.now if node.connected is None else node.connected
        silent = hearing.silent(node.hearing, TIMING)
        known = self.registered.get(node.name)
        if known is None or known[0].silent != silent:
            self.revision += 1
            known = Registration(self.revision, silent), 0.0
        self.registered[node.name] = known[0], self.now + LEASE

    def _conclude(self, node: Node) -> None:
        if not self._reaches_etcd(node):
            node.connected = None
            node.presences = arbitration.judge({}, self.nodes, node.presences, 0.0)
            return
        assert node.connected is not None
        registered = {name: one for name, (one, _) in self.registered.items()}
        node.presences = arbitration.judge(registered, self.nodes, node.presences, self.now - node.connected)
        if node.presences[node.name] is not Presence.DEAD:
            self._write(dict(arbitration.successions(self.places, node.presences, node.name, self.now)))
            if node.name == min(registered):
                self._place(node)
        for vip, place in self.places.items():
            if place.engines[:1] == (node.name,):
                node.owns[vip] = place.epoch
            else:
                node.owns.pop(vip, None)

    def _place(self, node: Node) -> None:
        engines = {name: Engine(name, "g", node.presences[name]) for name in self.nodes}
        there = Situation({"g": self.group}, engines, self.vips, self.places, {}, self.now)
        changed = placing.changes(there, placing.place(there))
        self._write({uuid: place for uuid, place in changed.items() if place is not None})

    def _write(self, places: dict[str, Place]) -> None:
        for uuid, place in places.items():
            self.revision += 1
            self.writes += place.engines[:1] != self.places.get(uuid, Place()).engines[:1]
            self.places[uuid] = replace(place, epoch=self.revision)

    def _check(self, node: Node, before: dict[str, dict[str, int]], was: dict[str, Presence]) -> None:
        """What holds at every moment."""
        gained = node.owns.keys() - before[node.name].keys()
        assert not gained or self._reaches_etcd(node), "an engine that etcd does not hear takes nothing"
        for name, presence in node.presences.items():
            if presence is Presence.DEAD and was.get(name, Presence.DEAD) is not Presence.DEAD:
                assert node.connected is not None
                assert self.now - node.connected >= LEASE, "nobody dies within one lease of an outage"
                alive = [one for one in self.nodes.values() if node.presences[one.name] is Presence.UP]
                hear = [one for one in alive if one.name not in self.cut and name in one.hearing.heard]
                assert all(name in hearing.silent(one.hearing, TIMING) for one in hear), "nobody dies who is heard"
        for vip, epoch in node.owns.items():
            for other in self.nodes.values():
                rival = other.runs and other is not node and other.owns.get(vip, 0) > epoch
                if rival and before.get(other.name, {}).get(vip) == other.owns[vip]:
                    assert (node.name, other.name) in self.deaf, "who hears a higher epoch has yielded"
