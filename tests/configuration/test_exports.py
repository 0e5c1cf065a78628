"""An appliance's export that is imported and exported again is the same, object by object, but for added defaults."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, address_text, copy, reference, target
from dataplane import plan
from grammar import schema

from . import appliance

Place = tuple[str, str, str, str]


def differences(meant: dict[str, list[Document]], exported: dict[str, Any]) -> Iterator[str]:
    """Where an export says something else than is meant: an object or a value that is missing or another (1 is not
    True), or one more that is neither a default nor filled in."""
    wanted, found, fresh = placed(meant), placed(exported), defaults().keys()
    yield from (f"{place} is missing" for place in wanted.keys() - found.keys())
    yield from (f"{place} was not asked for" for place in found.keys() - wanted.keys() - fresh)
    for place in wanted.keys() & found.keys():
        kind = schema.kind(place[0])
        yield from message(kind, kind.root, wanted[place], found[place], "/".join(place))


@cache
def defaults() -> dict[Place, Document]:
    """What a fresh store holds."""
    return placed(transfer.export(Configuration.in_memory()))


def placed(data: dict[str, Any]) -> dict[Place, Document]:
    """The objects of the kinds of the model, by kind, tenant, cloud and name."""
    found = {}
    for segment, name in schema.SEGMENTS.items():
        for one in data.get(name, ()):
            tenant, cloud = (target(one[f"{of}_ref"]).name if f"{of}_ref" in one else "" for of in ("tenant", "cloud"))
            found[segment, tenant, cloud, one["name"]] = one
    assert len(found) == sum(len(data.get(name, ())) for name in schema.SEGMENTS.values())
    return found


def message(kind: schema.Kind, of: schema.Message, meant: Document, found: Document, place: str) -> Iterator[str]:
    yield from (f"{place}.{name} is missing" for name in meant.keys() - found.keys())
    for name, value in found.items():
        field = of.fields.get(name)
        inner = kind.message(field) if field is not None else None
        if name in meant:
            yield from values(kind, field, inner, meant[name], value, f"{place}.{name}")
        elif field is None or not (
            same(value, field.default) or (name in FILLED and same(value, FILLED[name](kind, found)))
        ):
            yield f"{place}.{name} is {value!r} and was not asked for"


def values(
    kind: schema.Kind, field: schema.Field | None, inner: schema.Message | None, meant: Any, found: Any, place: str
) -> Iterator[str]:
    if inner is not None and isinstance(meant, dict) and isinstance(found, dict):
        yield from message(kind, inner, meant, found, place)
    elif inner is not None and isinstance(meant, list) and isinstance(found, list) and len(meant) == len(found):
        for index, pair in enumerate(zip(meant, found, strict=True), 1):
            yield from values(kind, field, inner, *pair, f"{place}[{index}]")
    elif field is not None and field.type == "ref":
        refs = [[target(one) for one in (ref if isinstance(ref, list) else [ref])] for ref in (meant, found)]
        if refs[0] != refs[1]:
            yield f"{place} is {found!r}, not {meant!r}"
    elif not same(meant, found):
        yield f"{place} is {found!r}, not {meant!r}"


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _filled(segment: str, name: str) -> Callable[[schema.Kind, Document], str]:
    """What an object of a cloud refers to where it names nothing: its own cloud's, where there is one."""

    def ref(kind: schema.Kind, found: Document) -> str:
        cloud = target(found["cloud_ref"]).name
        return reference(segment, name, cloud=cloud if target(found["tenant_ref"]).name == "admin" else "")

    return ref


