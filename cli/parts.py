"""The processes that one configuration runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from cli.supervise import Part
from warehouse.settings import Settings

ROOT = Path(__file__).parents[1]
READY_TIMEOUT_S = 1.0


def dashboard_url(settings: Settings) -> str:
    """Where the pages are."""
    return f"http://127.0.0.1:{settings.dashboard.port}"


def parts_of(settings: Settings) -> list[Part]:
    """Everything `up` starts, the warehouse first: it makes the others' tokens."""
    own = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(settings.path)]
    parts = [
        Part(
            "warehouse",
            [*own, "warehouse"],
            settings.warehouse.port,
            _answers(f"{settings.warehouse.url}/healthz"),
        ),
        Part("collect", [*own, "collect"]),
        Part(
            "dashboard",
            [*own, "dashboard"],
            settings.dashboard.port,
            _answers(f"{dashboard_url(settings)}/_stcore/health"),
        ),
    ]
    if settings.demo.enabled:
        port = settings.demo.port
        command = [
            *(sys.executable, "-m", "demo", "--port", str(port)),
            *("--data-dir", str(settings.data_dir / "demo")),
        ]
        health = _answers(f"http://127.0.0.1:{port}/health")
        parts.insert(1, Part("demo", command, port, health, {"PYTHONPATH": str(ROOT)}))
    return parts


def _answers(url: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            return httpx.get(url, timeout=READY_TIMEOUT_S, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return ask
