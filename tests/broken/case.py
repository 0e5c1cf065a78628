"""What a broken network is, as data: how it is broken, and what the engine says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.broken.world import World
from tests.drivers import REFERENCE

Act = Callable[[World], None]


def nothing(_: World) -> None:
    """Nothing is left to put back."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something that breaks the server `broken`, beside a healthy one.

    breaks: does it, for real; state, reason: what the engine reports of it, the reason in part; told: words of the
    diagnosis about it; mends: how many commands that prints, which bring the server up; restores: what no command can
    do. mode: "l2" or "l3"; drivers: those on which it is tried: both where the driver has a part in what is heard.
    """

    title: str
    breaks: Act
    state: str
    reason: str
    told: str = ""
    mends: int = 0
    restores: Act = nothing
    mode: str = "l2"
    drivers: tuple[str, ...] = (REFERENCE,)
    passing: bool = False
