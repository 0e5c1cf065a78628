"""Programs at tracepoints of the kernel: all that this package attaches there is attached here, and stands in the
registry. Their links are not pinned: they end with this process, and nobody else can end them (the kernel detaches no
link of a raw tracepoint)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dataplane.bpf.links import Link
from dataplane.bpf.programs import Program
from dataplane.errors import DriverError
from dataplane.kernel.objects import TRACE, KernelObject


class TracingLinks:
    """An owner in the registry: the links of some programs, by the programs' names."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Program, Link]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def attach(self, name: str, program: Program) -> None:
        """Have a program run at its tracepoint, until `detach`. It stays the caller's to close. Raises DriverError."""
        self._held[name] = program, Link.trace(program)

    def detach(self, name: str) -> None:
        """Have a program run no more, if it does."""
        if name in self._held:
            self._held.pop(name)[1].close()

    def close(self) -> None:
        """Have none run any more."""
        for name in list(self._held):
            self.detach(name)

    def objects(self) -> Collection[KernelObject]:
        """The links that are held now."""
        return [KernelObject(TRACE, name) for name in self._held]

    def missing(self) -> Collection[KernelObject]:
        """Those that are no links of their programs any more."""
        return [KernelObject(TRACE, name) for name in self._held if not self._is_intact(name)]

    async def restore(self, missing: Collection[KernelObject]) -> Mapping[KernelObject, str]:
        """Attach them again."""
        outcome: dict[KernelObject, str] = {}
        for one in missing:
            program, link = self._held[one.name]
            try:
                self._held[one.name] = program, Link.trace(program)
                link.close()
                outcome[one] = ""
            except DriverError as exc:
                outcome[one] = exc.what
        return outcome

    def _is_intact(self, name: str) -> bool:
        program, link = self._held[name]
        try:
            return link.program_id == program.id
        except DriverError:
            return False
