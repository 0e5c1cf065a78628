"""What a hostile script can do: nothing that outlives it, nothing with rights, nothing without bounds."""

from __future__ import annotations

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.foreign.text import harmless
from dataplane.health.probes import script
from dataplane.plan import variables
from tests.health.segment import Segment, monitor, segment
from tests.polling import until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def there() -> Iterator[Segment]:
    with segment() as made:
        yield made


def said(there: Segment, script: str, seconds: int = 9, **fields: str) -> str:
    """What a script writes to its standard error, as an operator reads it."""
    told = there.probe(monitor("EXTERNAL", script=f"{{\n{script}\n}} >&2", receive_timeout=seconds, **fields))
    return str(told).removeprefix("its script wrote nothing to its standard output").removeprefix(": ")


def running(mark: str) -> list[str]:
    """Processes of this machine that have a word on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


LINGERING = "(setsid sh -c 'trap \"\" TERM HUP; exec sleep 600 {mark}' >/dev/null 2>&1 </dev/null &) ; sleep 0.2"


@pytest.mark.parametrize("end", ["echo up", "sleep 600"], ids=["when it ends", "when its time is up"])
def test_what_it_leaves_behind_is_killed(there: Segment, end: str) -> None:
    mark = f"0.{uuid.uuid4().int % 10**12}"  # a word of sleep's
    told = there.probe(monitor("EXTERNAL", script=f"{LINGERING.format(mark=mark)}; {end}"))
    assert told is True or "has not ended" in str(told)
    until(lambda: not running(mark))


def test_nothing_of_it_outlives_a_killed_engine(there: Segment) -> None:
    mark = f"0.{uuid.uuid4().int % 10**12}"
    with there.engine.program(sys.executable, "-m", "tests.health.scripting", LINGERING.format(mark=mark)) as engine:
        until(lambda: bool(running(mark)))
        (folder,) = [code.parent for code in script.FOLDER.glob("avi-se-monitors-*/*") if mark in code.read_text()]
        script.clear()
        assert folder.is_dir(), "its engine runs"
        engine.send_signal(signal.SIGKILL)
        until(lambda: not running(mark))
    until(lambda: str(folder) in script.clear() or not folder.exists())
    assert not folder.exists()


def test_its_variables_meet_no_process_with_rights(there: Segment, tmp_path: Path) -> None:
    """A library that `LD_PRELOAD` names would run wherever the variables are; so would they be read there."""
    secret = f"secret-{uuid.uuid4().hex}"
    found: list[str] = []

    def look() -> bool:
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if secret.encode() in (path / "environ").read_bytes() + (path / "cmdline").read_bytes():
                    found.append((path / "status").read_text().split("Uid:\t")[1].split()[0])
            except (OSError, IndexError):
                continue
        return len(found) > 3

    looking = threading.Thread(target=lambda: until(look))
    looking.start()
    said(there, "sleep 1", variables=f"X={secret}")
    looking.join()
    assert found
    assert "0" not in found


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "GCONV_PATH"])
def test_variables_of_the_loader_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"command_variables has {name}, which steers"):
        variables.parse(f"A=b {name}=/tmp/x.so")


ATTEMPTS = {
    "become root": "setpriv --reuid=0 true; su -c true; unshare --user --map-root-user cat /etc/shadow",
    "read what is root's": "cat /etc/shadow",
    "mount": "mount -t tmpfs none /mnt; umount /tmp",
    "see others": f"kill -0 {os.getpid()}; ls /proc/{os.getpid()}/fd",
    "reach the engine's memory": "cat /proc/1/mem; ls -l /proc/1/root/root",
    "change the system": "echo 1 > /proc/sys/net/ipv4/ip_forward; echo x > /etc/x; echo x > /run/x",
}


@pytest.mark.parametrize("script", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_what_needs_rights_fails(there: Segment, script: str) -> None:
    told = said(there, "".join(f"if {one}; then echo DONE; exit; fi\n" for one in script.split("; ")) + "echo refused")
    assert told == "refused"


def test_its_store_is_not_read(there: Segment, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "config.db").write_text("x")
    assert said(there, f"cat {state}/config.db || echo refused") == "refused"


def test_its_memory_is_bounded(there: Segment) -> None:
    script = "#!/usr/bin/env python3\nimport sys\ntry:\n  bytearray(1 << 30)\nexcept MemoryError:\n  print('refused')"
    assert there.probe(monitor("EXTERNAL", script=script, receive_timeout=9)) is True


def test_its_processes_are_bounded(there: Segment) -> None:
    told = said(there, "n=0; while [ $n -lt 200 ]; do sleep 3 & n=$((n+1)); done; echo started $n")
    assert "started 200" not in told
    assert told


def test_its_disk_is_bounded_and_its_own(there: Segment) -> None:
    name = f"avi-{uuid.uuid4().hex}"
    script = f"for d in /tmp /var/tmp /dev/shm; do head -c 100M /dev/zero >$d/{name}.$$; done; du -sm /tmp | cut -f1"
    told = said(there, script)
    assert told.isdigit()
    assert int(told) <= 16
    assert not [path for folder in ("/tmp", "/var/tmp", "/dev/shm") for path in Path(folder).glob(f"{name}*")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – é", "plain – é"),
        (b"\x1b[2J\x07", r"\x1b[2J\x07"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("a\u202eb\u2028c", r"a\u202eb\u2028c"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_text_of_others_is_made_harmless(text: str | bytes, shown: str) -> None:
    assert harmless(text) == shown
