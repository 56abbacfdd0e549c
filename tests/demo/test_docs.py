"""docs/demo.md names every endpoint, option and metric that exists, and none that does not."""

import re
import subprocess
import sys
from pathlib import Path

from demo.app import ROUTES
from demo.metrics import Metrics

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "demo.md").read_text()


def options(*command: str) -> set[str]:
    """The options that a command's own help names."""
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0
    return set(re.findall(r"--[a-z-]+", done.stdout)) - {"--help"}


def test_every_option_is_described_and_exists() -> None:
    described = set(re.findall(r"`(--[a-z-]+)`", TEXT))
    assert described == options("demo") | options("demo.faults", "set")


def test_every_endpoint_is_described() -> None:
    paths = {path.replace(":int}", "}") for _, path, *_ in ROUTES}
    assert [path for path in sorted(paths) if path not in TEXT] == []


def test_every_metric_is_described() -> None:
    families = {
        metric.name for metric in Metrics().registry.collect() if not metric.name.startswith("process_")
    }
    assert [name for name in sorted(families) if name not in TEXT] == []
