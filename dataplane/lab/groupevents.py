"""Failures and changes of a group of engines in a demonstration, under requests, and what they must show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from dataplane.lab.evidence import Finding, Seen
from dataplane.lab.grouplaboratory import GroupLab
from dataplane.lab.standstill import Witness
from dataplane.lab.steady import Steady
from dataplane.lab.topology import Node

_FOLLOWS = 2.5
"""Seconds after which the router must have left a dead host: BFD notices after three packets, 500 ms apart."""
_TAKES_OVER = 5.0
"""Seconds after which a standby must be active: a second of heartbeats, and more on a busy machine."""
_REPEATED = 1.0
"""Seconds after which a client repeats a SYN (RFC 6298 section 2); a quicker request has lost no packet."""
_ENDS_ALL = 0.5
"""Seconds of standstill of the machine after which heartbeats of a second, and BFD, may take whoever lives for dead."""


def run(lab: GroupLab, seen_at: Sequence[Seen], step: Callable[[str], None]) -> Iterator[Finding]:
    """Run one event after the other. Returns what was seen of each, and tells where the machine stood still for so long
    that this proves nothing. seen_at: the frames of each engine before them."""
    with Witness() as machine:
        begun = time.monotonic()
        yield from _events(lab, seen_at, step)
        if (stood := machine.stood(begun)) > _ENDS_ALL:
            step(f"the machine itself stood still for {stood:.1f} s, which BFD and heartbeats take for deaths")


def _events(lab: GroupLab, seen_at: Sequence[Seen], step: Callable[[str], None]) -> Iterator[Finding]:
    engines = lab.group.engines
    if lab.routes:
        yield _spread(seen_at, engines)
        yield _disabled(lab, engines[1], step)
        yield _drained(lab, engines[1], step)
        yield _dead(lab, engines[2], step)
        yield from _frozen(lab, step)
    else:
        active, standby = sorted(engines, key=lambda node: node != lab.active())
        yield _one_of_two(seen_at, engines, active)
        yield from _taken_over(lab, active, standby, step)
        yield _handed_over(lab, standby, active, step)
        yield from _frozen(lab, step)


def _nothing_lost(steady: Steady) -> bool:
    """Whether all requests were answered, and at once."""
    return not steady.unanswered and steady.slowest < _REPEATED


def _one_of_two(seen_at: Sequence[Seen], engines: Sequence[Node], active: Node) -> Finding:
    """Check that the standby forwards nothing. seen_at: the frames of each engine."""
    frames = {node: len(seen.from_engine) for node, seen in zip(engines, seen_at, strict=True)}
    told = ", ".join(f"{node.name} {count}" for node, count in frames.items())
    holds = [node for node, count in frames.items() if count] == [active]
    return Finding(f"{active.name} is active and forwarded all, the other one nothing", holds, f"frames: {told}")


def _spread(seen_at: Sequence[Seen], engines: Sequence[Node]) -> Finding:
    """Check that the router spreads flows over all engines. seen_at: the frames of each engine."""
    flows = [{(frame.source, frame.source_port) for frame in seen.from_engine} for seen in seen_at]
    told = ", ".join(f"{node.name} {len(its)}" for node, its in zip(engines, flows, strict=True))
    twice = sum(map(len, flows)) - len(set().union(*flows))
    holds = all(flows) and not twice
    return Finding("the router spread the flows over all engines, each flow over one", holds, f"flows: {told}")


def _frozen(lab: GroupLab, step: Callable[[str], None]) -> Iterator[Finding]:
    """etcd has no quorum for a while."""
    others = lab.group.members[1:]
    step(f"etcd's members on {' and '.join(node.name for node in others)} stand still, under requests")
    words = ("-c", "configure healthmonitor dsr-tcp", "-c", "failed_checks 3", "-c", "save")
    before, hops = _commits(lab)[lab.group.engine_name], lab.hops()
    with Steady(lab) as steady:
        lab.freeze()
        refused = lab.shell(*words)
        lab.thaw()
    said = refused.stderr.strip().splitlines()[-1:] or ["nothing"]
    yield Finding("a change is refused while etcd agrees to nothing", refused.returncode != 0, said[0])
    still = lab.hops() == hops
    holds = _nothing_lost(steady) and still
    yield Finding("meanwhile nothing is lost, and no route moves", holds, steady.words())
    step("etcd goes on: the same change again")
    taken = before + 1
    lab.wait(lambda: not lab.shell(*words).returncode, "a change to be taken again")
    lab.wait(lambda: set(_commits(lab).values()) == {taken}, f"all engines to have commit {taken}")
    told = ", ".join(f"{name} {commit}" for name, commit in _commits(lab).items())
    yield Finding("afterwards it is taken, and every engine has it", True, f"commit {before} before, now: {told}")


def _commits(lab: GroupLab) -> dict[str, int]:
    """The commit that each engine has applied; 0 if it does not answer."""
    return {name: int((lab.status(name) or {}).get("version", 0)) for name in lab.engine_states()}


def _disabled(lab: GroupLab, engine: Node, step: Callable[[str], None]) -> Finding:
    """An operator takes an engine out, and back."""
    step(f"{engine.name} is disabled in the shell, under requests")
    others = lab.engine_states().keys() - {engine.name}
    with Steady(lab) as steady:
        took = lab.sends_to(others, lambda: lab.enable(engine, "se_state_disabled"))
    lab.enable(engine, "se_state_enabled")
    lab.sends_to(lab.engine_states())
    return Finding(
        f"{engine.name}, disabled, has no VIP any more, until it is enabled: nothing is lost",
        _nothing_lost(steady),
        f"gone at the router after {took:.2f} s; {steady.words()}",
    )


def _drained(lab: GroupLab, engine: Node, step: Callable[[str], None]) -> Finding:
    """An engine is told to end, as for an upgrade."""
    step(f"{engine.name} is told to end (SIGTERM), under requests")
    others = lab.engine_states().keys() - {engine.name}
    with Steady(lab) as steady:
        took = lab.sends_to(others, lambda: lab.signal_one(engine))
    lab.end_one(engine)
    lab.start_one(engine)
    lab.sends_to(lab.engine_states())
    return Finding(
        f"{engine.name} withdraws the VIP before it ends: nothing is lost",
        _nothing_lost(steady),
        f"gone at the router after {took:.2f} s; {steady.words()}",
    )


def _dead(lab: GroupLab, engine: Node, step: Callable[[str], None]) -> Finding:
    """A host dies."""
    step(f"the host of {engine.name} is cut off, under requests")
    others = lab.engine_states().keys() - {engine.name}
    with Steady(lab) as steady:
        took = lab.sends_to(others, lambda: lab.pull(engine))
    lab.plug(engine)
    lab.sends_to(lab.engine_states())
    return Finding(
        f"the router does without {engine.name} within {_FOLLOWS} s, and every request is answered in the end",
        took - steady.stood < _FOLLOWS and not steady.unanswered,
        f"gone at the router after {took:.2f} s; {steady.words()}",
    )


def _taken_over(lab: GroupLab, active: Node, standby: Node, step: Callable[[str], None]) -> Iterator[Finding]:
    """The host of the active engine dies, and comes back."""
    lab.lead(lab.group.members[-1])
    lab.wait(lab.settled, "all engines to have known each other for some seconds")
    step(f"the host of {active.name}, which is active, is cut off, under requests")
    with Steady(lab) as steady:
        took = lab.sends_to({standby.name}, lambda: lab.pull(active))
    yield Finding(
        f"{standby.name} takes over within {_TAKES_OVER} s, and every request is answered in the end",
        took - steady.stood < _TAKES_OVER and not steady.unanswered,
        f"the router sends to it after {took:.2f} s; {steady.words()}",
    )
    step(f"the host of {active.name} comes back, under requests")
    with Steady(lab) as steady:
        lab.plug(active)
        lab.wait(lambda: lab.active() == standby, f"{active.name} to stand by")
        took = lab.sends_to({standby.name})
    yield Finding(
        f"{active.name} stands by now: nothing moves back, nothing is lost",
        _nothing_lost(steady),
        f"the router sends to {standby.name} alone after {took:.2f} s; {steady.words()}",
    )


def _handed_over(lab: GroupLab, active: Node, standby: Node, step: Callable[[str], None]) -> Finding:
    """The active engine is told to end, as for an upgrade."""
    lab.wait(lab.complete, "all engines to know each other")
    step(f"{active.name}, which is active now, is told to end (SIGTERM), under requests")
    with Steady(lab) as steady:
        took = lab.sends_to({standby.name}, lambda: lab.signal_one(active))
        lab.end_one(active)
    lab.start_one(active)
    lab.wait(lab.complete, "all engines to know each other")
    return Finding(
        f"{active.name} has {standby.name} take over before it ends: nothing is lost",
        _nothing_lost(steady),
        f"the router sends to it after {took:.2f} s; {steady.words()}",
    )
