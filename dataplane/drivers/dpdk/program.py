"""The forwarder's program: built by `make dpdk` on the machine where it is to run, and run with DPDK's options."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dataplane.errors import DriverError
from dataplane.forwarding import program
from dataplane.native.decision import library

FOLDER = Path(__file__).parent / "forwarder"
"""Its sources, and where it is built."""
BINARY = FOLDER / "forwarder"
BUILD = "make dpdk"
FREE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
ENOUGH_PAGES = 128
"""Huge pages of 2 MiB that the forwarder takes; where fewer are free it takes ordinary memory."""
HUGEPAGES = "sysctl -w vm.nr_hugepages=256"
LOCK_NUMBER = 3
"""The open file by which the forwarder has its lock."""
_ORDINARY = "512"
"""MiB of ordinary memory: only what is used of it is taken."""


class Options(NamedTuple):
    """How a forwarder is run."""

    instance: str  # the engine's, among all on this machine
    workers: int = 1
    nap: int = 300  # microseconds, 0: none
    frame: int = 2048  # bytes of the largest frame
    cards: Sequence[str] = ()  # network cards on the PCI bus, by their addresses
    decides: bool = True  # False: it exchanges MAC addresses and sends every frame back, to be measured


def missing() -> DriverError | None:
    """What is wrong with the program, with its remedy; None: nothing."""
    try:
        told = subprocess.run([BINARY, "--sources"], capture_output=True, text=True, check=False)
    except OSError:
        return DriverError("the forwarder is not built here", remedy=BUILD)
    if told.returncode:
        return DriverError(f"the forwarder does not run: {told.stderr.strip()}", remedy=BUILD)
    if told.stdout.strip() != sources():
        return DriverError("the forwarder was built of other sources", remedy=BUILD)
    return None


def sources() -> str:
    """A hash of all that the program is built of, as the Makefile makes it."""
    decision = [path for pattern in ("*.c", "*.h", "kernel/*/*.h") for path in library.FOLDER.glob(pattern)]
    own = [*FOLDER.glob("*.c"), *FOLDER.glob("*.h")]
    found = [*sorted(program.FOLDER.glob("*.h")), program.FOLDER / "dsr.c", *sorted(decision), *sorted(own)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in found)).hexdigest()[:16]


def free_pages() -> int:
    """Huge pages of 2 MiB that are free."""
    try:
        return int(FREE_PAGES.read_text("ascii"))
    except OSError:
        return 0


def memories(options: Options) -> list[list[str]]:
    """DPDK's options for the memory that it may have, the best first. There are several, because others may take what
    is free now. Raises DriverError where there is too little memory for network cards."""
    huge, ordinary = ["--in-memory", "-m", str(2 * ENOUGH_PAGES)], ["--no-huge", "--no-shconf", "-m", _ORDINARY]
    free = free_pages()
    if options.cards and free < ENOUGH_PAGES:
        what = f"{free} huge pages of 2 MiB are free, {ENOUGH_PAGES} are needed for {options.cards[0]}"
        raise DriverError(what, remedy=HUGEPAGES)
    if options.cards:
        return [huge]
    return [huge, ordinary] if free >= ENOUGH_PAGES else [ordinary]


def command(folder: Path, control: Path, options: Options, memory: Sequence[str]) -> list[str]:
    """The command that runs it. folder: of the maps; memory: one of `memories`."""
    bus = [word for card in options.cards for word in ("-a", card)] or ["--no-pci"]
    maps = ["--maps", folder] if options.decides else []
    own = [*maps, "--lock", LOCK_NUMBER, "--control", control, "--workers", options.workers]
    own += ["--nap", options.nap, "--frame", options.frame]
    return [*map(str, (BINARY, *own)), "--", *memory, *bus, "--file-prefix", options.instance]
