"""What there is to see of objects beside their configuration: nodes of the tree of commands behind `show KIND NAME`."""

from __future__ import annotations

from collections.abc import Mapping

from grammar.debugging import captures
from grammar.nodes import Node, Slot
from grammar.watching import how_often


def _view(word: str, help_: str, *after: Node) -> Node:
    return Node(word, help_, "show.view", after, argument="view")


_ONE_SERVER = Node("<x.x.x.x>", "address of one server; all without it", "show.diagnose", (), Slot.TEXT, "server")
_CLIENT = Node("<x.x.x.x:port>", "a client's address and port", "show.flow", (), Slot.TEXT, "client")
VIEWS: Mapping[str, tuple[Node, ...]] = {
    "virtualservice": (
        _view("detail", "live state, packets and servers, from the service engines"),
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
            Node("diagnose", "find out what is wrong with servers, and what mends it", "show.diagnose", (_ONE_SERVER,)),
        ),
        Node("algo", "how evenly its servers share slots, packets and flows", "show.evenness"),
        Node("server-setup", "commands that make a host ready to be a server of this pool", "show.setup"),
    ),
    "serviceengine": (
        _view("detail", "live state: driver, interfaces, drops"),
        captures("what it drops"),
        Node("drops", "packets that were dropped: why, what to do, and one of them", "show.drops"),
        _view("bgp", "its BGP peers: state, since when, prefixes told, and what is wrong"),
    ),
}
"""What there is to see of an object besides its configuration, by kind."""


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
"""What happened, and to what."""
