"""`.ci/install` takes for missing only what is missing."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tool(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def test_a_library_at_the_head_of_a_long_list_is_found(tmp_path: Path) -> None:
    # More than a pipe holds: a reader that leaves at its first line would end the writer, and the script with it.
    lines = "yes '\tlibother.so.9 (libc6,x86-64) => /lib/libother.so.9' | head -n 5000"
    tool(tmp_path, "ldconfig", f"echo 'libbpf.so.1 (libc6,x86-64) => /lib/libbpf.so.1'; {lines}")
    for name in ("ip", "nsenter", "nft", "ethtool", "tcpdump", "curl", "nginx", "apt-get"):
        tool(tmp_path, name, 'echo "called: $0 $*"')
    argv = [str(ROOT / ".ci" / "install"), "demo"]
    done = subprocess.run(
        argv, capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=60, check=False
    )
    assert "libbpf1" not in done.stderr


@pytest.mark.root
def test_services_that_are_installed_are_not_started(tmp_path: Path) -> None:
    """Debian starts BIRD, etcd, FRR and nginx where it installs them, unless policy-rc.d answers 101."""
    for name in ("bash", "cat", "chmod", "rm"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    tool(tmp_path, "ldconfig", "echo")
    tool(tmp_path, "apt-get", '[ "$1" = update ] || { /usr/sbin/policy-rc.d; echo "policy $?: $*"; }')
    argv = [str(ROOT / ".ci" / "install"), "test"]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": str(tmp_path)}, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (told,) = done.stderr.splitlines()[1:]
    assert told.startswith("policy 101: install -y -q --no-install-recommends ")
    assert {"etcd-server", "jq", "curl"} <= set(told.split())  # whose programs are in none of these folders
