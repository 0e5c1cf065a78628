"""Where the VIPs of a virtual service are, since when, why there, and what if an engine fails: as etcd has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avi_shell.configuration.document import Document
from avi_shell.output.result import Part, Prose, Table
from dataplane.wording import moment, timed

if TYPE_CHECKING:
    from dataplane.membership.requesting import Seen

_HEAD = ("VIP", "Service Engine", "State", "Since", "If It Fails")


def parts(seen: Seen, document: Document) -> tuple[list[Part], Any]:
    """What to print, and the same as data."""
    from dataplane.membership import requesting

    rows, reasons, data = list[tuple[str, ...]](), list[Part](), []
    for vip in seen.of_services.get(str(document["uuid"]), ()):
        told = requesting.told(seen, vip)
        data.append({"vip": vip, **told})
        for one in told["engines"]:
            since = moment(one["since"])
            rows.append((vip, one["name"], one["state"], since, one["if_fails"]))
            if one["why"]:
                reasons.append(Prose(f"{vip} is on {one['name']}: {one['why']}"))
        if told["lacking"]:
            reasons.append(Prose(f"{vip}: {told['lacking']}"))
    if not data:
        return [Prose(f"No service engine forwards virtual service {document['name']}.")], data
    placer = f"Service engine {seen.placer} places." if seen.placer else "No service engine places at the moment."
    return [Table(_HEAD, rows), *reasons, Prose(placer)], timed(data)
