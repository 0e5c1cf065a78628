"""The kernel settings that an engine needs of its interfaces: what they were is written down before they are changed.

Probes need loose rp_filter, and no ICMP redirects. Answers come from a VIP that may lie outside every network of this
host. A server that forwards a probe because it lacks the VIP also sends a redirect, which would lead later probes past
it (icmp(7), ip-sysctl: of accept_redirects, `all` or the interface's is enough).

A driver that does not see the VLAN tags that cards take off frames needs cards that do not (`features`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from dataplane.foreign import files, jsontext
from dataplane.foreign.errors import ForeignError
from dataplane.kernel.objects import SETTING, KernelObject
from dataplane.network import features, namespace, rtnetlink, sysctl

log = logging.getLogger("avi-se")

_LARGEST = 1 << 20
_NETCONF = 1 << 23  # linux/rtnetlink.h, RTNLGRP_IPV4_NETCONF as a bit


class KernelSettings:
    """An owner in the registry. record: the file that holds what there was before; None: nothing is written."""

    def __init__(self, record: Path | None = None) -> None:
        self._record = record
        self._events: socket.socket | None = None
        self._interfaces: dict[str, bool] = {}  # by name: whether tags are to stay in frames
        self._before: dict[str, str] = {}
        self._ours: dict[str, str] = {}
        if record is not None:
            for key, (before, ours) in _read(record).items():
                self._before[key], self._ours[key] = before, ours

    def hear(self, wake: Callable[[], None]) -> None:
        """Call `wake` on this event loop whenever rp_filter changes: the kernel reports changes of this one alone."""
        self._events = rtnetlink.opened(_NETCONF)
        self._events.setblocking(False)
        asyncio.get_running_loop().add_reader(self._events, self._heard, wake)

    def _heard(self, wake: Callable[[], None]) -> None:
        assert self._events is not None
        with suppress(OSError):  # no more, or some were dropped
            while self._events.recv(1):
                pass
        wake()

    def prepare(self, interface: str, *, tags: bool = False) -> None:
        """Set what an interface needs, from now on. tags: its frames are to keep their VLAN tags. What cannot be set
        counts as missing (`missing`), and the registry reports it. Raises FileNotFoundError where the interface is
        gone."""
        for key, value in _wrong(interface, tags).items():
            self._set(key, value)
        self._interfaces[interface] = tags

    def release(self, interface: str) -> None:
        """Look after an interface no more."""
        self._interfaces.pop(interface, None)

    def rename(self, old: str, new: str) -> None:
        """Note an interface's new name: what there was before is put back under it."""
        if old in self._interfaces:
            self._interfaces[new] = self._interfaces.pop(old)
        for key, now in zip(_keys(old), _keys(new), strict=True):
            for kept in (self._before, self._ours):
                if key in kept:
                    kept[now] = kept.pop(key)
        self._write()

    def objects(self) -> Collection[KernelObject]:
        """The settings that were changed."""
        return [KernelObject(SETTING, key) for key in self._ours]

    def missing(self) -> Collection[KernelObject]:
        """Those that somebody else changed to what harms."""
        found: dict[str, None] = {}
        for interface, tags in self._interfaces.items():
            with suppress(OSError, ValueError):  # it vanished since; the event that tells will come
                found.update(dict.fromkeys(_wrong(interface, tags)))
        return [KernelObject(SETTING, key) for key in found]

    async def restore(self, missing: Collection[KernelObject]) -> Mapping[KernelObject, str]:
        """Set them again. The values that somebody else set are put back when the engine ends."""
        outcome: dict[KernelObject, str] = {}
        for interface, tags in self._interfaces.items():
            with suppress(FileNotFoundError):
                for key, value in _wrong(interface, tags).items():
                    one = KernelObject(SETTING, key)
                    if one in missing:
                        outcome[one] = self._set(key, value)
        return outcome

    def close(self, *, keep: bool = False) -> list[KernelObject]:
        """Put the former values back, where nobody else changed them since. keep: leave what cards do, which forwarding
        without this process needs as it is. Returns what was put back."""
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events)
            self._events.close()
            self._events = None
        changed = []
        for key in [key for key in self._before if not (keep and features.is_key(key))]:
            before, ours = self._before.pop(key), self._ours.pop(key)
            with suppress(OSError):  # the interface may be gone
                if _place(key).read(key) == ours != before:
                    _place(key).write(key, before)
                    changed.append(KernelObject(SETTING, f"{key}={ours}"))
        if self._before:
            self._write()
        elif self._record is not None:
            self._record.unlink(missing_ok=True)
        self._before.clear()
        self._ours.clear()
        self._interfaces.clear()
        return changed

    def _set(self, key: str, value: str) -> str:
        """Returns why a key cannot be set, "" where it is. Raises FileNotFoundError where its interface is gone."""
        former = self._before.get(key), self._ours.get(key)
        self._before[key], self._ours[key] = _place(key).read(key), value
        self._write()
        try:
            _place(key).write(key, value)
        except FileNotFoundError:
            raise
        except OSError as exc:  # a container's /proc/sys is for reading alone
            for kept, value_before in zip((self._before, self._ours), former, strict=True):
                if value_before is None:
                    del kept[key]
                else:
                    kept[key] = value_before
            self._write()
            return f"{exc.strerror or exc}; where it can be set: {_place(key).command(key, value)}"
        return ""

    def _write(self) -> None:
        """Write down what there was before."""
        if self._record is not None and self._before:
            told = {key: [before, self._ours[key]] for key, before in self._before.items()}
            whole = {"boot": namespace.boot(), "namespace": namespace.cookie(), "settings": told}
            try:
                files.write(self._record, json.dumps(whole).encode() + b"\n", mode=0o600)
            except OSError as exc:  # a full disk ends no engine
                log.warning("the settings from before the engine cannot be written down: %s", exc.strerror)


