"""Where the members of all pools stand among the targets, by the life that a flow entry names."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence

from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.maps.layout import u32


class Lives:
    """The map `lives`."""

    def __init__(self, held: HeldMap) -> None:
        self._map = held

    def lead(self, lives: Sequence[bytes], first: int) -> None:
        """Have lives lead to targets, side by side from there on. Raises DriverError."""
        self._map.update_all(b"".join(lives), array("I", range(first, first + len(lives))).tobytes())

    def lead_back(self, lives: Sequence[bytes], former: Sequence[bytes], first: int) -> None:
        """Undo `lead`, as far as it was done: former lives lead to their targets again."""
        self.end(set(lives).difference(former))
        if former:
            self.lead(former, first)

    def end(self, lives: Iterable[bytes]) -> None:
        """Remove lives that are over."""
        for life in lives:
            self._map.delete(life)

    def start(self, wanted: Mapping[bytes, int]) -> None:
        """Hold these places by life, and nothing else."""
        found = {life: int.from_bytes(place, "little") for life, place in self._map.items()}
        self.end(found.keys() - wanted.keys())
        for life, place in wanted.items():
            if found.get(life) != place:
                self._map.update(life, u32(place))
