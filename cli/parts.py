"""The processes that one configuration runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from cli.ports import is_taken, owner_of
from cli.supervise import Part
from warehouse.settings import Settings

ROOT = Path(__file__).parents[1]
LOCAL = "127.0.0.1"
READY_TIMEOUT_S = 1.0


def dashboard_url(settings: Settings) -> str:
    """Where the pages are."""
    return f"http://{LOCAL}:{settings.dashboard.port}"


def demo_url(settings: Settings) -> str:
    """Where the demo target is."""
    return f"http://{LOCAL}:{settings.demo.port}"


def sends_elsewhere(settings: Settings) -> bool:
    """Whether this machine only collects, for a warehouse on another."""
    return settings.collectors.warehouse_url is not None


def has_agent(settings: Settings) -> bool:
    """Whether this machine runs load tests: for its own warehouse, or for the one it is told of."""
    return not sends_elsewhere(settings) or settings.agent.warehouse_url is not None


def parts_of(settings: Settings) -> list[Part]:
    """Everything `up` starts, the warehouse first: it makes the others' tokens."""

    def part(
        name: str,
        address: tuple[str, int] | None = None,
        health: str = "",
        after: str = "",
        options: Sequence[str] = (),
    ) -> Part:
        command = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(settings.path), name, *options]
        return Part(name, command, address, answers(health) if health else None, after)

    # Nobody attacks unwatched: with the last of us the load tests under way end.
    agent = part("agent", after="" if sends_elsewhere(settings) else "warehouse", options=["--stop-runs"])
    if sends_elsewhere(settings):
        return [part("collect"), *([agent] if has_agent(settings) else [])]
    warehouse = settings.warehouse
    demo = part("demo", (LOCAL, settings.demo.port), f"{demo_url(settings)}/health")
    return [
        part("warehouse", (warehouse.host, warehouse.port), f"{warehouse.url}/healthz"),
        *([demo] if settings.demo.enabled else []),
        # What is probed before it is up is down, truly but to no purpose.
        part("collect", after="demo" if settings.demo.enabled else ""),
        agent,
        part("dashboard", (LOCAL, settings.dashboard.port), f"{dashboard_url(settings)}/_stcore/health"),
    ]


def taken_ports(settings: Settings) -> list[str]:
    """One line for each part whose port something listens on."""
    return [
        f"{part.name}.port: {part.address[0]}:{part.address[1]} is used by {owner_of(part.address[1])}"
        for part in parts_of(settings)
        if part.address and is_taken(*part.address)
    ]


def answers(url: str) -> Callable[[], bool]:
    """A question that is True when a GET of `url` succeeds."""

    def ask() -> bool:
        try:
            return httpx.get(url, timeout=READY_TIMEOUT_S, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return ask
