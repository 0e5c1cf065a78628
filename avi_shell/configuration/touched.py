"""What a commit in the making did so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from avi_shell.configuration import redundancy
from avi_shell.configuration.entry import Entry
from avi_shell.configuration.replanned import Replanned
from avi_shell.configuration.walks import Reference

COMMON_KINDS = ("serviceengine", "serviceenginegroup", "vrfcontext")
_COMMON_FIELDS = (
    *("se_use_dpdk", "se_dpdk_pmd", "num_dispatcher_cores", "max_queues_per_vnic"),
    *("enable_gratarp_permanent", "gratarp_permanent_periodicity", "se_group_ref", "cloud_ref"),
    *("bgp_profile", "bfd_profile", "enable_state", *redundancy.FIELDS),
)
"""The kinds, and their fields, that the plan's common document is made of."""


class Put(NamedTuple):
    """An object that was put."""

    entry: Entry  # as stored now
    created: bool  # no such object was stored before
    changed: bool  # False if it was stored like this already


@dataclass(slots=True)
class Touched:
    """What a commit touched so far."""

    entries: dict[int, Entry] = field(default_factory=dict)  # objects that it put, in order, as they are stored now
    references: dict[int, list[Reference]] = field(default_factory=dict)  # those in each of them
    created: set[int] = field(default_factory=set)  # of the objects, those that were not stored before
    saved: set[int] = field(default_factory=set)  # of the objects, those that the operator saved
    holders: list[Entry] = field(default_factory=list)  # those whose own addresses changed
    common: bool = False  # what the engines share may have changed
    services: dict[int, None] = field(default_factory=dict)  # ids of virtual services to check and compile, in order
    gone: set[str] = field(default_factory=set)  # keys of the plan's services of what was removed
    replanned: Replanned = field(default_factory=Replanned)  # the changes that it makes to the plan


def common_part(entry: Entry) -> tuple[object, ...]:
    """The part of an object that goes into the plan's common document."""
    document = entry.document
    return entry.target, *(document.get(name) for name in _COMMON_FIELDS)
