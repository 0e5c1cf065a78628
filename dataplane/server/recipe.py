"""The commands that make a Linux host a pool member, as lines to paste into a root shell: pure.

They are those of `preparation`, for a host on which nothing is prepared yet. Every line may be run again. Pasted as a
`block` they end with the first one that fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataplane import plan
from dataplane.errors import command
from dataplane.network import sysctl
from dataplane.server import mssclamp
from dataplane.server.preparation import (
    GRE,
    IPIP,
    L2,
    L3,
    OWN_TUNNELS,
    Decapsulate,
    Fix,
    Host,
    LimitSegments,
    SetKernel,
    Tunnel,
    Wanted,
    needed_settings,
    problems,
    segment_size,
)

_IF = "$IF"
_KINDS = {plan.L3_IPIP: IPIP, plan.L3_GRE: GRE}


def lines(servers: Sequence[str], vips: Sequence[str], modes: Iterable[str]) -> list[str]:
    """The lines for every server of a pool.

    servers, vips: dotted addresses; modes: how the pool's services reach its servers (plan.MODES).
    """
    kinds = [_KINDS[mode] for mode in sorted(set(modes)) if mode in _KINDS]
    wanted = Wanted(tuple(vips), _IF, mode=L3 if kinds else L2)
    tunnels = [Tunnel(OWN_TUNNELS[kind], kind, up=False) for kind in kinds]
    settings = dict.fromkeys(needed_settings(_IF, tunnels), "0")
    lacking = problems(wanted, Host(False, (), settings, {}, tunnels=tunnels))
    fixes = [problem.fix for problem in lacking if not isinstance(problem.fix, Decapsulate | LimitSegments)]
    found = ["# the interface that has the address of this server", _interface(servers)]
    for tunnel in tunnels:
        made = command("ip link add {} type {} external", tunnel.name, tunnel.kind)
        lacks = f"this kernel has no {tunnel.kind} device, nothing was set up: avi-server apply works without one"
        said = f'{{ echo "{lacks}" >&2; false; }}'
        found.append(f"{command('ip link show {}', tunnel.name)} >/dev/null 2>&1 || {made} || {said}")
    found += [_repeatable(fix) for fix in fixes]
    # After ip_forward, which sets it. With it, anybody could send packets in a tunnel through this host.
    found += [sysctl.command(sysctl.conf(tunnel.name, "forwarding"), "0") for tunnel in tunnels]
    if tunnels:
        found += ["# the segments of its answers fit the tunnel", _limit(vips)]
    return found


def block(lines: Iterable[str]) -> list[str]:
    """The lines as one command of a shell, whoever types it: what fails ends it, and not the shell."""
    return ["(", "set -e", *lines, ")"]


def one_line(servers: Sequence[str], vips: Iterable[str], modes: Iterable[str]) -> str:
    """The command for a server that has avi-server."""
    named = tuple(vips)
    mode = L3 if set(modes) & _KINDS.keys() else L2
    line = command(f"avi-server apply{' --vip {}' * len(named)} --mode {{}} --interface", *named, mode)
    return f"{line} {command('{}', servers[0])}" if len(servers) == 1 else f'{line} "{_IF}"'


def check_line(vips: Iterable[str], modes: Iterable[str]) -> str:
    """The command that looks on a server at its answers to a client, whose address stands in CLIENT's place."""
    named = tuple(vips)
    mode = L3 if set(modes) & _KINDS.keys() else L2
    return command(f"avi-server check{' --vip {}' * len(named)} --mode {{}} --client CLIENT", *named, mode)


def _interface(servers: Sequence[str]) -> str:
    """The line that finds the interface: the one that has the address of one of the pool's servers."""
    find = '{split($4, its, "/")} $2 != "lo" && index(pool, " " its[1] " ") {print $2; exit}'
    # No apostrophe: bash takes one inside ${IF:?...} for a quote, and waits for the next.
    told = ': "${IF:?no interface of this host has an address of a server of the pool}"; echo "interface: $IF"'
    look = command("ip -o -4 addr show | awk -v pool={} {}", f" {' '.join(servers)} ", find)
    return f"IF=$({look}); {told}"


def _repeatable(fix: Fix) -> str:
    """A fix as a line that may be run again. sysctl(8) takes names with dots only in keys with slashes."""
    if isinstance(fix, SetKernel) and _IF in fix.key:
        return f'sysctl -w "{fix.key.replace(".", "/")}={fix.value}"'
    return fix.command.replace("ip addr add", "ip addr replace")


def _limit(vips: Iterable[str]) -> str:
    rules = "; ".join(mssclamp.rule(vip, 0).replace("set 0", "set $SIZE") for vip in vips)
    hook = f"type filter hook postrouting priority {mssclamp.PRIORITY}; policy accept;"
    table = f"table ip {mssclamp.TABLE}"
    script = f"{table}; delete {table}; {table} {{ chain answers {{ {hook} {rules}; }}; }}"
    mtu = """ip -o link show dev "$IF" | awk '{print $5}'"""
    return f'SIZE=$(($({mtu}) - {-segment_size(0)})); nft "{script}"'
