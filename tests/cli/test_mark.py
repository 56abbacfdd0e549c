"""`perfhouse mark` against a real warehouse: deploy, list, remove."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from perfhouse import app
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS
from warehouse.model import now


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("mark"), TARGETS) as process:
        yield process


def perfhouse(served: WarehouseProcess, *words: str) -> Result:
    return CliRunner().invoke(app, ["--config", str(served.config), "mark", *words])


def test_a_deploy_is_marked_listed_and_removed(served: WarehouseProcess) -> None:
    done = perfhouse(served, "deploy", "--version", "1.4", "--target", "shop", "--at", "2h")
    assert done.exit_code == 0, done.output
    mark_id = done.stdout.strip()
    everywhere = perfhouse(served, "deploy", "--version", "\x1b[31mred", "--json")
    assert everywhere.exit_code != 0, "control characters are no version"
    told = perfhouse(served, "deploy", "--version", "config", "--text", "a flag", "--json")
    assert json.loads(told.stdout)["target"] is None
    rows = json.loads(perfhouse(served, "list", "--json").stdout)
    assert [(row["version"], row["target"]) for row in rows] == [("config", None), ("1.4", "shop")]
    ago = now() - datetime.fromisoformat(rows[1]["at"])
    assert timedelta(hours=1, minutes=59) < ago < timedelta(hours=2, minutes=1)
    table = perfhouse(served, "list", "--target", "shop").stdout
    assert "1.4" in table
    assert mark_id in table
    assert "is marked no more" in perfhouse(served, "remove", mark_id).stderr
    assert mark_id not in perfhouse(served, "list").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("deploy", "--version", "1", "--target", "nowhere"), "there is no target nowhere"),
        (("deploy", "--version", "1", "--at", "yesterday"), "expected an instant"),
        (("remove", "m20260101000000-000000"), "there is no mark"),
        (("remove", "everything"), "there is no mark everything"),
    ],
)
def test_what_is_wrong_is_told(served: WarehouseProcess, words: tuple[str, ...], told: str) -> None:
    done = perfhouse(served, *words)
    assert done.exit_code != 0
    assert told in done.stderr + str(done.exception)
