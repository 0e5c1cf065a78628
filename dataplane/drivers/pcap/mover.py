"""What moves the pcap driver's frames: natively (`nativemover`), or in Python (`pythonmover`) where this processor has
no native decision. `add`, `drop` and `run` are called by the driver's thread alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from typing import Protocol

from dataplane.drivers.pcap.packetsocket import PacketSocket
from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.driver import Asked, FlowRoom, HandshakeCounts, Tables
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flow, Remembered
from dataplane.forwarding.values import Counters, Lingering


class Mover(Protocol):
    """Receives, decides and sends, between packet sockets."""

    note: str
    """Why it is slower than it could be; "": it is not."""
    mistaken: int
    """Frames that met a mistake of ours."""

    @property
    def tables(self) -> Tables:
        """Where the values are put that it decides by."""

    @property
    def values(self) -> LookupTables:
        """The values as they are now."""

    def expect_tunnels(self, tunnels: bool) -> None:
        """Say whether frames may go into tunnels. Into a tunnel goes no frame with work left undone."""

    def add(self, index: int, port: PacketSocket) -> None:
        """Move frames of an interface, from the next turn on."""

    def drop(self, index: int) -> None:
        """Stop moving frames of an interface that was added."""

    def run(self, patience: float) -> bool:
        """A turn: move frames until the driver's thread is woken, something else is to be done, or the time is over.
        patience: seconds. Returns whether it was woken."""

    def lost(self) -> int:
        """Frames that found no room, and that their socket does not know of. For any thread."""

    def counters_in_pieces(self, asked: Asked | None) -> Iterator[Counters]:
        """A snapshot of what was decided, as `Driver.counters_in_pieces`. For any thread."""

    def handshakes(self) -> HandshakeCounts:
        """A snapshot. For any thread."""

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], Set[bytes]]:
        """As `Driver.unanswered_clients`. For any thread."""

    @property
    def flow_room(self) -> FlowRoom:
        """As `Driver.flow_room`."""

    def lingering(self, pools: Collection[str]) -> Lingering:
        """As `Driver.lingering`. For any thread."""

    def remembered(self, flow: Flow) -> Remembered:
        """What is remembered of a flow. For any thread."""

    def capture(self, wanted: Wanted) -> Capture:
        """As `Driver.capture`. For any thread but the driver's. Raises DriverError."""

    def close(self) -> None:
        """End; the sockets stay open."""
