"""The wheel and the Debian package, in environments and folders that know nothing of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from dataplane.version import VERSION
from tests.drivers import PREFERRED, shipped_drivers

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "transcripts"
NEEDED = ("avi-shell", "pytest")
"""What the environment has, with all that these require."""


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with the wheel."""

    wheel: Path
    programs: Path  # the folder of its programs
    libraries: Path  # what it requires

    def run(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in a folder."""
        path = f"{self.programs}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": "", "AVI_SHELL_STATE": str(folder / "state")}
        argv = [str(self.programs / words[0]) if "/" not in words[0] else words[0], *words[1:]]
        return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def required(name: str, known: dict[str, metadata.Distribution]) -> dict[str, metadata.Distribution]:
    """A distribution with all that it requires, by name."""
    if name not in known:
        found = known[name] = metadata.distribution(name)
        for line in found.requires or ():
            if "extra ==" not in line and not re.search(r"python_version < |sys_platform == |platform_system", line):
                (other,) = re.findall(r"^[A-Za-z0-9._-]+", line)
                required(other, known)
    return known


def linked(folder: Path) -> Path:
    """A folder with the libraries of this environment that the wheel and pytest require, and no other."""
    folder.mkdir()
    known: dict[str, metadata.Distribution] = {}
    for name in NEEDED:
        required(name, known)
    del known["avi-shell"]
    for found in known.values():
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (folder / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    made = tmp_path_factory.mktemp("wheel")
    kept = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, made / "source", symlinks=True, ignore=kept)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(made), str(made / "source")]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = made.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made / "venv"], check=True)
    install = ["--python", str(made / "venv"), "install", "--no-deps", "--no-index", "--no-compile", str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    (site,) = (made / "venv").glob("lib/python*/site-packages")
    libraries = linked(made / "libraries")
    (site / "libraries.pth").write_text(f"{libraries}\n")
    # pytest's own program is not there without pip.
    (made / "venv" / "bin" / "pytest").write_text(f'#!/bin/sh\nexec {made}/venv/bin/python -m pytest "$@"\n')
    (made / "venv" / "bin" / "pytest").chmod(0o755)
    shutil.rmtree(made / "source")
    yield Installed(wheel, made / "venv" / "bin", libraries)
    shutil.rmtree(made)


def test_its_name_says_for_which_machines_it_is(installed: Installed) -> None:
    assert installed.wheel.name == f"avi_shell-{VERSION}-py3-none-linux_x86_64.whl"


@pytest.mark.parametrize("program", ["avi-shell", "avi-se", "avi-server", "avi-lab"])
def test_every_program_tells_its_version(installed: Installed, program: str, tmp_path: Path) -> None:
    done = installed.run(tmp_path, program, "--version")
    assert (done.returncode, done.stdout) == (0, f"{program} {VERSION}\n")


def test_transcripts_of_another_project_are_tests(installed: Installed, tmp_path: Path) -> None:
    for path in (*EXAMPLES.glob("*.transcript"), *EXAMPLES.glob("*.avi")):
        shutil.copy(path, tmp_path)
    assert len(list(tmp_path.glob("*.transcript"))) == 5
    done = installed.run(tmp_path, "pytest", "-p", "no:cacheprovider", "-v", "--color=no")
    assert done.returncode == 0, done.stdout
    assert "plugins: avi-shell-" in done.stdout
    for name in ("narrow.transcript::80 columns", "columns.transcript::80 columns", "columns.transcript::200 columns"):
        assert f"{name} PASSED" in done.stdout
    changed = tmp_path / "refused.transcript"
    changed.write_text(changed.read_text("utf-8").replace("services port 80", "services port 81"))
    done = installed.run(tmp_path, "pytest", "-p", "no:cacheprovider")
    assert "-|   port_range_end        | 80 " in done.stdout
    assert "+|   port_range_end        | 81 " in done.stdout
    assert installed.run(tmp_path, "pytest", "-p", "no:cacheprovider", "--update-transcripts").returncode == 0
    assert installed.run(tmp_path, "pytest", "-p", "no:cacheprovider").returncode == 0


@pytest.mark.root
def test_the_recipe_for_ci_replays_a_session_and_checks_its_forwarding(installed: Installed, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "transcripts")
    done = installed.run(tmp_path, str(tmp_path / "transcripts" / "check"), "--requests", "20")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "6 passed" in done.stdout
    assert "everything was seen" in done.stdout


@pytest.mark.root
@shipped_drivers
def test_the_demonstration_runs_from_it(installed: Installed, driver: str, tmp_path: Path) -> None:
    done = installed.run(tmp_path, "avi-lab", "run", "l2_dsr", "--driver", driver, "--requests", "20")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "everything was seen" in done.stdout


@pytest.mark.root
def test_dpdk_is_refused_with_the_command_that_builds_it(installed: Installed, tmp_path: Path) -> None:
    done = installed.run(tmp_path, "avi-lab", "run", "l2_dsr", "--driver", "dpdk")
    assert done.returncode == 1
    assert "DPDK is wanted and cannot be had: the forwarder is not built here" in done.stderr
    assert "make dpdk" in done.stderr


@pytest.fixture(scope="module")
def package(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package, without the libraries that the wheel requires: those come from an index."""
    path = tmp_path_factory.mktemp("package") / "avi-shell.deb"
    argv = [str(ROOT / "distribution" / "deb"), str(installed.wheel), str(path), "--no-deps", "--no-index"]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


INSTALLED = """\
mount -t tmpfs none "$HERE"
for there in /usr /var/lib/dpkg; do
  mkdir -p "$HERE$there/over" "$HERE$there/work"
  mount -t overlay overlay -o "lowerdir=$there,upperdir=$HERE$there/over,workdir=$HERE$there/work" "$there"
done
cd /
dpkg -i "$PACKAGE" >/dev/null
"""
"""Installs the package on a machine that differs from this one in nothing but that, for as long as the script runs."""


def on_a_machine_with_it(package: Path, installed: Installed, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script on a machine with the package. What it requires is found in a folder."""
    here = package.parent / "machine"
    here.mkdir(exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "AVI_SHELL_STATE")},
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HERE": str(here), "PACKAGE": str(package),
        "PYTHONPATH": str(installed.libraries), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    argv = ["unshare", "--mount", "sh", "-euc", INSTALLED + script]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.root
def test_the_debian_package_brings_programs_pages_and_completion_and_takes_them_away(
    package: Path, installed: Installed
) -> None:
    script = """\
for program in avi-shell avi-se avi-server avi-lab; do
  "$program" --version
  test "$(man -w "$program")" = "/usr/share/man/man8/$program.8.gz"
  bash -n "/usr/share/bash-completion/completions/$program"
done
avi-se install-unit --print | grep ^ExecStart
grep -rIl "$HERE" /usr/lib/avi-shell || true
touch /usr/lib/avi-shell/compiled.pyc
dpkg -r avi-shell >/dev/null
ls -d /usr/lib/avi-shell /usr/bin/avi-se || echo gone
"""
    done = on_a_machine_with_it(package, installed, script)
    assert done.stdout.splitlines() == [
        *(f"{program} {VERSION}" for program in ("avi-shell", "avi-se", "avi-server", "avi-lab")),
        "ExecStart=/usr/lib/avi-shell/bin/python -P -m dataplane run --state /var/lib/avi-shell --name se-1",
        "gone",
    ], done.stderr


@pytest.mark.root
def test_the_demonstration_runs_from_the_debian_package(installed: Installed, package: Path) -> None:
    """On one driver: its files are the wheel's, which runs on each of them."""
    done = on_a_machine_with_it(package, installed, f"avi-lab run l2_dsr --driver {PREFERRED} --requests 20")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "everything was seen" in done.stdout
