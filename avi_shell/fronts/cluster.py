"""`avi-shell cluster`: what several hosts share in etcd: its state, its beginning, and this host's part in it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from avi_shell.configuration import shared
from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import Refused, StoreError
from avi_shell.fronts import storeoptions
from avi_shell.session import audit
from avi_shell.session.author import author
from dataplane import client, drawing
from dataplane.client import default_state
from dataplane.cluster import address as addresses
from dataplane.cluster import overview
from dataplane.cluster.address import StoreAddress
from dataplane.cluster.etcd import Etcd
from dataplane.errors import ClusterError
from dataplane.plan import sqlite

_PATIENCE = 3.0
"""Seconds for each member to answer."""


def run(arguments: argparse.Namespace, user: str) -> None:
    """Do what the words say. Raises ShellError, UsageError."""
    _DOES[arguments.what](arguments, user)


def parser() -> argparse.ArgumentParser:
    """Of the words behind `cluster`."""
    parser = argparse.ArgumentParser(
        prog="avi-shell cluster", description="The configuration that hosts share in etcd."
    )
    verbs = parser.add_subparsers(required=True, metavar="status | seed | reload | upgrade | leave", dest="what")
    for word, told in (
        ("status", "members, sizes and alarms of etcd; the last commit of its log, and of this host"),
        ("seed", "begin a cluster with this host's configuration, or with a backup of one"),
        ("reload", "replace this host's configuration by the cluster's"),
        ("upgrade", "once all hosts have this release: make the engines' plan anew"),
        ("leave", "leave the cluster; this host keeps its configuration for itself"),
    ):
        verb = verbs.add_parser(word, help=told, description=told)
        verb.add_argument("--state", type=Path, default=default_state(), help="state directory (default: %(default)s)")
        storeoptions.add(verb)
        if word == "status":
            verb.add_argument("--json", action="store_true", help="one object, for programs")
        if word == "seed":
            verb.add_argument("file", type=Path, nargs="?", metavar="FILE", help="made by avi-shell backup")
            verb.add_argument(
                "--replace", action="store_true", help="replace the cluster's configuration, which is lost"
            )
    return parser


def _address(arguments: argparse.Namespace) -> StoreAddress:
    found = storeoptions.address(arguments)
    if found is None:
        raise Refused(f"{arguments.state} belongs to no cluster", hint=f"--store {addresses.FORM} names one")
    return found


def _seed(arguments: argparse.Namespace, user: str) -> None:
    address = _address(arguments)
    audit.catch_up(arguments.state)
    by = replace(author(user), line="cluster seed" + (f" {arguments.file}" if arguments.file is not None else ""))
    number = shared.seed(arguments.state, address, arguments.file, by, replace=arguments.replace)
    print(f"Successfully seeded cluster {address.cluster}; it begins with commit {number}.")
    _join(arguments, address)
    with closing(Etcd(address, _PATIENCE)) as etcd:
        members, _ = overview.members(etcd)
    for one in members:
        if not one.version:
            _warn(f"member {one.member} of etcd: {one.state}; where its address is wrong, --store names the right ones")


def _reload(arguments: argparse.Namespace, user: str) -> None:
    address = _address(arguments)
    audit.catch_up(arguments.state)
    number = _join(arguments, address, anew=True)
    print(f"Successfully loaded the configuration of cluster {address.cluster}; it is at commit {number}.")


def _upgrade(arguments: argparse.Namespace, user: str) -> None:
    address = _address(arguments)
    audit.catch_up(arguments.state)
    by = replace(author(user), line="cluster upgrade")
    with closing(shared.SharedConfiguration.join(arguments.state, address)) as configuration:
        try:
            number = configuration.upgrade(by)
        except ClusterError as exc:
            raise StoreError(exc.what, hint=exc.remedy) from exc
    client.notify(arguments.state)
    audit.catch_up(arguments.state)
    print(f"Successfully upgraded the plan of cluster {address.cluster} by commit {number}.")


def _join(arguments: argparse.Namespace, address: StoreAddress, *, anew: bool = False) -> int:
    with closing(shared.SharedConfiguration.join(arguments.state, address, anew=anew)) as configuration:
        number = configuration.version()
    client.notify(arguments.state)
    audit.catch_up(arguments.state)
    return number


def _leave(arguments: argparse.Namespace, user: str) -> None:
    try:
        if not addresses.forget(arguments.state):
            raise Refused(f"{arguments.state} belongs to no cluster")
    except ClusterError as exc:
        raise StoreError(exc.what, hint=exc.remedy) from exc
    print("This host keeps its configuration, and follows the cluster no more.")
    for name in client.engines(arguments.state):
        _warn(
            f"service engine {name} runs here: it knows those of other hosts no more, and answers ARP for all VIPs "
            "beside them; end it, or join the cluster again"
        )


def _warn(text: str) -> None:
    print(f"avi-shell: warning: {text}", file=sys.stderr)


def _status(arguments: argparse.Namespace, user: str) -> None:
    address = _address(arguments)
    with closing(Etcd(address, _PATIENCE)) as etcd:
        members, fault = overview.members(etcd)
        if not arguments.json:
            columns = [name.replace("_", " ").capitalize() for name in overview.Member._fields]
            print(drawing.draw(columns, [one.cells() for one in members]))
        if fault:
            raise StoreError(fault)
        try:
            reach = overview.reach(etcd)
        except ClusterError as exc:
            raise StoreError(exc.what, hint=exc.remedy) from exc
    if reach is None:
        raise StoreError(f"etcd holds no configuration of cluster {address.cluster}", hint="avi-shell cluster seed")
    with closing(Configuration.open(arguments.state)) as own:
        here = own.version()
    if arguments.json:
        told = {"cluster": address.cluster, **reach._asdict(), "here": here}
        print(json.dumps({**told, "members": [one._asdict() for one in members]}, indent=1))
        return
    print(f"Cluster {address.cluster} is at commit {reach.commit}, this host at {here}.")
    following = reach.snapshot + shared.SNAPSHOT_EVERY
    print(f"The last snapshot is of commit {reach.snapshot}; the next follows commit {following}.")
    if reach.format < sqlite.PLAN_FORMAT:
        print(shared.OLD_PLAN)


_DOES: Mapping[str, Callable[[argparse.Namespace, str], None]] = {
    "status": _status,
    "seed": _seed,
    "reload": _reload,
    "upgrade": _upgrade,
    "leave": _leave,
}
