"""A disk that is full or may not be written: what is there is shown, what is refused was not stored."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.session.audit import Audit
from avi_shell.session.session import Session
from tests.shell.conftest import ROOT
from tests.torture.child import Child, Say

FULL = """\
mount -t tmpfs -o size=700k,mode=0700 tiny "$1"
shell() { "$2" -m avi_shell --state "$1/state" -c "$3" -c "${4:-version}" 2>&1; echo "status $?"; }
shell "$1" "$2" 'configure pool p1' save
"$2" -c 'import os, sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("INSERT INTO foreign_kind VALUES (?, ?)", ("Zed", "[]"))
os._exit(0)' "$1/state/config.db"
[ "$3" = log ] || "$2" -c 'import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute("PRAGMA wal_checkpoint(TRUNCATE)")' "$1/state/config.db"
rm -f "$1/state/config.db-shm"
head -c 4096 /dev/zero | tr '\\0' '\\n' >> "$1/state/audit.jsonl"
truncate -s 4096 "$1/state/audit.jsonl"
cat /dev/zero > "$1/filling" 2> /dev/null
[ "$4" = full ] || mount -o remount,ro "$1"
echo ======
shell "$1" "$2" 'show pool' 'show pool p1'
shell "$1" "$2" 'configure pool p2' save
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="root: mount namespaces")
@pytest.mark.parametrize("disk", ["full", "read only"])
@pytest.mark.parametrize("left", ["log", "no log"])
def test_reads_work_on_a_disk_that_cannot_be_written(tmp_path: Path, disk: str, left: str) -> None:
    argv = ["unshare", "--mount", "sh", "-c", FULL, "sh", str(tmp_path), sys.executable, left, disk]
    told = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "Traceback" not in told.stdout + told.stderr
    read, _, saved = told.stdout.partition("======")[2].partition("status 0")
    assert "| p1 " in read, told.stdout
    assert read.count("commands are not written down") == 1
    assert "it can only be read; nothing was stored" in saved or "the disk is full" in saved
    assert "status 1" in saved


def test_a_full_log_decides_no_command_and_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_bytes(b"\n" * 300_000)

    def work(say: Say) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        configuration = Configuration.open(tmp_path)
        session = Session(configuration, tmp_path, audit=Audit(tmp_path, configuration))
        results = [session.run(line) for line in ("configure pool p1", "save", "show pool")]
        say([[result.ok for result in results], [len(result.warnings) for result in results]])

    tmp_path.chmod(0o700)
    child = Child(work)
    assert child.hear() == [[True, True, True], [1, 0, 0]]
    assert child.close() == 0


def test_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "avi_shell", "--state", str(tmp_path / "state"), "-c", "show networkprofile"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, "avi-shell: error: output: No space left on device\n")
