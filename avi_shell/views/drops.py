"""`show virtualservice NAME drops`, `show serviceengine NAME drops`: each reason with what it means and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from avi_shell import manual
from avi_shell.configuration.document import Document
from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import live, reported
from avi_shell.views.gathering import Engines
from dataplane.wording import clock, timed

LOOK = 0.5
"""Seconds for which the engines look at what is dropped."""
_ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
_SECTION = re.compile(r"^## Drops$(.+?)^## ", re.MULTILINE | re.DOTALL)


class Meaning(NamedTuple):
    """What the manual says of a reason."""

    means: str
    advice: str


@cache
def meanings() -> Mapping[str, Meaning]:
    """The table of drop reasons in the manual, by reason."""
    section = _SECTION.search(manual.page("operating"))
    rows = _ROW.findall(section[1] if section else "")
    return {reason: Meaning(means.replace("`", ""), advice.replace("`", "")) for reason, means, advice in rows}


def of_service(engines: Engines, service: Document) -> tuple[list[Part], list[dict[str, Any]]]:
    """Drops of a virtual service, on every engine. What to print, and the same for programs."""
    uuid = str(service.get("uuid", ""))
    parts, told = _told(engines, "", uuid)
    if told:
        names = ", ".join(f"show serviceengine {one['service_engine']} drops" for one in told[:2])
        what = "A packet that is dropped before its service is known is counted for its engine alone"
        parts.append(Prose(f"{what} (vip_down and no_service are such reasons): {names}."))
    return parts, told


def of_engine(engines: Engines, name: str) -> tuple[list[Part], list[dict[str, Any]]]:
    """All drops of one engine."""
    return _told(engines, name, "")


def _told(engines: Engines, name: str, uuid: str) -> tuple[list[Part], list[dict[str, Any]]]:
    answers = engines.answers("drops", name, virtualservice=uuid, look=LOOK)
    reports = engines.reports(uuid or "none", name)
    known = {report["name"]: report for report in reports}
    parts: list[Part] = [*answers.told()]
    told = []
    for answer in answers:
        if name and answer["name"] != name:
            continue
        report = known.get(answer["name"], {})
        risen = _risen(report, uuid)
        samples = {one["reason"]: one for one in answer["samples"]}
        counted = sorted(_counted(report, uuid).items(), key=lambda one: -one[1])
        reasons = [_reason(reason, count, risen, samples) for reason, count in counted]
        told.append({"service_engine": answer["name"], "unsampled": answer["unsampled"], "dropped": reasons})
        parts.append(f"Service engine {answer['name']}")
        parts += _drawn(reasons) if reasons else ["Nothing was dropped."]
        if answer["unsampled"]:
            parts.append(Prose(f"No frame was looked at: {answer['unsampled']}."))
    if not told and not answers.doubtful:
        parts.append(f"Service engine {name} does not run." if name else live.no_engine(engines.directory))
    return parts, timed(told)


def _counted(report: Mapping[str, Any], uuid: str) -> Mapping[str, int]:
    """Packets by reason, of an engine or a virtual service."""
    if not uuid:
        dropped: Mapping[str, int] = report.get("dropped", {})
        return dropped
    counts: dict[str, int] = {}
    for service in report.get("services", ()):
        for reason, count in service["dropped"].items() if service["uuid"] == uuid else ():
            counts[reason] = counts.get(reason, 0) + count
    return counts


def _risen(report: Mapping[str, Any], uuid: str) -> Mapping[str, float] | None:
    """Packets a second by reason, of an engine or a virtual service; None where that is not known."""
    rates = report.get("rates")
    if rates is None:
        return None
    if not uuid:
        dropped: Mapping[str, float] = rates["dropped"]
        return dropped
    risen: dict[str, float] = {}
    for service in report.get("services", ()):
        told = rates["services"].get(reported.key(service)) if service["uuid"] == uuid else None
        for reason, rate in (told or {"dropped": {}})["dropped"].items():
            risen[reason] = risen.get(reason, 0.0) + rate
    return risen


def _reason(reason: str, count: int, risen: Mapping[str, float] | None, samples: Mapping[str, Any]) -> dict[str, Any]:
    meaning = meanings().get(reason, Meaning("", ""))
    return {
        "reason": reason,
        "packets": count,
        "packets_per_second": None if risen is None else risen.get(reason, 0.0),
        "means": meaning.means,
        "what_to_do": meaning.advice,
        "sample": samples.get(reason),
    }


def _drawn(reasons: list[dict[str, Any]]) -> Iterator[Part]:
    rows = [(one["reason"], str(one["packets"]), reported.rate(one["packets_per_second"])) for one in reasons]
    yield Table(("Reason", "Packets", "Packets/s"), rows)
    for one in reasons:
        yield Prose(f"{one['reason']}: {one['means']}. What to do: {one['what_to_do']}.")
        if one["sample"] is not None:
            yield Prose(f"  last seen {header(one['sample'])}")


def header(sample: Mapping[str, Any]) -> str:
    """A sampled frame in words."""
    when = clock(sample["at"])
    source, destination = (
        f"{sample[end]}:{sample[f'{end}_port']}" if sample[f"{end}_port"] is not None else f"{sample[end]}"
        for end in ("source", "destination")
    )
    what = " ".join(filter(None, (sample["protocol"], ",".join(sample["flags"]), "fragment" * sample["fragment"])))
    where = f"on {sample['interface']} from {sample['source_mac']}"
    return f"{when} {where}: {source} > {destination} {what}, {sample['size']} bytes, TTL {sample['ttl']}"
