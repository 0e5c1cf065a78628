"""What the tables of rules are written with: parts of objects, names of the sample's objects, steps."""

from collections.abc import Callable
from typing import Any

from avi_shell.configuration.document import Document

from .addresses import address
from .conftest import Site, tcp_profile


def servers(*addresses: str, port: int = 80) -> list[Document]:
    return [{"ip": address(text), "port": port} for text in addresses]


def l2(**fields: Any) -> Document:
    profile = tcp_profile(dsr_type="DSR_TYPE_L2")
    profile["tcp_fast_path_profile"].update(fields)
    return profile


def monitor(type_: str = "HEALTH_MONITOR_TCP", **tcp: Any) -> dict[str, Any]:
    return {"name": "m", "type": type_, **({"tcp_monitor": tcp} if tcp else {})}


HASH = "LB_ALGORITHM_CONSISTENT_HASH"
DSR = "tcp_fast_path_profile.dsr_profile"
PROFILE, POOL, VIP, SERVICE = "vs1-profile", "vs1-pool", "vs1-vip", "vs1"

Step = Callable[[Site], object]
BY_HASH = "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS"
