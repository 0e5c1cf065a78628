"""The plan: what crosses from configuration to forwarding.

One flat document a service (VIP, protocol, ports) and one for the engines in common, each with the number of the
commit that last changed it. Here are its values; `codec` turns them into documents, `sqlite` keeps these in a store's
database, `file` in one JSON file. `source` is where an engine reads them, `index` how it finds a service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataplane.plan.bgp import Bgp, Peer, Route
    from dataplane.plan.model import (
        BY_ADDRESS,
        BY_ADDRESS_AND_PORT,
        FOR_EVER,
        L2,
        L3_GRE,
        L3_IPIP,
        MODES,
        MONITOR_EXTERNAL,
        MONITOR_HTTP,
        MONITOR_PING,
        MONITOR_TCP,
        MONITOR_UDP,
        MONITORS,
        SLOTS,
        Common,
        Former,
        Mark,
        Monitor,
        Plan,
        Server,
        Service,
    )

__all__ = [
    "BY_ADDRESS",
    "BY_ADDRESS_AND_PORT",
    "FOR_EVER",
    "L2",
    "L3_GRE",
    "L3_IPIP",
    "MODES",
    "MONITORS",
    "MONITOR_EXTERNAL",
    "MONITOR_HTTP",
    "MONITOR_PING",
    "MONITOR_TCP",
    "MONITOR_UDP",
    "SLOTS",
    "Bgp",
    "Common",
    "Former",
    "Mark",
    "Monitor",
    "Peer",
    "Plan",
    "Route",
    "Server",
    "Service",
]


_OF_BGP = ("Bgp", "Peer", "Route")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A value of `model`, which is loaded when the first one is asked for: a shell that commits nothing does
        without; or of `bgp`, which most plans do without."""
        if name in _OF_BGP:
            from dataplane.plan import bgp

            globals().update({one: getattr(bgp, one) for one in _OF_BGP})
        elif name in __all__:
            from dataplane.plan import model

            globals().update({one: getattr(model, one) for one in __all__ if one not in _OF_BGP})
        else:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        return globals()[name]
