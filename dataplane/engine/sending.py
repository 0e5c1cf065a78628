"""How the served interfaces send, as the driver sees it. Servers behind an interface that sends nothing are not up."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence

from dataplane.errors import command
from dataplane.events import kinds
from dataplane.events.model import Subject, Tell
from dataplane.forwarding.driver import RECENT, Driver, OffloadingSender, Sending
from dataplane.forwarding.values import Interface
from dataplane.wording import counted, fits


class SendingStates:
    """Looked at by `look`, about once a second. tell: hears of events; interfaces: those served."""

    def __init__(self, driver: Driver, interfaces: Callable[[], Iterable[Interface]], tell: Tell) -> None:
        self._driver, self._interfaces, self._tell = driver, interfaces, tell
        self._states: Mapping[int, Sending] = {}
        self._senders: list[OffloadingSender] = []

    @property
    def sound(self) -> bool:
        """Whether no interface is known to send nothing."""
        return not any(state.fault for state in self._states.values())

    def look(self) -> bool:
        """Ask the driver. Returns whether an interface sends nothing now that did, or sends again."""
        before, self._states = self._states, self._driver.sending()
        known, self._senders = self._senders, self._driver.offloading_senders()
        for host, told in _by_host(self._senders).items():
            if host not in _by_host(known):
                about = Subject("vip", socket.inet_ntoa(told[0].vip))
                self._tell(kinds.SENDER_OFFLOADS, about, offloading(told))
        faults, former = ({i: s.fault for i, s in states.items() if s.fault} for states in (self._states, before))
        for index in faults.keys() - former.keys():
            self._tell(kinds.SENDING_FAILED, self._subject(index), faults[index])
        for index in former.keys() - faults.keys():
            text = f"frames leave by {self._name(index)} again"
            self._tell(kinds.SENDING_BACK, self._subject(index), text)
        for index, state in self._states.items():
            if state.recent and not state.fault and not (index in before and before[index].recent):
                self._tell(kinds.FRAMES_LOST, self._subject(index), self.words(index))
        return faults.keys() != former.keys()

    def of(self, index: int | None) -> Sending:
        """An interface's state. One that is not looked at has no fault."""
        return self._states.get(index, Sending(0)) if index is not None else Sending(0)

    def words(self, index: int | None) -> str:
        """What an operator must know of an interface that sends; "": it lost nothing lately."""
        recent = self.of(index).recent
        lost = f"{counted(recent, 'frame')} {fits(recent, 'was', 'were')} lost"
        return f"{lost} by {self._name(index)} in the last {RECENT} s" if recent else ""

    def senders(self, vip: bytes) -> str:
        """What an operator must know of senders to a VIP that leave work to a device which does not do it; "": none is
        known."""
        return "; ".join(offloading(told) for (of, *_), told in _by_host(self._senders).items() if of == vip)

    def losing(self) -> bool:
        """Whether any interface lost frames lately."""
        return any(state.recent for state in self._states.values())

    def _subject(self, index: int) -> Subject:
        return Subject("interface", self._name(index))

    def _name(self, index: int | None) -> str:
        return next((i.name for i in self._interfaces() if i.index == index), f"interface {index}")


def _by_host(senders: Iterable[OffloadingSender]) -> dict[tuple[bytes, bytes, int, str], list[OffloadingSender]]:
    """Senders to a VIP by the host that they are: it may have many addresses, and one fault."""
    found: dict[tuple[bytes, bytes, int, str], list[OffloadingSender]] = {}
    for sender in senders:
        found.setdefault((sender.vip, sender.mac, sender.vlan, sender.device), []).append(sender)
    return found


def offloading(senders: Sequence[OffloadingSender]) -> str:
    """What an operator must know of a host that leaves work to its device. senders: the host, once for each of its
    addresses."""
    sender, *others = senders
    address = socket.inet_ntoa(sender.address) + (
        f" and {counted(len(others), 'more address', 'more addresses')}" if others else ""
    )
    who, vip = f"{address} (MAC address {sender.mac.hex(':')})", socket.inet_ntoa(sender.vip)
    if sender.vlan:
        veth = sender.device
        mend = command("ethtool -K {} txvlan off tx-vlan-stag-hw-insert off", veth)
        return (
            f"{who} sends to {vip} in VLAN {sender.vlan}, and gets through: the veth {veth} carries the tag beside its "
            f"frames, unseen by XDP; where {veth} is: {mend}"
        )
    return (
        f"{who} leaves checksums to its network device, which fills none in: "
        f"servers drop its packets to {vip}; on that host: ethtool -K IF tx off"
    )
