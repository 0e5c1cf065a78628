"""A network namespace for a test: made, entered by a thread, and always taken away."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests import forked

CLONE_NEWNET = 0x40000000
PREFIX = "avi-test-"

T = TypeVar("T")


class Namespace:
    """`with Namespace() as there: there.run(function)`; `there.sh("ip link …")`."""

    def __init__(self) -> None:
        self.name = f"{PREFIX}{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.path = Path("/run/netns") / self.name

    def __enter__(self) -> Namespace:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.sh("ip link set lo up")
        return self

    def __exit__(self, *error: object) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def sh(self, command: str) -> str:
        """Run a shell command there. Raises CalledProcessError."""
        argv = ["sh", "-ec", command]
        return self.run(lambda: subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout)

    @contextmanager
    def program(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """A program that runs there, without input, its errors in a pipe; it is told to end with the block."""
        with forked.popen(
            ["nsenter", f"--net={self.path}", *argv], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.communicate(timeout=60)

    def link(self, name: str) -> tuple[int, bytes]:
        """Index and MAC address of a link there."""
        (told,) = json.loads(self.sh(f"ip -j link show dev {name}"))
        return int(told["ifindex"]), bytes.fromhex(told["address"].replace(":", ""))

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in a thread that lives there; its threads and children do too. Raises what it raises."""
        results: list[T] = []
        errors: list[BaseException] = []

        def body() -> None:
            try:
                with open(self.path, "rb") as handle:
                    if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(function())
            except BaseException as exc:  # handed to the caller's thread
                errors.append(exc)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]
