"""The commands that make a Linux host a pool member, as lines to paste into a root shell: pure.

They are those of `preparation`, for a host on which nothing is prepared yet. Every line may be run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataplane import plan
from dataplane.server import mssclamp
from dataplane.server.preparation import (
    GRE,
    IPIP,
    L2,
    L3,
    OWN_TUNNELS,
    Decapsulate,
    Host,
    LimitSegments,
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
    prepared = [problem.fix.command for problem in lacking if not isinstance(problem.fix, Decapsulate | LimitSegments)]
    found = ["# the interface that has this server's address", _interface(servers)]
    for tunnel in tunnels:
        found.append(
            f"ip link show {tunnel.name} >/dev/null 2>&1 || ip link add {tunnel.name} type {tunnel.kind} external"
        )
    found += [_repeatable(command) for command in prepared]
    # After ip_forward, which sets it. With it, anybody could send packets in a tunnel through this host.
    found += [f"sysctl -w net.ipv4.conf.{tunnel.name}.forwarding=0" for tunnel in tunnels]
    if tunnels:
        found += ["# the segments of the server's answers fit the tunnel", _limit(vips)]
    return found


def one_line(servers: Sequence[str], vips: Iterable[str], modes: Iterable[str]) -> str:
    """The command for a server that has avi-server."""
    named = " ".join(f"--vip {vip}" for vip in vips)
    mode = L3 if set(modes) & _KINDS.keys() else L2
    where = servers[0] if len(servers) == 1 else _IF
    return f'avi-server apply {named} --mode {mode} --interface "{where}"'.replace(f'"{servers[0]}"', servers[0])


def _interface(servers: Sequence[str]) -> str:
    """The line that finds the interface: the one that has the address of one of the pool's servers."""
    find = '{split($4, its, "/")} $2 != "lo" && index(pool, " " its[1] " ") {print $2; exit}'
    told = ': "${IF:?no interface of this host has an address of the pool\'s servers}"; echo "interface: $IF"'
    return f"IF=$(ip -o -4 addr show | awk -v pool=' {' '.join(servers)} ' '{find}'); {told}"


def _repeatable(command: str) -> str:
    """A command in a form that may be run again. sysctl(8) takes names with dots only in keys with slashes."""
    if command.startswith("sysctl") and _IF in command:
        key, _, value = command.split()[-1].partition("=")
        return f"sysctl -w {key.replace('.', '/')}={value}"
    return command.replace("ip addr add", "ip addr replace")


def _limit(vips: Iterable[str]) -> str:
    rules = "; ".join(mssclamp.rule(vip, 0).replace("set 0", "set $SIZE") for vip in vips)
    hook = f"type filter hook postrouting priority {mssclamp.PRIORITY}; policy accept;"
    table = f"table ip {mssclamp.TABLE}"
    script = f"{table}; delete {table}; {table} {{ chain answers {{ {hook} {rules}; }}; }}"
    size = f"SIZE=$(($(ip -o link show dev $IF | awk '{{print $5}}') - {-segment_size(0)}))"
    return f'{size}; nft "{script}"'
