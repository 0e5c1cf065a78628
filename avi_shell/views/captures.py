"""`show virtualservice NAME capture`, `show serviceengine NAME capture`: captures, and what the newest one holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avi_shell.errors import Refused
from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import live
from avi_shell.views.gathering import Engines
from dataplane.foreign.text import harmless
from dataplane.wording import clock, moment, rfc3339, timed

MOST = 1000
"""Packets that are shown."""
_HEAD = ("Service Engine", "Began", "State", "Packets", "Forwarded", "Dropped", "Not captured", "File")
_PACKETS = ("Time", "Interface", "Where", "Verdict", "To MAC", "Packet")


def captures(engines: Engines, of: str, only: str = "") -> tuple[list[Part], list[dict[str, Any]]]:
    """What to print, and the same for programs: a row for each capture of a virtual service (as `called` names it), ""
    of drops, the newest of each engine first. only: the one engine that is meant."""
    answers = engines.answer(only, "captures", of=of) if only else engines.answers("captures", of=of)
    found = [{"service_engine": answer["name"], **one} for answer in answers for one in answer["captures"]]
    parts: list[Part] = [Table(_HEAD, [_row(one) for one in found])] if found else []
    parts += answers.told()
    if not answers and not answers.doubtful:
        parts.append(live.no_engine(engines.directory))
    elif not found and not answers.doubtful:
        parts.append("Nothing was captured.")
    return parts, timed(found)


def packets(engines: Engines, of: str, only: str = "") -> tuple[list[Part], list[dict[str, Any]]]:
    """The packets of the newest of these captures whose file is on this host. Raises Refused where there is none."""
    path = newest(engines, of, only)
    held = list(_read(path))
    parts: list[Part] = [Table(_PACKETS, [(one["clock"], *list(one.values())[2:]) for one in held[:MOST]])]
    if len(held) > MOST:
        parts.append(Prose(f"The first {MOST} are shown. All are in {path}."))
    return parts, held


def newest(engines: Engines, of: str, only: str = "") -> Path:
    """The file of the newest of these captures that is on this host. Raises Refused where there is none."""
    told, found = captures(engines, of, only)
    here = [Path(one["file"]) for one in found if _is_here(one, engines.directory)]
    if not here:
        hint = f"its file is {found[0]['file']} on another host" if found else " ".join(map(str, told))
        raise Refused("there is no capture on this host", hint=hint)
    return max(here, key=lambda path: path.name.rpartition("@")[2])


def _is_here(report: Mapping[str, Any], directory: Path) -> bool:
    path = Path(report["file"])
    return directory.absolute() in path.absolute().parents and path.is_file()


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    if "packets" not in one:  # of a former run
        return one["service_engine"], "-", "ended", "-", "-", "-", "-", one["file"]
    dropped = ", ".join(f"{number} {reason}" for reason, number in sorted(one["dropped"].items()))
    return (
        one["service_engine"],
        moment(one["begun"]),
        "running" if one["running"] else f"ended: {one['ended']}",
        str(one["packets"]),
        str(one["verdicts"].get("forwarded", 0)),
        dropped or "0",
        str(one["lost"]),
        one["file"],
    )


def _read(path: Path) -> Iterator[dict[str, str]]:
    """Each frame of a file, as scapy sees it."""
    import scapy.layers.inet
    import scapy.layers.l2  # noqa: F401  # what dissects
    from scapy.utils import PcapReader

    with PcapReader(str(path)) as frames:
        for frame in frames:
            told = getattr(frame, "comments", None) or [getattr(frame, "comment", None) or b""]
            where, _, verdict = told[0].decode("utf-8", "replace").partition(": ")
            at = float(frame.time)
            yield {
                "time": rfc3339(at, 6),
                "clock": clock(at, 6),
                "interface": harmless(str(frame.sniffed_on or "-")),
                "where": where or "-",
                "verdict": harmless(verdict.removeprefix("verdict ")) or "-",
                "mac": harmless(str(getattr(frame, "dst", "-"))),
                "packet": harmless(frame.summary().removeprefix("Ether / ")),
            }
