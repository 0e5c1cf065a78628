"""The demonstration: a session of the shell forwards real requests, and the captures prove how.

It prints for people, and returns whether it saw everything that it claims.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from dataplane import drawing
from dataplane.errors import LabError
from dataplane.lab import evidence, groupevents
from dataplane.lab.evidence import Flow, Frame, Seen
from dataplane.lab.grouplaboratory import GroupLab
from dataplane.lab.laboratory import Lab
from dataplane.lab.topology import CLIENT, Group, Topology
from dataplane.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

FIRST_PORT = 20001
CURL_PATIENCE = 5
"""Seconds that curl waits for one answer."""


def run(lab: Lab, console: Console, requests: int) -> bool:
    """Build, configure, ask, prove, tear down. Raises LabError if it does not get as far as the proof."""
    topology = lab.topology
    with console.status("") as status:

        def step(text: str) -> None:
            console.print(f"• {text}")
            status.update(f"{text} …")

        step(f"building {topology.title}")
        with lab:
            console.print(prepare(lab, step), soft_wrap=True)
            console.print(hosts(lab, columns(console)), soft_wrap=True)
            for node in (*topology.forwarders, topology.client):
                lab.capture(node.name)
            step(f"the client asks {counted(requests, 'time')}, each time from another port")
            answered = ask(lab, requests)
            lab.finish_captures()
            step("reading the captures")
            at_client = evidence.read(lab.folder / f"{CLIENT}.pcap", topology)
            seen_at = [
                evidence.sort(evidence.read(lab.folder / f"{node.name}.pcap", topology), at_client, topology)
                for node in topology.forwarders
            ]
            seen = evidence.joined(seen_at)
            found = evidence.findings(seen, answered, requests, topology)
            told = lab.status() or {}
            if isinstance(lab, GroupLab):
                found += groupevents.run(lab, seen_at, step)
            step("taking it down")
    console.print()
    console.print(_answers(answered, topology), soft_wrap=True)
    console.print(_exchange(seen, topology, columns(console)), soft_wrap=True)
    for finding in found:
        console.print(f"{'OK    ' if finding.holds else 'FAILED'} {finding.claim}", soft_wrap=True)
        console.print(f"       {finding.seen}", soft_wrap=True)
    drops = ", ".join(f"{reason} {n}" for reason, n in told.get("dropped", {}).items()) or "none"
    console.print(f"\nDropped by the engine: {drops}")
    return all(finding.holds for finding in found)


def prepare(lab: Lab, step: Callable[[str], None]) -> str:
    """Start everything, replay the topology's session, wait until it works. Returns the session's transcript."""
    topology = lab.topology
    engines = lab.engine_states()
    step(f"starting the service engine{'s' if len(engines) > 1 else ''} {', '.join(engines)}")
    lab.start_engine()
    step(f"preparing {counted(len(topology.servers), 'server')} with avi-server and starting them")
    lab.start_servers()
    step(f"replaying {topology.session.name} with avi-shell")
    transcript = lab.configure()
    step("waiting until the health monitors have seen every server")
    lab.wait_ready()
    return transcript


def ask(lab: Lab, requests: int) -> dict[Flow, str]:
    """Make real requests from the client. Returns the name of the server that answered, by flow."""
    ports = range(FIRST_PORT, FIRST_PORT + requests)
    address = lab.topology.client.address
    if lab.topology.protocol == "udp":
        return {(address, answer.port): answer.server for answer in lab.ask(ports) if answer.server}
    listed = lab.folder / "curl.conf"
    listed.write_text("next\n".join(map(_curl_lines, [lab.topology] * requests, ports)), "utf-8")
    run = subprocess.run(
        lab.hosts[CLIENT].command("curl", "--silent", "--config", str(listed)), capture_output=True, text=True
    )
    if not run.stdout:
        raise LabError(f"curl: status {run.returncode} {run.stderr.strip()}")
    answered, body = {}, ""
    for line in run.stdout.splitlines():
        if line.startswith("= "):
            _, port, code = line.split()
            if code == "200":
                answered[address, int(port)] = body
        else:
            body = line
    return answered


def _curl_lines(topology: Topology, port: int) -> str:
    """One request of the one curl that makes them all, each from its own port (curl(1), --config)."""
    return (
        f'url = "http://{topology.vip}:{topology.port}/"\nlocal-port = {port}\nmax-time = {CURL_PATIENCE}\n'
        f'write-out = "= {port} %{{http_code}}\\n"\n'
    )


def columns(console: Console) -> int | None:
    """The columns that tables have; None where they go to no terminal."""
    return console.width if console.is_terminal else None


def hosts(lab: Lab, width: int | None) -> str:
    """The hosts on the segments, as a table of at most so many columns (None: as many as it needs). The engine must
    answer."""
    topology, told = lab.topology, lab.status()
    if told is None:
        raise LabError(f"the service engine does not answer: {lab.tail(topology.engine.name)}")
    states = {server["address"]: server for pool in told["pools"] for server in pool["servers"]}
    rows = [("client", topology.client.address, topology.client.mac, "asks the VIP")]
    for node, name in zip(topology.forwarders, lab.engine_states(), strict=True):
        its = lab.status(name) or told
        modes = ", ".join(f"{its['driver']['name']} ({mode})" for mode in its["driver"]["interfaces"].values())
        rows.append((node.name, node.address, node.mac, f"{name}, driver {modes}"))
    where = topology.engine.mac if len(topology.forwarders) == 1 else ""
    rows.append(("", topology.vip, where, f"the VIP, {topology.protocol} port {topology.port}"))
    for node in topology.servers:
        server = states[node.address]
        about = f"{server['state']}, {server['share']:.1%} of the table; the VIP on its loopback"
        rows.append((node.name, node.address, node.mac, about))
    if topology.router:
        far = isinstance(topology, Group)
        near, beyond = ("engines and servers", "the client") if far else ("client and engine", "the servers")
        for node, about in ((topology.router.near, near), (topology.router.far, beyond)):
            rows.append((node.name, node.address, node.mac, f"the default gateway of {about}"))
    return drawing.draw(("Host", "Address", "MAC address", "What it is"), rows, width)


def _answers(answered: dict[Flow, str], topology: Topology) -> str:
    counts = Counter(answered.values())
    rows = [(node.name, str(counts[node.name])) for node in topology.servers]
    return drawing.draw(("Server", "Requests answered"), rows)


def _exchange(seen: Seen, topology: Topology, width: int | None) -> str:
    """One request's first frame, hop by hop, and the first frame of the answer."""
    head = ("Hop", "Source MAC", "Destination MAC", "Source", "Destination", "TTL")
    rows: list[tuple[str, ...]] = []
    routers = (topology.router.near, topology.router.far) if topology.router else ()
    names = {node.mac: node.name for node in (*topology.nodes, *routers)}
    if not seen.to_engine:
        return drawing.draw(head, rows, width)
    first = seen.to_engine[0]
    there = [frame for frame in seen.from_engine if frame.packet == first.packet][:1]
    back = [frame for frame in seen.answers if frame.target_port == first.source_port][:1]
    for frame in (first, *there, *back):
        hop = f"{names.get(frame.source_mac, '?')} → {names.get(frame.target_mac, '?')}"
        macs = frame.source_mac, frame.target_mac
        if frame.tunnel:
            rows.append((f"{hop}, a tunnel", *macs, *frame.tunnel, ""))
            hop, macs = "  the packet in it", ("", "")
        rows.append((hop, *macs, *_ends(frame), str(frame.ttl)))
    return drawing.draw(head, rows, width)


def _ends(frame: Frame) -> tuple[str, str]:
    return f"{frame.source}:{frame.source_port}", f"{frame.target}:{frame.target_port}"
