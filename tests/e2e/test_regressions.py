"""A slowdown switched on in the demo is found, named with the query that moved with it, and acknowledged."""

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.cli.test_up import Up
from tests.e2e.conftest import settle
from tests.servers.ports import free_port
from tests.servers.warehouse import write_config
from warehouse.client import Client
from warehouse.model import now

Tab = Callable[..., Page]

ENDPOINT = "GET /api/v1/invoices/"
BASELINE_S, FOUND_S, GROWN_S = 240, 150, 60
SLOW_MS = 60
CONFIG = """
[demo]
enabled = true
port = {port}
[regressions]
point_s = 1
[[target]]
name = "demo"
url = "http://127.0.0.1:{port}"
interval_s = 0.15
deadline_s = 2
[[target.endpoint]]
path = "/api/v1/invoices/"
[[target.endpoint]]
path = "/health"
interval_s = 0.3
[[database]]
name = "demo"
engine = "postgres"
url = {{ file = "{folder}/data/demo/observer.url" }}
interval_s = 1
"""


def until(what: Callable[[], Any], limit_s: float, told: Callable[[], object]) -> Any:
    """What it answers as soon as that is something; asked every second."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(1)
    raise AssertionError(f"not within {limit_s:g} s: {told()}")


def window() -> dict[str, datetime]:
    """An hour up to now, as a question is asked for it."""
    return {"start": now() - timedelta(hours=1), "end": now() + timedelta(minutes=1)}


@pytest.mark.timeout(600)
def test_a_slowdown_of_the_demo_is_found_named_and_shown(tmp_path: Path, open_tab: Tab) -> None:
    port = free_port()
    config = write_config(tmp_path, CONFIG.format(port=port, folder=tmp_path))
    observer = tmp_path / "data" / "demo" / "observer.url"
    observer.parent.mkdir(parents=True)
    observer.write_text("postgresql://the-demo-writes-its-own@127.0.0.1:9/demo", encoding="utf-8")
    observer.chmod(0o600)
    with Up(config, tmp_path / "up.log") as up:
        up.wait_ready()
        with Client.for_process(up.settings, "cli") as client:

            def watched() -> list[dict[str, Any]]:
                rows: list[dict[str, Any]] = client.ask("watching").to_dicts()
                return [row for row in rows if row["kind"] == "probe" and row["ready"] >= 2]

            def regressions() -> list[dict[str, Any]]:
                rows: list[dict[str, Any]] = client.ask("regressions", **window()).to_dicts()
                return rows

            def found() -> list[dict[str, Any]]:
                return [
                    row
                    for row in regressions()
                    if row["object"] == ENDPOINT
                    and row["verdict"] == "regression"
                    and row["changed_at"] > slow_at
                ]

            until(watched, BASELINE_S, lambda: client.ask("watching").to_dicts())
            slow_at = now() - timedelta(seconds=4)
            fault = {"endpoint": ENDPOINT, "slow_query_ms": SLOW_MS, "for_s": FOUND_S}
            control = f"http://127.0.0.1:{port}/demo/faults"
            answer = httpx.post(control, json=fault, trust_env=False)
            assert answer.is_success, answer.text
            (row, *_) = until(found, FOUND_S, regressions)
            assert abs(row["changed_at"] - slow_at) < timedelta(seconds=15)

            def grown() -> bool:
                (now_told,) = client.ask("regression", regression_id=row["regression_id"]).to_dicts()
                return bool(now_told["after"] - now_told["before"] > 0.8 * SLOW_MS)

            def moved() -> list[dict[str, Any]]:
                rows = client.ask("moved_with", regression_id=row["regression_id"]).to_dicts()
                queries = [each for each in rows if each["kind"] == "query" and each["share"]]
                return [each for each in queries if each["of_ms"] > 0.8 * SLOW_MS]

            until(grown, GROWN_S, regressions)
            queries = until(moved, 30, lambda: client.ask("change_points", **window()).to_dicts())
            assert any("invoice" in each["query"] for each in queries), queries
            assert 0.3 < max(each["share"] for each in queries) <= 1.25
        dashboard = f"http://127.0.0.1:{up.settings.dashboard.port}"
        page = open_tab(f"{dashboard}/regressions?regression={row['regression_id']}")
        detail = page.locator("[class*=st-key-regression_detail]")
        expect(detail.get_by_role("heading", level=2).first).to_contain_text(ENDPOINT)
        expect(detail.get_by_text("What moved with it")).to_be_visible()
        page.get_by_role("button", name="Acknowledge").click()
        page.get_by_role("dialog").get_by_role("textbox").fill("switched on by a test")
        page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
        expect(detail.get_by_text(re.compile("switched on by a test")).first).to_be_visible()
        settle(page)
