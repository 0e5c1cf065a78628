"""`show networkprofile NAME internal`: what the plan makes of a profile, and what engines remember for it."""

from __future__ import annotations

from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import Document, place, reference_name
from avi_shell.configuration.linking import followers
from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import live
from avi_shell.views.gathering import Engines
from dataplane import plan
from grammar import schema

_HEAD = ("Virtual Service", "VIP", "Mode", "Hash", "Idle Timeout", "Per Packet", "Moving Slots", "Flows")


def internal(
    configuration: Configuration, engines: Engines, profile: Document
) -> tuple[list[Part], list[dict[str, Any]]]:
    """What to print, and a row for each planned service for programs."""
    services = _planned(configuration, profile)
    answers = engines.answers("table", word="flowtable")
    told = []
    for service in services:
        tables = [
            row for one in answers for row in one["rows"] if row["pool"] == service.pool and service.vip in row["vips"]
        ]
        told.append(
            {
                "virtualservice": service.virtualservice,
                "vip": service.vip,
                "protocol": service.protocol,
                "port": service.port,
                "port_end": service.port_end,
                "mode": service.mode,
                "hash": service.hash_key,
                "idle_timeout": service.idle_timeout,
                "per_packet": service.per_packet,
                "moving_slots": sum(row["in_transition"] + row["tracked"] for row in tables) if tables else None,
                "flows": sum(row["flows"] for row in tables) if tables else None,
            }
        )
    parts: list[Part] = [*answers.told()]
    if not told:
        parts.append(f"No virtual service with direct server return uses network profile {profile['name']}.")
        return parts, told
    rows: list[tuple[str, ...]] = [
        (
            str(one["virtualservice"]),
            f"{one['vip']}:{one['port']} {one['protocol']}",
            str(one["mode"]),
            str(one["hash"]),
            f"{one['idle_timeout']} s" if one["idle_timeout"] else "infinite",
            "yes" if one["per_packet"] else "no",
            *("-" if one[what] is None else str(one[what]) for what in ("moving_slots", "flows")),
        )
        for one in told
    ]
    parts += [
        Table(_HEAD, rows),
        Prose("Flows are remembered of slots that changed their server lately, of no others."),
    ]
    if not answers and not answers.doubtful:
        parts.append(live.no_engine(engines.directory))
    return parts, told


def _planned(configuration: Configuration, profile: Document) -> list[plan.Service]:
    """The planned services that a profile is of, as a virtual service's or in the place of that for one port."""
    with configuration.snapshot() as store:
        ids = dict.fromkeys(followers(store, [place(schema.kind("networkprofile"), profile)]))
        users = {one.uuid: one.document for one in map(store.by_id, ids)}
        planned = [one for one in store.whole_plan().services.values() if one is not None and one.uuid in users]
    name = profile["name"]
    mine = [one for one in planned if reference_name(_profile_of(users[one.uuid], one.port)) == name]
    return sorted(mine, key=lambda one: (one.virtualservice, one.vip, one.port))


def _profile_of(service: Document, port: int) -> str:
    """The reference to the profile of a virtual service's port."""
    own = (one.get("override_network_profile_ref") for one in service.get("services", ()) if one.get("port") == port)
    return str(next(filter(None, own), service.get("network_profile_ref", "")))
