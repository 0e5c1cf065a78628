"""The options that say with whom a host shares its configuration, and what follows from them."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING

from avi_shell.errors import StoreError
from dataplane import statedir
from dataplane.errors import ClusterError

if TYPE_CHECKING:
    from avi_shell.configuration.configuration import Configuration
    from dataplane.cluster.address import StoreAddress


class UsageError(Exception):
    """The command line is wrong."""


def add(parser: argparse.ArgumentParser) -> None:
    """Let a command line have them."""
    parser.add_argument("--store", metavar="URL", help="share the configuration: etcd://[USER@]HOST[:PORT],…/CLUSTER")
    parser.add_argument(
        "--store-password-file", default="", metavar="FILE", help="file with USER's password (mode 0600)"
    )
    parser.add_argument("--store-ca", default="", metavar="FILE", help="file of CA certificates: use TLS")


def configuration(arguments: argparse.Namespace) -> Configuration:
    """The configuration that a command line names: shared, where it says so or the state directory belongs to a
    cluster. Raises StoreError, UsageError."""
    found = address(arguments)
    if found is None:
        from avi_shell.configuration.configuration import Configuration

        return _renewed(Configuration.open(arguments.state))
    from avi_shell.configuration.shared import SharedConfiguration

    return SharedConfiguration.join(arguments.state, found)


def _renewed(opened: Configuration) -> Configuration:
    """See that a host alone has a plan of this release."""
    if opened.has_old_plan():
        from avi_shell.configuration import renewal

        with suppress(StoreError):  # the disk is full, or for reading alone: the next shell does it
            renewal.renew(opened)
    return opened


def address(arguments: argparse.Namespace) -> StoreAddress | None:
    """Where the shared configuration is; None where there is none. Raises StoreError, UsageError."""
    if arguments.store is None and not (arguments.state / statedir.SHARED).exists():
        return None
    from dataplane.cluster import address as addresses

    try:
        if arguments.store is not None:
            return addresses.parse(arguments.store, arguments.store_password_file, arguments.store_ca)
        return addresses.remembered(arguments.state)
    except ValueError as exc:
        raise UsageError(f"argument --store: {exc}") from exc
    except ClusterError as exc:
        raise StoreError(exc.what, hint=exc.remedy) from exc
