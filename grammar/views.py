"""The nodes behind `show KIND NAME` that show something other than the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from grammar.debugging import captures
from grammar.nodes import Node, Slot
from grammar.watching import how_often


def _view(word: str, help_: str, *after: Node) -> Node:
    return Node(word, help_, "show.view", after, argument="view")


_ONE_SERVER = Node("<x.x.x.x>", "address of one server; all without it", "show.diagnose", (), Slot.TEXT, "server")
_CLIENT = Node("<x.x.x.x:port>", "a client's address and port", "show.flow", (), Slot.TEXT, "client")
_TABLES = (
    ("interface", "its interfaces: modes, addresses, and the kernel's counters"),
    ("route", "where packets to each server go"),
    ("arptable", "the MAC addresses that are known on its interfaces"),
    ("flowtable", "slots that are moving, and the flows that are remembered of them"),
    ("cpu", "the processor time of its process, by thread"),
    ("memory", "the memory of its process"),
    ("vnicdb", "its interfaces with the VIPs on their segments"),
)
VIEWS: Mapping[str, tuple[Node, ...]] = {
    "virtualservice": (
        _view("detail", "live state, packets and servers, from the service engines"),
        _view("summary", "state, servers that are up, rates and totals, a line an engine"),
        _view("connections", "connections that were begun, and what is remembered of them"),
        Node("drops", "packets that were dropped: why, what to do, and one of them", "show.drops"),
        Node("placement", "the engines that it is on: since when, why there, and what if one fails", "show.placement"),
        Node(
            "live",
            "look at it again and again: rates, servers and reasons, drops, events; q leaves",
            "show.live",
            how_often("show.live"),
        ),
        captures("the packets to its VIPs"),
        Node("flow", "the server that a client's packets go to, and why", next=(_CLIENT,)),
    ),
    "pool": (
        _view("detail", "live state of the pool"),
        _view(
            "server",
            "live state of each server",
            Node("detail", "all that is known of each server", "show.view", argument="part"),
            Node("diagnose", "find out what is wrong with servers, and what mends it", "show.diagnose", (_ONE_SERVER,)),
        ),
        _view("hmonstat", "the health monitors of each server: what they found, and how often they failed"),
        Node("algo", "how evenly its servers share slots, packets and flows", "show.evenness"),
        Node("server-setup", "commands that make a host ready to be a server of this pool", "show.setup"),
    ),
    "networkprofile": (Node("internal", "what engines make of it: modes, tracking, idle timeouts", "show.internal"),),
    "serviceengine": (
        _view("detail", "live state: driver, interfaces, drops"),
        captures("what it drops"),
        Node("drops", "packets that were dropped: why, what to do, and one of them", "show.drops"),
        *(Node(word, help_, "show.table", argument="view") for word, help_ in _TABLES),
        _view("bgp", "its BGP peers: state, since when, prefixes told, and what is wrong"),
    ),
}
"""The views of an object besides its configuration, by kind."""


def _events(segment: str, help_: str) -> Node:
    name = Node("<name>", "name of the object", "show.events", (), Slot.OBJECT, "name", segment)
    return Node(segment, help_, next=(name,), kind=segment)


_SERVER = Node("<x.x.x.x[:port]>", "its address, and its port if need be", "show.events", (), Slot.TEXT, "server")
EVENTS = Node(
    "events",
    "what happened, on all service engines, newest last",
    "show.events",
    (
        _events("virtualservice", "to a virtual service, its VIPs, its pools and their servers"),
        _events("pool", "to a pool and its servers"),
        Node("server", "to a server", next=(_SERVER,)),
        _events("serviceengine", "what a service engine tells, and what others tell of it"),
    ),
)
"""The options of `show events`."""


def _cleared(segment: str, help_: str) -> Node:
    name = Node("<name>", "name of the object", "clear.counters", (), Slot.OBJECT, "name", segment)
    return Node(segment, help_, next=(name,), kind=segment)


CLEAR = Node(
    "clear",
    "clear the screen; of an object: show its counters from zero, to you alone",
    "clear",
    (
        _cleared("virtualservice", "packets, connections and drops of a virtual service"),
        _cleared("pool", "packets, connections and failed checks of a pool's servers"),
        _cleared("serviceengine", "drops of a service engine, and what it answered"),
    ),
)
"""The objects of `clear`."""
