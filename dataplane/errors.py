"""Errors of the dataplane.

    DataplaneError
    ├── StateError         a state directory cannot be used: not there, another user's, open to others
    ├── PlanError          a plan document is not what this version reads
    ├── DriverError        a driver cannot start or apply: no BPF, a foreign program, no such interface
    ├── NetworkError       the network lacks what is needed: an interface, an address, a route
    ├── EngineError        no engine runs, it does not answer, or one runs already
    ├── ClusterError       etcd, which several hosts share, does not answer or refuses
    ├── PlacementError     an engine cannot be given a VIP, or cannot lose it
    ├── ServerError        a pool member cannot be prepared
    └── LabError           a laboratory cannot be built

An error carries what was wrong, and where it helps, `remedy`: the command or the change that mends it. Whatever is
printed to be pasted into a shell is made by `command`.
"""

from __future__ import annotations


def command(line: str, *values: object) -> str:
    """A command line that bash and dash take as it stands, whatever the values are. line: with a `{}` for each value,
    which is quoted where it must be."""
    from shlex import quote

    return line.format(*(quote(str(value)) for value in values))


class DataplaneError(Exception):
    """Anything this package refuses or fails at."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class StateError(DataplaneError):
    """A state directory cannot be made, or may hold what another user put there."""


class PlanError(DataplaneError):
    """A plan document is not what this version reads."""


class DriverError(DataplaneError):
    """A driver cannot start or apply a change."""


class NetworkError(DataplaneError):
    """The network lacks an interface, an address or a route that is needed."""


class EngineError(DataplaneError):
    """No engine runs, it does not answer, or one runs already."""


class ClusterError(DataplaneError):
    """etcd does not answer, refuses, or holds what is not understood. code: gRPC's, 0 where there is none; uncertain:
    what was asked for may have been done all the same."""

    def __init__(self, what: str, *, remedy: str = "", code: int = 0, uncertain: bool = False) -> None:
        super().__init__(what, remedy=remedy)
        self.code = code
        self.uncertain = uncertain


class PlacementError(DataplaneError):
    """What an operator asks for, placement does not allow."""


class ServerError(DataplaneError):
    """A pool member cannot be prepared, checked or restored."""


class LabError(DataplaneError):
    """A laboratory cannot be built or a check in it failed."""
