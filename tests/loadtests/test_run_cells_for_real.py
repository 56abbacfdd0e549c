"""A real load test is told the same from its cells when its single requests are deleted."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.loadtests.observatory import observatory
from warehouse.model import now
from warehouse.retention import expire
from warehouse.settings import Settings
from warehouse.store import Store


def test_a_finished_run_is_told_from_cells(tmp_path: Path) -> None:
    with observatory(tmp_path, "--stop-runs") as seen:
        run_id = seen.request("short")
        seen.wait_complete(run_id)
        with seen.warehouse.client("cli") as client:
            asked = {"seconds": "run_seconds", "endpoints": "run_endpoints"}
            before = {name: client.ask(question, run_id=run_id) for name, question in asked.items()}
            steps = {step["part"]: step for step in client.rebuild()}
            assert steps["run"]["run"] == run_id
            assert (steps["run"]["cells"] > 4, steps["run"]["differences"]) == (True, 0)
        seen.agent.stop()
        seen.warehouse.stop()
        _let_requests_grow_old(seen.warehouse.settings)
        seen.warehouse.start()
        with seen.warehouse.client("cli") as client:
            after = {name: client.ask(question, run_id=run_id) for name, question in asked.items()}
    for name, table in before.items():
        told = after[name]
        assert table["tier"].unique().to_list() == ["raw"]
        assert told["tier"].unique().to_list() == ["1s"]
        for column in table.columns:
            if column in ("tier", "error_bound"):
                continue
            near = 0.0101 if column.endswith("_ms") and column != "max_ms" else 1e-9
            for was, own in zip(table[column].to_list(), told[column].to_list(), strict=True):
                assert own == (pytest.approx(was, rel=near) if isinstance(was, float) else was), column


def _let_requests_grow_old(settings: Settings) -> None:
    store = Store(settings)
    raw_days = settings.retention.raw_days
    at = now().replace(tzinfo=None) + timedelta(days=raw_days + 1)
    assert expire(store.cursor(), at, raw_days)["load_request"] > 100
    store.close()
