"""BGP for an engine whose plan uses it. Its modules are loaded with the first `bgp_profile`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataplane.engine import routedpools
from dataplane.engine.engine import Engine

if TYPE_CHECKING:
    from dataplane.bgp.announcer import BgpAnnouncer


def folder(run: Path, name: str) -> Path:
    """Where an engine's BIRD and its keeper have their files. run: a state directory's folder for running engines."""
    return run / f"{name}.bgp"


class Speaking:
    """BGP of one engine that has started. there: the folder for its files."""

    def __init__(self, engine: Engine, there: Path) -> None:
        self._engine, self._folder = engine, there
        self._announcer: BgpAnnouncer | None = None

    def follow(self) -> None:
        """The engine took over a plan."""
        bgp = self._engine.bgp
        if self._announcer is None:
            if bgp is None:
                return
            from dataplane.bgp.announcer import BgpAnnouncer

            forwards_on = not self._engine.driver.ends_with_process()
            self._announcer = BgpAnnouncer(
                self._folder,
                forwards_on=forwards_on,
                tell=self._engine.events.tell,
                heard_again=partial(routedpools.begin_anew, self._engine),
            )
            self._engine.vips.add(self._announcer)
        self._announcer.speak(bgp)

    def report(self) -> dict[str, Any] | None:
        """The state of BGP; None: the engine never had it."""
        return None if self._announcer is None else self._announcer.report()


def end(there: Path) -> list[str]:
    """Withdraw VIPs and end BIRD, where an engine left them that does not run. Returns what was there, in words."""
    if not there.is_dir():
        return []
    from dataplane.bgp import keeping

    return keeping.end(there)
