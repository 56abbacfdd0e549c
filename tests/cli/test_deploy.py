"""The systemd units are right, start commands that exist, and are fenced in."""

import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import typer

from perfhouse import app
from tests.cli.running import ROOT

DEPLOY = ROOT / "deploy"
SERVICES = sorted(DEPLOY.glob("*.service"))
PARTS = ["agent", "collect", "dashboard", "warehouse"]
FENCES = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectSystem": "strict",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallFilter": "@system-service",
    "UMask": "0077",
    "StateDirectoryMode": "0700",
}


def read_unit(file: Path) -> dict[str, list[str]]:
    """Every value of each key; a unit may set a key more than once."""
    values: dict[str, list[str]] = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values[key].append(value)
    return values


def test_there_is_a_unit_for_each_process_and_a_target_for_all() -> None:
    names = [f"perfhouse-{part}.service" for part in PARTS]
    assert [service.name for service in SERVICES] == names
    (wants,) = read_unit(DEPLOY / "perfhouse.target")["Wants"]
    assert sorted(wants.split()) == names


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.stem)
def test_a_unit_starts_a_command_that_exists(service: Path) -> None:
    unit = read_unit(service)
    (start,) = unit["ExecStart"]
    interpreter, program, option, config, command = start.split()
    assert interpreter == "/opt/perfhouse/.venv/bin/python"
    assert (ROOT / Path(program).relative_to("/opt/perfhouse")).is_file()
    assert (option, config) == ("--config", "/etc/perfhouse/perfhouse.toml")
    assert command in typer.main.get_command(app).commands  # type: ignore[attr-defined] # it is a group
    assert service.stem == f"perfhouse-{command}"


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.stem)
def test_a_unit_is_fenced_in_and_starts_again_only_where_it_helps(service: Path) -> None:
    unit = read_unit(service)
    assert {key: unit[key] for key in FENCES} == {key: [value] for key, value in FENCES.items()}
    assert unit["User"] == unit["Group"] == ["perfhouse"]
    assert unit["Restart"] == ["on-failure"]
    assert unit["RestartPreventExitStatus"] == ["75 78"]
    assert unit["PartOf"] == ["perfhouse.target"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for file in [*SERVICES, DEPLOY / "perfhouse.target"]:
        text = file.read_text(encoding="utf-8").replace("/opt/perfhouse/.venv/bin/python", sys.executable)
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
