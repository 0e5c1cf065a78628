"""`make dpdk` on a machine that has nothing yet: python -m tests.dpdk.fresh [--root DIR] [--mirror URL]

Debian 12 is installed into a folder, with `make` and nothing else beside its least; a copy of this checkout comes
into it. DPDK is refused there with the command that mends it, by `--driver dpdk` and by the group's fields; the command
is run inside, with the folder as its root; then the same engine starts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from dataplane import client
from dataplane.drivers.dpdk import program
from tests.netns import Namespace
from tests.polling import until

CHECKOUT = Path(__file__).parents[2]
WITHIN = Path("/root/clone")
"""Where the copy of the checkout is for those inside."""
BUILD = program.FOLDER.relative_to(CHECKOUT)
REFUSED = "DPDK is wanted and cannot be had: the forwarder is not built here"
FIELDS = "configure serviceenginegroup Default-Group se_use_dpdk 1 se_dpdk_pmd 1\nsave\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Show it; every line says what was seen. Raises AssertionError, CalledProcessError."""
    parser = argparse.ArgumentParser(prog="python -m tests.dpdk.fresh", description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, help="a Debian 12 of debootstrap's, which is changed (else one is made)")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    wanted = parser.parse_args(arguments)
    with ExitStack() as held:
        root = wanted.root
        if root is None:
            root = Path(held.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp", prefix="avi-fresh-"))) / "root"
            command = ["debootstrap", "--variant=minbase", "bookworm", root, wanted.mirror]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        shutil.copy("/etc/resolv.conf", root / "etc")
        inside(root, "apt-get update -q && apt-get install -y -q --no-install-recommends make", quiet=True)
        clone = root / WITHIN.relative_to("/")
        copy(clone)
        there = held.enter_context(Namespace())
        there.sh("ip link add eth0 type veth peer name wire; ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up")
        there.sh("ip link set wire up")
        refused(there, clone)
        began = time.monotonic()
        inside(root, f"make -C {WITHIN} dpdk")
        print(f"make dpdk: {time.monotonic() - began:.0f} s on a machine that had nothing", flush=True)
        built = inside(root, f"{WITHIN / BUILD}/forwarder --sources", quiet=True).strip()
        assert built == program.sources(), f"built of {built}, not of {program.sources()}"
        starts(there, clone)
    return 0


def inside(root: Path, command: str, *, quiet: bool = False) -> str:
    """Run a command with a folder as its root; its mounts and processes end with it. Returns what a quiet one says."""
    script = 'mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" sh -ec "$1"'
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, str(root), command]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    told = subprocess.PIPE if quiet else None
    return subprocess.run(words, env=environment, check=True, stdout=told, text=True).stdout or ""


def copy(clone: Path) -> None:
    """Lay the files that git knows of into a folder, as they are now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, clone / name, follow_symlinks=False)


def refused(there: Namespace, clone: Path) -> None:
    """Without the forwarder an engine does not begin, whoever wants DPDK."""
    with tempfile.TemporaryDirectory() as state:
        options = python(there, "dataplane", "run", "--state", state, "--interface", "eth0")
        shell = [sys.executable, "-m", "avi_shell", "--state", state, "-f", "-"]
        for words, lines in (("--driver", "dpdk"), ""), ((), FIELDS):
            if lines:
                subprocess.run(shell, cwd=clone, env=environment(clone), input=lines, text=True, check=True)
            done = subprocess.run(
                [*options, *words], cwd=clone, env=environment(clone), capture_output=True, text=True, timeout=60
            )
            assert done.returncode, done.stderr
            assert REFUSED in done.stderr, done.stderr
            assert "make dpdk" in done.stderr, done.stderr
            print(f"{' '.join(words) or 'se_use_dpdk 1, se_dpdk_pmd 1'}: {done.stderr.strip()}", flush=True)


def starts(there: Namespace, clone: Path) -> None:
    """The same engine forwards by what was built."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        words = python(there, "dataplane", "run", "--state", folder, "--interface", "eth0", "--driver", "dpdk")
        with subprocess.Popen(words, cwd=clone, env=environment(clone)) as engine:
            try:
                until(lambda: client.status(state), lambda: f"no engine: {engine.poll()}", 60)
                assert client.status(state)[0]["driver"]["name"] == "dpdk"
            finally:
                engine.terminate()


def python(there: Namespace, *words: str) -> list[str]:
    """A module of the copy's, run in a namespace by this Python and its packages."""
    return ["nsenter", f"--net={there.path}", sys.executable, "-m", *words]


def environment(clone: Path) -> dict[str, str]:
    """Where Python finds the copy's packages first."""
    return {**os.environ, "PYTHONPATH": str(clone), "PYTHONDONTWRITEBYTECODE": "1"}


if __name__ == "__main__":
    sys.exit(main())
