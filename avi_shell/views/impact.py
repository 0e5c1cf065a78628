"""What a change does to what is forwarded, before it is stored: asked of the engines, told in one paragraph."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from avi_shell.configuration.replanned import Replanned
from avi_shell.views.gathering import Engines, Reports
from dataplane.wording import counted, fits
from grammar.lexer import quote

if TYPE_CHECKING:
    from dataplane.impact.impact import Impact, PoolImpact, Preparation

DEADLINE = 0.3
"""Seconds that the engines have."""
_SHOWN = 4
"""Names of a kind that a sentence lists."""
_NEEDS = {"l2": "layer 2", "l3-ipip": "an IP-in-IP tunnel", "l3-gre": "a GRE tunnel"}


def foretold(engines: Engines, replanned: Replanned) -> tuple[str, dict[str, Any] | None]:
    """What a change does: one paragraph, and the same as data; "" and None where nothing that is forwarded changes."""
    from dataplane.impact import impact, question

    before, after = replanned.before, replanned.after
    asked = question.request(before, after)
    if not asked["pools"] and before.keys() == after.keys():
        return "", None
    answers = engines.answers("impact", seconds=DEADLINE, within=DEADLINE, **asked)
    found = impact.of(before, after, [question.read(answer) for answer in answers], time.time())
    if not found:
        return "", None
    told = " ".join([*_sentences(found), *_basis(found, answers)])
    return told, {
        **asdict(found),
        "service_engines": [answer["name"] for answer in answers],
        "silent": answers.silent,
    }


def _sentences(found: Impact) -> Iterator[str]:
    if found.vips_appear:
        yield f"{_vips(found.vips_appear)} {_s('appear', found.vips_appear)}."
    if found.vips_vanish:
        yield f"{_vips(found.vips_vanish)} {_s('vanish', found.vips_vanish)}."
    several = len(found.pools) > len({pool.uuid for pool in found.pools})
    for pool in found.pools:
        yield from _pool(pool, several=several)
    for one in found.connections_end:
        ports = f"{one.port}" if one.port == one.port_end else f"{one.port}-{one.port_end}"
        yield f"All connections of {one.virtualservice} {one.vip} {one.protocol} {ports} end: {one.why}."
    groups: dict[tuple[str, str, str], list[Preparation]] = {}
    for prepared in found.preparation:
        groups.setdefault((prepared.vip, prepared.mode, prepared.pool), []).append(prepared)
    for needed, servers in groups.items():
        yield from _prepared(*needed, servers)


def _pool(found: PoolImpact, *, several: bool) -> Iterator[str]:
    """several: a pool has different tables, so that each is told with what it is of."""
    where = f" for {_vips(found.vips)}" if several else ""
    where += f" on {_names(found.service_engines)}" if several and found.service_engines else ""
    name = f"Pool {found.pool}{where}"
    if found.change == "new":
        yield f"{name} is new: {_receive(found.begin, 'begin') or 'no server receives'}."
    elif found.change == "gone":
        yield f"{name} is not used any more: {_receive(found.stop, 'stop') or 'no server received'}."
    else:
        who = ", ".join(filter(None, (_receive(found.begin, "begin"), _receive(found.stop, "stop"))))
        if found.moved or not found.rehashed:
            moved = f"{found.moved:,} of {found.slots:,} slots ({found.percent:g} %) move"
            yield f"{name}: {moved}{'; ' * bool(who)}{who}."
        yield from _connections(found, name)


def _receive(servers: Sequence[str], verb: str) -> str:
    return f"{_names(servers)} {_s(verb, servers)} to receive" if servers else ""


def _connections(found: PoolImpact, name: str) -> Iterator[str]:
    if found.rehashed:
        yield f"{name} hashes clients by another key: most connections reach another server, and end."
    elif found.ended_slots:
        yield f"Connections of {_names(found.ended_servers)} end: {found.ended_percent:g} % of the slots."
    if found.draining:
        time = "" if found.drain_seconds < 0 else f" for {found.drain_seconds:,.0f} s at most"
        yield f"Connections of {_names(found.draining)} go on{time}."
    elif found.moved and not (found.ended_slots or found.rehashed):
        yield "Connections that exist stay with their servers."
    if found.ended_flows:
        ended = counted(found.ended_flows, "connection")
        yield f"{ended} of disabled servers {fits(found.ended_flows, 'ends', 'end')}."


def _prepared(vip: str, mode: str, pool: str, servers: Sequence[Preparation]) -> Iterator[str]:
    what = f"for VIP {vip} by {_NEEDS[mode]}"
    if all(one.prepared for one in servers):
        count = f"All {len(servers)} servers" if len(servers) > 1 else servers[0].server
        yield f"{count} of pool {pool} {_s('is', servers)} prepared {what}."
    lacking = [one.server for one in servers if one.prepared is False]
    if lacking:
        remedy = f"show pool {quote(pool)} server-setup"
        yield f"{_names(lacking)} {_s('is', lacking)} not prepared {what}; prepare first: {remedy}."
    unknown: dict[str, list[str]] = {}
    for one in servers:
        if one.prepared is None:
            unknown.setdefault(one.why, []).append(one.server)
    for why, whose in unknown.items():
        yield f"Whether {_names(whose)} {_s('is', whose)} prepared {what} is not known: {why}."


def _basis(found: Impact, answers: Reports) -> Iterator[str]:
    """Whose word all this is."""
    for why in answers.silent.values():
        yield f"{why}."
    if answers.fault:
        yield f"The engines of other hosts were not asked: {answers.fault}."
    if not any(pool.service_engines for pool in found.pools) and any(p.change == "changed" for p in found.pools):
        yield "No service engine that forwards it answered: every enabled server is taken as up."


def _vips(vips: Sequence[str]) -> str:
    return f"VIP{'s' * (len(vips) > 1)} {_names(vips)}"


def _names(names: Sequence[str]) -> str:
    """The first of some names, and how many there are."""
    more = f", … ({len(names):,} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _s(verb: str, subjects: Sequence[object]) -> str:
    """A verb in the form that fits one subject, or several."""
    if len(subjects) > 1:
        return {"is": "are"}.get(verb, verb)
    return {"is": "is", "vanish": "vanishes"}.get(verb, f"{verb}s")
