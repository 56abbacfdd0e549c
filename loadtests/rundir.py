"""A run's folder: what stands where, and the words that are passed through it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from warehouse.plan import Plan

PLAN = "plan.json"
STATE = "state.json"
VALUES = "values.json"
CANCEL = "cancel"
"""While it exists the run is being stopped by somebody; its text says by whom."""

STOP = "stop"
"""While it exists the launcher is ending the run; its text says why."""

SETUP, TEARDOWN = "setup", "teardown"
"""The parts of a plan that `steps` performs."""

RUN_DIR = "PERFHOUSE_RUN_DIR"
WORKER = "PERFHOUSE_WORKER"
WORKERS = "PERFHOUSE_WORKERS"
LAUNCHER = "PERFHOUSE_LAUNCHER"
MASTER = "PERFHOUSE_MASTER"
"""The environment variables by which the launcher tells Locust of its run."""


def read_plan(run_dir: Path) -> Plan:
    """The run's plan. Raises OSError or pydantic's ValidationError."""
    return Plan.model_validate_json((run_dir / PLAN).read_bytes())


def read_values(run_dir: Path) -> dict[str, Any]:
    """What the setup extracted for all users."""
    try:
        values = json.loads((run_dir / VALUES).read_bytes())
    except FileNotFoundError:
        return {}
    return dict(values)


def asked_to_stop(run_dir: Path) -> str | None:
    """Why the run is to end, or None."""
    for name in (CANCEL, STOP):
        try:
            return (run_dir / name).read_text(encoding="utf-8", errors="replace").strip() or "stopped"
        except FileNotFoundError:
            continue
    return None