def elsewhere(record: Path) -> bool:
    """Whether a record is of another network namespace, in this run of the machine."""
    told = _whole(record)
    return told.get("boot") == namespace.boot() and told.get("namespace") != namespace.cookie()


def _place(key: str) -> ModuleType:
    """What reads and writes a key."""
    return features if features.is_key(key) else sysctl


def _keys(interface: str) -> list[str]:
    """All that is set of an interface itself."""
    own = [sysctl.conf(interface, name) for name in ("accept_redirects", "rp_filter")]
    return [*own, *(features.key(interface, name) for name in features.UNTAGGING)]


def _wrong(interface: str, tags: bool) -> dict[str, str]:
    """The settings of an interface that must change, by key. tags: its frames are to keep their VLAN tags. Raises
    OSError."""
    wanted = {sysctl.conf(name, "accept_redirects"): "0" for name in ("all", interface)}
    wrong = {key: value for key, value in wanted.items() if sysctl.read(key) != value}
    strict = [sysctl.conf(name, "rp_filter") for name in ("all", interface)]
    if max(map(sysctl.read, strict)) == "1":
        wrong[strict[1]] = "2"
    if tags:
        wrong.update(dict.fromkeys(features.untagging(interface), features.OFF))
    return wrong


def _read(record: Path) -> dict[str, tuple[str, str]]:
    """What a run that was killed in this namespace left: value before and ours, by key."""
    told = _whole(record)
    if (told.get("boot"), told.get("namespace")) != (namespace.boot(), namespace.cookie()):
        return {}
    found, settings = {}, told.get("settings")
    for key, values in settings.items() if isinstance(settings, dict) else ():
        if isinstance(values, list) and [type(value) for value in values] == [str, str]:
            found[str(key)] = (values[0], values[1])
    return found


def _whole(record: Path) -> dict[str, object]:
    try:
        told = jsontext.loads(files.read(record, largest=_LARGEST))
    except FileNotFoundError:
        return {}
    except (OSError, ForeignError) as exc:
        log.warning("%s: what an earlier run changed is not known: %s", record, exc)
        return {}
    return told if isinstance(told, dict) else {}
