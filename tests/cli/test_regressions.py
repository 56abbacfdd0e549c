"""`perfhouse regressions` against a real warehouse: list, show, acknowledge, resolve, reopen."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from perfhouse import app
from tests.servers.warehouse import WarehouseProcess
from tests.warehouse.watched_worlds import served_world


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with served_world(tmp_path_factory.mktemp("watched")) as process:
        yield process


def perfhouse(watched: WarehouseProcess, *words: str) -> Result:
    return CliRunner().invoke(app, ["--config", str(watched.config), "regressions", *words])


def test_a_regression_is_listed_shown_and_acknowledged(watched: WarehouseProcess) -> None:
    checked = perfhouse(watched, "list", "--check")
    assert checked.exit_code == 1, "one is open"
    assert "GET /cart" in checked.stdout
    rows = json.loads(perfhouse(watched, "list", "--json").stdout)
    assert [(row["verdict"], row["state"]) for row in rows] == [
        ("regression", "open"),
        ("improvement", "told"),
    ]
    chosen = rows[0]["regression_id"]
    shown = perfhouse(watched, "show", chosen)
    assert shown.exit_code == 0
    assert "query_mean_ms db shop/a1" in shown.stdout
    assert "of +" in shown.stdout, "the query's part of the difference"
    assert json.loads(perfhouse(watched, "show", chosen, "--json").stdout)["regression_events"]
    done = perfhouse(watched, "acknowledge", chosen, "--text", "known")
    assert (done.exit_code, "is acknowledged" in done.stderr) == (0, True)
    assert perfhouse(watched, "list", "--check").exit_code == 0
    assert "is resolved" in perfhouse(watched, "resolve", chosen).stderr
    assert "is open" in perfhouse(watched, "reopen", chosen).stderr
    assert chosen in perfhouse(watched, "list", "--state", "open", "--target", "shop").stdout
    assert chosen not in perfhouse(watched, "list", "--state", "resolved").stdout


def test_an_unknown_regression_is_told(watched: WarehouseProcess) -> None:
    assert perfhouse(watched, "show", "c0").exit_code == 2
    done = perfhouse(watched, "resolve", "c0")
    assert done.exit_code != 0
    assert "there is no regression c0" in done.stderr + str(done.exception)
