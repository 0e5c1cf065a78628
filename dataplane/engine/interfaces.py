"""The interfaces that an engine serves: of those it was told to serve, the ones that exist."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from dataplane.events import kinds
from dataplane.events.model import Subject, Tell
from dataplane.forwarding.driver import Driver
from dataplane.forwarding.values import Interface
from dataplane.network.settings import KernelSettings
from dataplane.network.state import Network


class ServedInterfaces:
    """Followed as they come, change and go. names: of those to be served; tell: hears of events;
    renamed: gets the old and the new name of one; others: the addresses of engines of other hosts."""

    def __init__(
        self,
        names: Sequence[str],
        network: Network,
        driver: Driver,
        settings: KernelSettings,
        tell: Tell,
        renamed: Callable[[str, str], None] = lambda old, new: None,
        others: Callable[[], frozenset[bytes]] = frozenset,
    ) -> None:
        self._others = others
        self.names = tuple(names)
        self._network, self._driver, self._settings, self._tell = network, driver, settings, tell
        self._renamed = renamed
        self._served: dict[str, Interface] = {}
        self._linked: dict[int, bool] = {}  # whether each has a link, by index
        self._attached = -1, network.prefixes(())  # their networks, and the layout that these are of

    def served(self) -> Collection[Interface]:
        """The interfaces that exist."""
        return self._served.values()

    def attach(self, address: bytes) -> bool:
        """Whether an address is in the network of one of them."""
        if self._attached[0] != self._network.layout:
            self._attached = self._network.layout, self._network.prefixes(self.served())
        return self._attached[1].find(address) is not None

    @property
    def by_name(self) -> Mapping[str, Interface]:
        """The interfaces that exist, by name. It is always the same object."""
        return self._served

    def follow(self, *, required: bool) -> bool:
        """Have the driver serve what is there now. required: each must be. Returns whether something changed. Raises
        NetworkError where one is required and missing, DriverError where the driver does not take one."""
        self._rename()
        self._look_at_links()
        found = {}
        for name in self.names:
            interface = self._network.interface(name)
            if interface is None and required:
                self._network.link(name)  # raises, naming the interfaces that exist
            if interface is not None:
                found[name] = interface
        if found == self._served:
            return False
        self._attached = -1, self._network.prefixes(())
        for name, old in list(self._served.items()):
            if name not in found or found[name].index != old.index:
                self._driver.remove_interface(old.index)
                del self._served[name]
                self._settings.release(name)
                self._tell(kinds.INTERFACE_GONE, Subject("interface", name), f"interface {name} is gone")
        for name, interface in found.items():
            if self._served.get(name) != interface:
                try:
                    self._settings.prepare(name, tags=not self._driver.sees_stripped_tags)
                except FileNotFoundError:  # it vanished since; the event that tells will come
                    continue
                self._driver.put_interface(interface)
                self._served[name] = interface
        self.put_addresses()
        return True

    def put_addresses(self) -> None:
        """Tell the driver the addresses of all engines: packets from one of them are probes."""
        self._driver.put_addresses(self._network.own_addresses() | self._others())

    def _look_at_links(self) -> None:
        before = self._linked
        self._linked = {one.index: self._network.is_up(one.index) for one in self._served.values()}
        for name, one in self._served.items():
            now, about = self._linked[one.index], Subject("interface", name)
            if now == before.get(one.index, True) or self._network.interface(name) is None:
                continue
            if now:
                self._tell(kinds.LINK_BACK, about, f"interface {name} has its link again")
            else:
                on = self._network.is_switched_on(one.index)
                why = "it has no carrier" if on else "it is switched off"
                self._tell(kinds.LINK_LOST, about, f"interface {name} has lost its link: {why}")

    def _rename(self) -> None:
        """An interface is its index: one that has another name now is served on under that."""
        for old, interface in list(self._served.items()):
            new = self._network.name(interface.index)
            if new == old or self._network.interface(new) is None or new in self._served:
                continue
            self.names = tuple(new if name == old else name for name in self.names)
            del self._served[old]
            self._served[new] = interface  # with its old name: `follow` sees that it is to be put again
            self._settings.rename(old, new)
            self._renamed(old, new)
            text = f"interface {old} is called {new} now"
            self._tell(kinds.INTERFACE_RENAMED, Subject("interface", new), text)
