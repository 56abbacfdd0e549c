"""`make` says what is missing, installs it where it may, and does nothing twice."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import ROOT

BASICS = ("bash", "make", "id", "touch", "chmod", "mkdir", "cat")

PYTHON = """#!/bin/bash
# A Python of version {version}, whose venv is {venv}.
echo "python $*" >> "{log}"
case "$*" in
  *version_info\\ *) exit {old} ;;
  *ensurepip*) [ -e "{venv}" ]; exit ;;
  *-venv*) echo python{version}-venv ;;
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""

APT = """#!/bin/bash
echo "apt-get $*" >> "{log}"
case "$*" in *venv*) touch "{venv}" ;; esac
"""


class Machine:
    """A folder with our Makefile, and a PATH on which only what we put there is found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "path"
        self.bin.mkdir()
        self.log = folder / "log"
        self.log.touch()
        self.venv = folder / "venv-is-there"
        for name in BASICS:
            (self.bin / name).symlink_to(str(shutil.which(name)))
        shutil.copy(str(shutil.which("cp")), self.bin)
        shutil.copy(ROOT / "Makefile", folder)
        for name in ("requirements.txt", "requirements-dev.txt"):
            (folder / name).touch()

    def script(self, name: str, text: str, **values: object) -> None:
        file = self.bin / name
        file.write_text(text.format(log=self.log, venv=self.venv, **values))
        file.chmod(0o755)

    def python(self, version: str = "3.11", *, old: int = 0) -> None:
        self.script("python3", PYTHON, version=version, old=old)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "--no-print-directory", *arguments],
            cwd=self.folder,
            env={"PATH": str(self.bin), "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def ran(self) -> str:
        return self.log.read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("old", [True, False])
def test_without_a_usable_python_it_says_what_to_install(machine: Machine, old: bool) -> None:
    if old:
        machine.python("3.9", old=1)
    done = machine.make("run")
    assert done.returncode != 0
    assert "Perfhouse needs Python 3.11 or newer: install python3" in done.stderr
    assert not (machine.folder / ".venv").exists()


def test_without_venv_and_apt_it_says_what_to_install(machine: Machine) -> None:
    machine.python("3.12")
    done = machine.make("install")
    assert done.returncode != 0
    assert "sudo apt-get install python3.12-venv" in done.stderr
    assert not (machine.folder / ".venv").exists()


def test_without_venv_it_is_installed_where_it_may_be(machine: Machine) -> None:
    machine.python()
    machine.script("apt-get", APT)
    machine.script("sudo", '#!/bin/bash\n[ "$1" = -n ] && shift\nexec "$@"\n# {log} {venv}')
    (machine.bin / "true").symlink_to(str(shutil.which("true")))
    (machine.bin / "env").symlink_to(str(shutil.which("env")))
    done = machine.make("install")
    assert done.returncode == 0, done.stderr
    apt = [line for line in machine.ran.splitlines() if line.startswith("apt-get")]
    assert apt == ["apt-get update -qq", "apt-get install -y -qq --no-install-recommends python3.11-venv"]


def test_what_is_installed_is_installed_once_and_again_when_it_changes(machine: Machine) -> None:
    machine.python()
    machine.venv.touch()
    install = "-m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt"
    assert machine.make("install").returncode == 0
    assert machine.make("install").returncode == 0
    assert machine.ran.count(install) == 1
    later = (machine.folder / ".venv" / "run.stamp").stat().st_mtime + 5
    subprocess.run(["touch", "-d", f"@{later}", str(machine.folder / "requirements.txt")], check=True)
    assert machine.make("install").returncode == 0
    assert machine.ran.count(install) == 2
    assert "index" not in machine.ran
    command = (machine.folder / ".venv" / "bin" / "perfhouse").read_text()
    assert command.startswith("#!/bin/sh\nexec ")


def test_the_tests_say_which_programs_they_need(machine: Machine) -> None:
    postgresql = [] if list(Path("/usr/lib/postgresql").glob("*/bin/postgres")) else ["postgresql"]
    mariadb = (
        []
        if Path("/usr/sbin/mariadbd").exists() and Path("/usr/bin/my_print_defaults").exists()
        else ["mariadb-server-core", "mariadb-client-core"]
    )
    missing = ["chromium-headless-shell", *postgresql, *mariadb, "redis-server", "faketime", "strace"]
    done = machine.make("tools")
    assert done.returncode != 0
    assert f"Missing here: {' '.join(missing)}." in done.stderr


def test_continuous_integration_runs_make_test_and_nothing_else() -> None:
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in script if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
