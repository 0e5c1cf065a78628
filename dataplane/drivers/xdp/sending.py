"""How interfaces send what the program decided to send: what their network drivers lost of it, and whether anything
leaves."""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from dataplane.drivers.xdp import farend
from dataplane.drivers.xdp.attachment import NATIVE
from dataplane.drivers.xdp.losses import Losses
from dataplane.drivers.xdp.tracing import TracingLinks
from dataplane.errors import DriverError, command
from dataplane.forwarding.driver import RECENT, Sending
from dataplane.forwarding.program import PASS
from dataplane.forwarding.values import Interface
from dataplane.network import ethtool


class Fault(NamedTuple):
    """Why no frame that the program sends leaves by an interface."""

    what: str
    remedy: str = ""  # the command that mends it


class _Port:
    """What is known of one interface."""

    def __init__(self) -> None:
        self.tested = False  # a frame was seen to leave since the last loss
        self.fault: Fault | None = None
        self.lost = 0
        self.grew: deque[tuple[float, int]] = deque()  # when frames were lost, and how many


class SendingWatch:
    """Looks at interfaces that run the program. Where the kernel does not tell of losses, `unseen` says why. tracing:
    gets the links of what it puts at tracepoints."""

    def __init__(self, tracing: TracingLinks) -> None:
        self.unseen = ""
        self._losses: Losses | None = None
        self._ports: dict[int, _Port] = {}
        try:
            self._losses = Losses(tracing)
        except DriverError as exc:
            self.unseen = exc.what.partition("\n")[0]

    def fault(self, name: str, index: int) -> Fault | None:
        """Why no frame that the program sends leaves by a native interface; None where one was seen to, or where that
        cannot be seen now."""
        if self._losses is None or not ethtool.is_running(name):
            return None
        self._losses.follow({*self._ports, index})
        return self._tested(self._losses, name, index)

    def look(self, interfaces: Mapping[int, Interface], modes: Mapping[int, str]) -> dict[int, Sending]:
        """How these interfaces send, by index. modes: how each runs the program."""
        if self._losses is None:
            return {}
        self._ports = {index: self._ports.get(index) or _Port() for index in interfaces if index in modes}
        self._losses.follow(self._ports)
        now = time.monotonic()
        return {
            index: self._look(self._losses, interfaces[index], port, modes[index], now)
            for index, port in self._ports.items()
        }

    def lost(self) -> int:
        """Frames lost by all interfaces that are looked at, since they are."""
        if self._losses is None:
            return 0
        return sum(self._losses.read(index).lost for index in list(self._ports))

    def close(self) -> None:
        """Look no more."""
        if self._losses is not None:
            self._losses.close()

    def _look(self, losses: Losses, interface: Interface, port: _Port, mode: str, now: float) -> Sending:
        lost = losses.read(interface.index).lost
        if lost > port.lost:
            port.grew.append((now, lost - port.lost))
            port.lost, port.tested = lost, False
        while port.grew and port.grew[0][0] < now - RECENT:
            port.grew.popleft()
        if mode == NATIVE and not port.tested and ethtool.is_running(interface.name):
            port.fault = self._tested(losses, interface.name, interface.index)
            port.tested = port.fault is None
        what, remedy = port.fault or ("", "")
        return Sending(lost, sum(number for _, number in port.grew), what, remedy)

    def _tested(self, losses: Losses, name: str, index: int) -> Fault | None:
        is_veth = ethtool.network_driver(name) == "veth"
        far = farend.of(index) if is_veth else None
        if far is not None and not far.has_program:
            what = f"no frame that XDP sends leaves by {name}: its far end, the veth {far.name}, has no XDP program"
            mend = command("ip link set dev {} xdpdrv obj {} sec xdp.frags  # where {} is", far.name, PASS, far.name)
            return Fault(what, mend)
        try:
            error = losses.send_test(index, ethtool.mac(name))
        except (DriverError, OSError) as exc:  # the interface is gone, or the kernel sends no test frames
            self.unseen = f"no test frame could be sent by {name}: {exc}"
            return None
        if error is None or (error == errno.EOPNOTSUPP and not is_veth and not losses.read(index).lost):
            return None  # some cards send by XDP_TX, and take nothing that is redirected
        return Fault(f"no frame that XDP sends leaves by {name}: {os.strerror(error) if error else 'none was seen to'}")
