"""Relations inside messages that the facts of single fields do not show: keys of list elements, the meaning of a bare
value, and the alternatives that a `type` field chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OF_A_CLOUD = frozenset(
    {"debugvirtualservice", "pool", "serviceengine", "serviceenginegroup", "virtualservice", "vrfcontext", "vsvip"}
)
"""The segments of kinds whose objects belong to a cloud (`cloud_ref`), which is part of their identity."""

KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "Server": (("ip", "port"),),
        "Vip": (("vip_id",), ("ip_address",)),
        "Service": (("port",),),
        "BgpPeer": (("peer_ip",),),
        "StaticRoute": (("route_id",), ("prefix",)),
        "GatewayMonitor": (("gateway_ip",),),
        "LinuxServerHost": (("host_ip",),),
        "RoleFilterMatchLabel": (("key",),),
        "KeyValue": (("key",),),
        "CustomTag": (("tag_key",),),
        "HostAttributes": (("attr_key",),),
        "DnsResolver": (("resolver_name",),),
        "L4Policies": (("index",),),  # its own field `index` hides `index NUMBER`
    }
)
"""Message → its keys, each a tuple of fields; the first key whose first field is typed counts. Others: by index."""

COMPARED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **{message: keys[0] for message, keys in KEYS.items()},
        "Service": ("port", "override_network_profile_ref"),
        "DnsInfo": ("fqdn",),
        "vNIC": ("if_name",),
        "NetworkFilter": ("network_ref",),
        "VipPlacementNetwork": ("network_ref",),
        "PlacementNetwork": ("network_ref",),
        "DiscoveredNetwork": ("network_ref",),
        "BgpRoutingOptions": ("label",),
        "IpCommunity": ("ip_begin",),
        "DebugVsDataplane": ("flag",),
    }
)
"""Message → the fields by which the comparison of two documents matches list elements: first those that agree in all
fields, then those that agree in the first one. The network profile distinguishes two services of one port."""

SHOWN_IN_KEYS: Mapping[str, int] = MappingProxyType({"Service": 1})
"""Message → how many of these fields name an element to people; for others: all."""

BY_POSITION = frozenset({"Vip"})
"""Messages whose key is a number that nobody types, `vip_id` from 0. People see the element's position instead, from 1
as `show` prints it."""

NAMING = ("name", "uuid", "key")
"""Fields that name an element of a message that the model does not describe: the first one present counts."""

OBVIOUS: Mapping[str, str] = MappingProxyType(
    {
        "Server": "ip",
        "Vip": "ip_address",
        "Service": "port",
        "BgpPeer": "peer_ip",
        "StaticRoute": "prefix",
        "GatewayMonitor": "gateway_ip",
        "LinuxServerHost": "host_ip",
        "RoleFilterMatchLabel": "key",
        "BgpRoutingOptions": "label",
        "IpCommunity": "ip_begin",
        "DebugVsDataplane": "flag",
    }
)
"""Message → the address or name field that a bare value after the message's field is taken for."""

ALTERNATIVES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "NetworkProfileUnion": MappingProxyType(
            {
                f"{name}_profile": f"PROTOCOL_TYPE_{name.upper()}"
                for name in ("tcp_proxy", "tcp_fast_path", "udp_fast_path", "udp_proxy", "sctp_proxy", "sctp_fast_path")
            }
        ),
        "HealthMonitor": MappingProxyType(
            {
                f"{name}_monitor": f"HEALTH_MONITOR_{name.upper()}"
                for name in ("tcp", "http", "https", "external", "udp", "sctp")
            }
        ),
    }
)
"""Message → field that holds an alternative → the value of `type` that goes with it."""