FILLED: dict[str, Callable[[schema.Kind, Document], Any]] = {
    "uuid": lambda kind, found: found["uuid"] if found["uuid"].startswith(f"{kind.segment}-") else "",
    "hostname": lambda _, found: address_text(found["ip"]),
    "port_range_end": lambda _, found: found["port"],
    "vip_id": lambda _, found: "0",
    "vrf_ref": _filled("vrfcontext", "global"),
    "vrf_context_ref": _filled("vrfcontext", "global"),
    "se_group_ref": _filled("serviceenginegroup", "Default-Group"),
    "cloud_ref": lambda _, found: reference("cloud", "Default-Cloud"),
    "network_profile_ref": lambda _, found: reference("networkprofile", "System-TCP-Proxy"),
    "application_profile_ref": lambda _, found: reference("applicationprofile", "System-HTTP"),
    "preserve_client_port": lambda _, found: False,
    "config_settings": lambda _, found: {
        "tenant_vrf": False,
        "se_in_provider_context": True,
        "tenant_access_to_provider_se": True,
    },
}
"""Fields that are filled in beside the model's defaults, and with what."""


def imported(data: dict[str, Any], **options: Any) -> Configuration:
    configuration = Configuration.in_memory()
    transfer.import_(configuration, data, **options)
    return configuration


@pytest.fixture(scope="module")
def exported() -> dict[str, Any]:
    """What comes back of the appliance's export."""
    return transfer.export(imported(appliance.written(random.Random(1)), keep_uuid=True))


def test_there_are_objects_of_every_kind_and_the_clouds_use_the_same_names() -> None:
    meant = appliance.meant()
    assert sum(map(len, meant.values())) >= 40
    assert all(meant[name] for name in schema.SEGMENTS.values())
    names = [{(p[0], p[3]) for p in placed(meant) if p[1:3] == ("admin", cloud)} for cloud in appliance.CLOUDS]
    assert len(names[0] & names[1]) >= 13


@pytest.mark.parametrize("seed", range(1, 5))
def test_it_comes_back_equal_object_by_object(seed: int) -> None:
    data = appliance.written(random.Random(seed))
    before = copy(data)
    configuration = imported(data, keep_uuid=True)
    assert data == before  # what was handed over is not changed
    found = transfer.export(configuration)
    assert list(differences(appliance.meant(), found)) == []
    assert {name: body for name, body in found.items() if name in appliance.UNKNOWN} == appliance.UNKNOWN
    text = transfer.dumps(found)
    assert transfer.dumps(transfer.export(imported(json.loads(text), keep_uuid=True))) == text
    again = transfer.import_(configuration, appliance.written(random.Random(seed + 10)), keep_uuid=True)
    assert (again.created, again.changed) == ({}, {})  # the same, written otherwise


def test_what_forwards_is_left_alone_by_a_service_of_the_same_vip_whose_traffic_is_off() -> None:
    data = appliance.written(random.Random(1))
    alone = {**data, "VirtualService": [one for one in data["VirtualService"] if one["name"] != "off"]}

    def planned(data: dict[str, Any]) -> dict[str, plan.Service | None]:
        with imported(data, keep_uuid=True).snapshot() as store:
            return {**store.whole_plan().services}

    keys = {f"10.{n}.0.100/{ports}" for n in (0, 1) for ports in (f"tcp/{80 + n}-{80 + n}", "udp/53-63")}
    assert planned(data) == planned(alone)
    assert planned(data).keys() == keys


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a single value: what holds it, and where."""
    for at, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, dict | list):
            yield from _leaves(item)
        else:
            yield value, at


def test_the_comparison_sees_every_value_that_is_another(exported: dict[str, Any]) -> None:
    meant = appliance.meant()
    wanted, found, count = placed(meant), placed(exported), 0
    for place, one in wanted.items():
        kind, mine = schema.kind(place[0]), found[place]
        for holder, at in list(_leaves(mine)):
            value = holder[at]
            holder[at] = f"{value}x" if isinstance(value, str) else 1 if value is True else not value
            if (holder, at) != (mine, "uuid") or "uuid" in one:
                assert list(message(kind, kind.root, one, mine, "")), (place, at, value)
            holder[at] = value
            count += 1
        assert list(message(kind, kind.root, one, mine, "")) == []
    assert count > 1000
    for change in ({"new": 1}, {"description": "x"}):
        exported["Pool"][0] |= change
        assert list(differences(meant, exported))
        for key in change:
            del exported["Pool"][0][key]
    for name in meant:
        gone = exported[name].pop()
        assert list(differences(meant, exported)), name
        exported[name].append(gone)
    assert list(differences(meant, exported)) == []
