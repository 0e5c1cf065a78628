"""The forwarder, built as `make dpdk` builds it."""

from __future__ import annotations

import subprocess

import pytest

from dataplane.drivers.dpdk import program


@pytest.fixture(scope="session", autouse=True)
def forwarder() -> None:
    if subprocess.run(["pkg-config", "--exists", "libdpdk"], check=False).returncode:
        pytest.skip("DPDK is not installed: make dpdk")
    subprocess.run(["make", "-s", "-C", program.FOLDER], check=True)
