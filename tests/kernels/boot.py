"""Runs a command of this checkout under another kernel: `python -m tests.kernels.boot [--kernel 6.1] COMMAND …`.

Debian's kernel package is unpacked (not installed) and booted by QEMU; the machine's own root directory is the guest's,
read-only under a layer in memory, so that nothing the guest does stays. Its status is the command's.
"""

from __future__ import annotations

import argparse
import lzma
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
CACHE = CHECKOUT / "build" / "kernels"
FAST = "clocksource=tsc tsc=reliable norandmaps mitigations=off"
"""Of the guest's command line: each look at the clock, and each program at other addresses, costs an emulator much."""
NEEDED = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
"""Modules that the guest needs to find its root."""
MODULES = (
    *("veth", "bridge", "tun", "ipip", "ip_gre", "nf_tables", "nft_chain_nat", "sch_ingress", "cls_bpf", "act_bpf"),
    *("8021q", "bonding", "e1000e"),
)
"""Modules that the project and its tests need and a guest without udev does not load by itself."""
CARDS = ("near", "far")
"""Network cards of the guest, joined by a wire: they take VLAN tags off frames, and have no XDP of their own."""
ENDED = "the command ended with status "

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /host /over /new
/bin/busybox mount -t devtmpfs none /dev
for module in {modules}; do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose host /host
/bin/busybox mount -t tmpfs none /over
/bin/busybox mkdir /over/upper /over/work
/bin/busybox mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work none /new
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /bin/sh {script}
"""

SCRIPT = """mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /run; mount -t tmpfs none /tmp
mkdir -p /dev/pts /dev/shm; mount -t devpts none /dev/pts; mount -t tmpfs none /dev/shm
mount -t bpf none /sys/fs/bpf; mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
mkdir -p /lib/modules; mount --bind {modules} /lib/modules; for one in {names}; do modprobe $one 2>/dev/null; done
ip link set lo up; hostname guest; export HOME=/root PATH={path} LANG=C.UTF-8
cd {folder}; ({command}) </dev/null; echo "{ended}$?"; echo o > /proc/sysrq-trigger; while :; do :; done
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kernels.boot", description=__doc__.split("\n")[0])
    parser.add_argument("--kernel", default="6.1", help="how the kernel's version begins (6.1, 6.12)")
    parser.add_argument("--memory", default="3G")
    parser.add_argument("--seconds", type=int, default=3000, help="end the guest after so long")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    kernel = unpacked(options.kernel)
    return run(kernel, shlex.join(options.command), options.memory, options.seconds)


def unpacked(begins: str) -> Path:
    """The folder of a Debian kernel of this version, fetched by apt where it is not there yet."""
    folder = CACHE / begins
    if not folder.exists():
        package = _package(begins)
        CACHE.mkdir(parents=True, exist_ok=True)
        print(f"fetching {package}", file=sys.stderr)
        subprocess.run(["apt-get", "download", "-q", package], cwd=CACHE, check=True, stdout=sys.stderr)
        (archive,) = CACHE.glob(f"{package}_*.deb")
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run(["dpkg", "-x", str(archive), str(partial)], check=True)
        (modules,) = (partial / "lib/modules").iterdir()
        subprocess.run(["depmod", "-b", str(partial), modules.name], check=True)
        partial.rename(folder)
        archive.unlink()
    return folder


def _package(begins: str) -> str:
    """The newest signed kernel package of a version."""
    found = subprocess.run(
        ["apt-cache", "--names-only", "search", rf"^linux-image-{begins}\.[0-9].*-amd64$"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [line.split()[0] for line in found.stdout.splitlines() if "(signed)" in line]
    plain = [n for n in names if not any(word in n for word in ("cloud", "-rt-", "dbg"))]
    if not plain:
        raise SystemExit(f"apt knows no kernel {begins}")
    return max(
        plain, key=lambda name: [int(part) if part.isdigit() else 0 for part in name.replace("-", ".").split(".")]
    )


def run(kernel: Path, command: str, memory: str, seconds: int) -> int:
    """Boot, run the command, print what it says; its status."""
    (image,) = (kernel / "boot").glob("vmlinuz-*")
    (modules,) = (kernel / "lib/modules").iterdir()
    script = CACHE / f"{kernel.name}.sh"
    values = {"modules": kernel / "lib/modules", "names": " ".join(MODULES), "path": os.environ["PATH"], "ended": ENDED}
    script.write_text(SCRIPT.format(**values, folder=shlex.quote(os.getcwd()), command=command))
    initial = _initial(modules, script)
    with subprocess.Popen(_qemu(image, initial, memory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as guest:
        try:
            return _listen(guest, seconds)
        finally:
            guest.kill()


def _listen(guest: subprocess.Popen[bytes], seconds: int) -> int:
    assert guest.stdout is not None
    timer = threading.Timer(seconds, guest.kill)
    timer.start()
    status = 70
    try:
        for raw in guest.stdout:
            line = raw.decode(errors="replace").rstrip()
            print(line, flush=True)
            if line.startswith(ENDED):
                status = int(line.removeprefix(ENDED))
    finally:
        timer.cancel()
    return status


def _qemu(image: Path, initial: Path, memory: str) -> list[str]:
    words = ["qemu-system-x86_64", "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio", "-m", memory]
    words += ["-accel", "tcg,thread=multi", "-smp", "2"]  # nested KVM may hang: emulation always works
    words += ["-cpu", "Nehalem"]  # without AVX, which the C library would use and emulation is slow at
    words += ["-kernel", str(image), "-initrd", str(initial)]
    words += ["-append", f"console=ttyS0 quiet panic=-1 sysrq_always_enabled {FAST}"]
    for name in CARDS:
        words += ["-netdev", f"hubport,id={name},hubid=0", "-device", f"e1000e,netdev={name},romfile="]
    return [*words, "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]


def _initial(modules: Path, script: Path) -> Path:
    """The first file system in memory: busybox, and the modules that lead to the root (cpio, newc)."""
    wanted = list(_with_dependencies(modules))
    init = INIT.format(modules=" ".join(path.stem.split(".")[0] for path in wanted), script=script)
    files = [("init", init.encode(), 0o100755), ("bin/busybox", Path("/bin/busybox").read_bytes(), 0o100755)]
    files += [(f"modules/{path.stem.split('.')[0]}.ko", _module(path), 0o100644) for path in wanted]
    folders = [(name, b"", 0o040755) for name in ("bin", "modules")]
    found = CACHE / f"{script.stem}.cpio"
    entries = (*folders, *files, ("TRAILER!!!", b"", 0))
    found.write_bytes(b"".join(_cpio(number, *entry) for number, entry in enumerate(entries)))
    return found


def _with_dependencies(modules: Path) -> Iterator[Path]:
    """Modules in an order in which they can be loaded (modules.dep of depmod(8))."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[Path(path).name.split(".")[0]] = path, others.split()
    seen = set()
    for name in NEEDED:
        last, first = needs[name]
        for one in (*reversed(first), last):
            if one not in seen:
                seen.add(one)
                yield modules / one


def _module(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def _cpio(number: int, name: str, data: bytes, mode: int) -> bytes:
    """One entry of a cpio archive (cpio(5), "New ASCII Format"). number: of its inode."""
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return _to_word(head) + _to_word(data)


def _to_word(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


if __name__ == "__main__":
    sys.exit(main())
