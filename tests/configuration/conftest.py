"""A configuration with one working DSR virtual service, and builders for its objects."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, reference
from avi_shell.configuration.saved import Saved
from dataplane import plan
from dataplane.plan import sqlite

from .addresses import address


class Site:
    """A configuration and the objects of one virtual service, to be changed and saved by tests."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    def save(self, kind: str, tenant: str = "admin", **fields: Any) -> Saved:
        """Create an object, or change the stored one of that name: a field None is removed."""
        stored = self.configuration.find(kind, fields["name"], tenant) or {}
        changed = {**stored, **fields}
        return self.configuration.save(kind, {k: v for k, v in changed.items() if v is not None}, tenant)

    def dsr(self, name: str = "vs1", vip: str = "10.0.0.100", port: int = 80, **fields: Any) -> Saved:
        """Save a whole DSR virtual service with a profile, pool and VIP of its own; fields replace its own ones."""
        octet = int(vip.rpartition(".")[2])
        self.save("networkprofile", name=f"{name}-profile", profile=tcp_profile(dsr_type="DSR_TYPE_L2"))
        self.save(
            "pool",
            name=f"{name}-pool",
            lb_algorithm="LB_ALGORITHM_CONSISTENT_HASH",
            health_monitor_refs=[reference("healthmonitor", "System-TCP")],
            servers=[{"ip": address(f"10.1.{octet}.{last}"), "port": port} for last in (10, 11)],
        )
        self.save("vsvip", name=f"{name}-vip", vip=[{"ip_address": address(vip)}])
        return self.save(
            "virtualservice",
            **{
                "name": name,
                "application_profile_ref": reference("applicationprofile", "System-L4-Application"),
                "network_profile_ref": reference("networkprofile", f"{name}-profile"),
                "pool_ref": reference("pool", f"{name}-pool"),
                "vsvip_ref": reference("vsvip", f"{name}-vip"),
                "services": [{"port": port}],
                **fields,
            },
        )


def tcp_profile(**dsr: Any) -> Document:
    return {"type": "PROTOCOL_TYPE_TCP_FAST_PATH", "tcp_fast_path_profile": {"dsr_profile": dsr}}


def udp_profile(**fields: Any) -> Document:
    dsr = {"dsr_profile": {"dsr_type": "DSR_TYPE_L2"}}
    return {"type": "PROTOCOL_TYPE_UDP_FAST_PATH", "udp_fast_path_profile": {**dsr, **fields}}


@pytest.fixture
def site(tmp_path: Path) -> Any:
    configuration = Configuration.open(tmp_path / "state")
    yield Site(configuration)
    configuration.close()


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Reads the plan as an engine does."""

    def read(after: int = -1) -> plan.Plan:
        connection = sqlite3.connect(tmp_path / "state" / "config.db")
        try:
            return sqlite.read(connection, after)
        finally:
            connection.close()

    return read
