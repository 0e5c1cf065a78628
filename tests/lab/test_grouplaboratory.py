"""A laboratory of several engines needs programs that others do not."""

import shutil

import pytest

from dataplane.errors import LabError
from dataplane.lab import topology
from dataplane.lab.grouplaboratory import GroupLab
from dataplane.lab.topology import Group


@pytest.mark.parametrize(("program", "package"), [("etcd", "etcd-server"), ("bird", "bird2")])
def test_a_program_that_is_missing_is_named_with_its_package(
    program: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = topology.load(topology.find("bgp_ecmp"))
    assert isinstance(there, Group)
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name == program else f"/bin/{name}")
    with pytest.raises(LabError) as refused:
        GroupLab(there, name="missing").open()
    assert refused.value.what == f"{program} is not here, which this laboratory needs"
    assert refused.value.remedy == f"apt-get install {package} && systemctl disable --now {program}"
