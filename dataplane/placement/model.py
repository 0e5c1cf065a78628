"""The values from which placement decides, and its decisions.

Times are seconds since the epoch. Names of enumerated values are the appliance's where it has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Mode(Enum):
    """How the engines of a group stand in for each other (`ha_mode`)."""

    ACTIVE_ACTIVE = "HA_MODE_SHARED_PAIR"
    N_PLUS_M = "HA_MODE_SHARED"
    ACTIVE_STANDBY = "HA_MODE_LEGACY_ACTIVE_STANDBY"


class Algorithm(Enum):
    """How engines are filled (`algo`)."""

    PACKED = "PLACEMENT_ALGO_PACKED"
    DISTRIBUTED = "PLACEMENT_ALGO_DISTRIBUTED"


class Enabled(Enum):
    """Whether an engine takes VIPs (`enable_state`)."""

    ENABLED = "SE_STATE_ENABLED"
    NOT_FOR_NEW = "SE_STATE_DISABLED_FOR_PLACEMENT"
    DISABLED = "SE_STATE_DISABLED"
    FORCED = "SE_STATE_DISABLED_FORCE"


class Presence(Enum):
    """Whether an engine is there."""

    UP = "up"
    SUSPECT = "suspect"  # some engines do not hear it: it keeps what it has
    CUT = "cut"  # it is heard, but etcd has lost it: it announces on what it has, until others do
    DEAD = "dead"


class Cause(Enum):
    """Why an engine has a VIP."""

    EMPTIEST = "emptiest"  # it had the fewest VIPs
    FULLEST = "fullest"  # it had the most VIPs below the most that an engine takes
    STILL_THERE = "still there"  # it was leaving, and had not yet withdrawn the VIP
    ACTIVE = "active"  # it was the active engine of the pair
    TAG = "tag"  # it is the engine of the pair that the VIP's tag names
    STANDBY = "standby"  # it is the other engine of the pair
    FAILOVER = "failover"  # the first engine is gone, and this was the next
    REQUESTED = "requested"  # an operator asked for it


@dataclass(frozen=True, slots=True)
class Group:
    """A service engine group."""

    name: str
    mode: Mode = Mode.N_PLUS_M
    algorithm: Algorithm = Algorithm.PACKED
    min_scaleout: int = 1  # the fewest engines of a VIP
    max_scaleout: int = 4  # the most engines of a VIP
    max_vips: int = 10  # the most VIPs of an engine (`max_vs_per_se`)
    spare: int = 1  # engines whose room should stay free (`buffer_se`)
    distributed: bool = False  # a pair: each VIP's tag says which engine is active for it
    redistributed: bool = False  # a pair, distributed: VIPs go back to the engine of their tag when it is back
    drain: float = 30.0  # seconds for which a withdrawn VIP is still forwarded (`vs_scalein_timeout`)
    ready: float = 60.0  # seconds that an engine waits for all that follow it (`vs_se_scaleout_ready_timeout`)

    @property
    def fewest(self) -> int:
        """The fewest engines of a VIP in the group's mode."""
        return max(2, self.min_scaleout) if self.mode is Mode.ACTIVE_ACTIVE else self.min_scaleout

    @property
    def most(self) -> int:
        """The most engines of a VIP in the group's mode."""
        return 2 if self.mode is Mode.ACTIVE_STANDBY else max(self.fewest, self.max_scaleout)


@dataclass(frozen=True, slots=True)
class Engine:
    """A service engine that is configured or was ever there."""

    name: str
    group: str
    presence: Presence = Presence.UP
    enabled: Enabled = Enabled.ENABLED
    networks: tuple[str, ...] = ()  # IPv4 networks of its interfaces, as 10.0.0.0/24

    @property
    def keeps(self) -> bool:
        """Whether it keeps the VIPs that it has."""
        there = self.presence in (Presence.UP, Presence.SUSPECT)
        return there and self.enabled in (Enabled.ENABLED, Enabled.NOT_FOR_NEW)

    @property
    def takes(self) -> bool:
        """Whether it takes VIPs that it does not have."""
        return self.presence is Presence.UP and self.enabled is Enabled.ENABLED

    @property
    def bars(self) -> str:
        """Why it takes no VIPs that it does not have, in words; "" where it does."""
        if self.presence is not Presence.UP:
            return "cut from etcd" if self.presence is Presence.CUT else self.presence.value
        return {Enabled.ENABLED: "", Enabled.NOT_FOR_NEW: "disabled for placement"}.get(self.enabled, "disabled")


@dataclass(frozen=True, slots=True)
class Vip:
    """A VsVip: its addresses are announced by the same engines."""

    uuid: str
    group: str
    addresses: tuple[str, ...] = ()  # IPv4
    routed: bool = False  # announced by BGP (`enable_rhi`): by all its engines, unless they are a pair
    tag: int = 1  # of a pair, the engine that is active for it: 1 or 2 (`active_standby_se_tag`)


@dataclass(frozen=True, slots=True)
class Member:
    """An engine that has a VIP."""

    engine: str
    since: float
    cause: Cause
    had: int = 0  # VIPs that it had before
    among: int = 1  # engines that could have been chosen


@dataclass(frozen=True, slots=True)
class Leaver:
    """An engine that a VIP leaves."""

    engine: str
    since: float  # when it was told to go
    withdrawn: float | None = None  # when it was told to withdraw; None: it goes on announcing until others do


@dataclass(frozen=True, slots=True)
class Place:
    """Where a VIP is."""

    members: tuple[Member, ...] = ()  # the first is the primary, or the active one of a pair
    leavers: tuple[Leaver, ...] = ()
    wanted: int = 0  # engines that an operator asked for; 0: the group's fewest
    epoch: int = 0  # the revision of etcd that wrote it; a writer compares it first

    @property
    def engines(self) -> tuple[str, ...]:
        """Their names, the primary first."""
        return tuple(member.engine for member in self.members)


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything from which placement decides."""

    groups: Mapping[str, Group]
    engines: Mapping[str, Engine]
    vips: Mapping[str, Vip]
    places: Mapping[str, Place] = field(default_factory=dict)  # by the VIP's uuid
    announced: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by engine, the VIPs that it announces
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What placement decides about a VIP."""

    place: Place
    lacking: str = ""  # why it has fewer engines than it should have, in words

    @property
    def is_placed(self) -> bool:
        """Whether an engine announces it, or may."""
        return bool(self.place.members or any(leaver.withdrawn is None for leaver in self.place.leavers))


def announcers(vip: Vip, group: Group, place: Place) -> tuple[str, ...]:
    """The engines that are to announce a VIP while it is up: the first if engines answer ARP, the active one of a pair,
    else all."""
    every = vip.routed and group.mode is not Mode.ACTIVE_STANDBY
    found = dict.fromkeys(place.engines if every else place.engines[:1])
    if vip.routed or not found:
        staying = [leaver.engine for leaver in place.leavers if leaver.withdrawn is None]
        found.update(dict.fromkeys(staying if vip.routed else staying[:1]))
    return tuple(found)
