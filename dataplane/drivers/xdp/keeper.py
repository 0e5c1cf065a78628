"""What an XDP driver keeps in the kernel: its program's links and its pins, put back where others took them away."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from dataplane.bpf.maps import Map
from dataplane.drivers.xdp.attachment import Attachments
from dataplane.drivers.xdp.pins import Pins
from dataplane.errors import DriverError
from dataplane.kernel.objects import LINK, PIN, KernelObject


class XdpKeeper:
    """An owner in the registry. attachments: the links; folder: of the pins; maps: by the names of their pins."""

    def __init__(self, attachments: Attachments, held: Pins, folder: Path, maps: Mapping[str, Map]) -> None:
        self._attachments, self._held, self._folder, self._maps = attachments, held, folder, maps

    def objects(self) -> Collection[KernelObject]:
        """Links by their interfaces, pins by their paths."""
        links = [KernelObject(LINK, self._attachments.name(index)) for index in self._attachments]
        return [*links, *(KernelObject(PIN, str(path)) for path in self._paths())]

    def missing(self) -> Collection[KernelObject]:
        """Links that are detached or run another program, and pins that are gone."""
        links = [index for index in self._attachments if not self._attachments.is_intact(index)]
        found = [KernelObject(LINK, self._attachments.name(index)) for index in links]
        return [
            *found,
            *(KernelObject(PIN, str(path)) for path in self._paths() if not path.is_symlink() and not path.exists()),
        ]

    async def restore(self, missing: Collection[KernelObject]) -> Mapping[KernelObject, str]:
        """Attach and pin again."""
        return {one: self._restored(one) for one in missing}

    def _restored(self, one: KernelObject) -> str:
        """Why an object is not put back, "" where it is."""
        try:
            if one.kind == LINK:
                index = next((i for i in self._attachments if self._attachments.name(i) == one.name), None)
                if index is not None:
                    self._attachments.mend(index)
                return ""
            self._held.renew()
            path = Path(one.name)
            if path == self._held.mark:
                return ""
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if path.name in self._maps:
                self._maps[path.name].pin(path)
            else:
                self._attachments.pin(path)
        except DriverError as exc:
            return exc.what + (f"; try: {exc.remedy}" if exc.remedy else "")
        except OSError as exc:
            return exc.strerror or str(exc)
        return ""

    def _paths(self) -> list[Path]:
        marks = [self._held.mark] if self._held.has_state else []
        links = [self._attachments.path(index) for index in self._attachments]
        return [*marks, *(self._folder / name for name in self._maps), *links]
