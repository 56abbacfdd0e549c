"""Runs the command line as a person does."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def clean_environment(**more: str) -> dict[str, str]:
    """Our environment without what would configure Perfhouse."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PERFHOUSE_")}
    return {**clean, **more}


def perfhouse(
    *arguments: str, config: Path | None = None, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; a traceback is never expected."""
    command = [sys.executable, str(ROOT / "perfhouse.py")]
    if config:
        command += ["--config", str(config)]
    done = subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(**environment),
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done
