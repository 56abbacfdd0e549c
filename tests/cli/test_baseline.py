"""`perfhouse baseline` against a real warehouse: pin, list, activate, remove, compare, again."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.baseline_commands import outcome
from perfhouse import app
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS
from tests.warehouse.records import attempt
from warehouse.model import Attempt, Batch, now
from warehouse.wire import pack

HOURS = 8


def probes(at: datetime, hours_ago: float, hours: int, factor: float, endpoint: str) -> list[Attempt]:
    random = np.random.default_rng([int(hours_ago), len(endpoint)])
    began = at - timedelta(hours=hours_ago)
    return [
        attempt(began + timedelta(seconds=10 * place), ms=float(ms), endpoint=endpoint)
        for place, ms in enumerate(60 * factor * np.exp(0.1 * random.standard_normal(360 * hours)))
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """Eight hours of a calm shop, and a last hour in which its cart takes half as long again."""
    with running_warehouse(tmp_path_factory.mktemp("baseline"), TARGETS) as process:
        at = now()
        made = [
            *(each for endpoint in ("GET /", "GET /cart") for each in probes(at, 10, HOURS, 1.0, endpoint)),
            *probes(at, 1, 1, 1.0, "GET /"),
            *probes(at, 1, 1, 1.5, "GET /cart"),
        ]
        with process.client("collect") as collector:
            batch = Batch(batch_id="cli-baseline", attempts=tuple(each for each in made if each.at <= at))
            collector.send(batch.batch_id, pack(batch))
        yield process


def perfhouse(served: WarehouseProcess, *words: str) -> Result:
    return CliRunner().invoke(app, ["--config", str(served.config), "baseline", *words])


def test_a_period_is_pinned_listed_compared_activated_and_removed(served: WarehouseProcess) -> None:
    done = perfhouse(served, "pin", "calm", "--target", "shop", "--from", "10h", "--to", "2h")
    assert done.exit_code == 0, done.output
    calm = done.stdout.strip()
    assert "the active one" in done.stderr
    told = perfhouse(
        served, "pin", "later", "--target", "shop", "--from", "9h", "--to", "3h", "--inactive", "--json"
    )
    later = json.loads(told.stdout)
    assert later["is_active"] is False
    table = perfhouse(served, "list", "--target", "shop").stdout
    assert calm in table
    assert "active" in table
    assert perfhouse(served, "list", "--target", "other").stdout.count("\n") == 1

    slow = perfhouse(served, "compare", "--target", "shop")
    assert slow.exit_code == 1, slow.output
    assert "REGRESSED" in slow.stdout
    assert "not enough data" in slow.stdout, "p99 of 360 probes"
    rows = json.loads(perfhouse(served, "compare", "--target", "shop", "--json").stdout)
    verdicts = {(row["endpoint"], row["measure"]): row["verdict"] for row in rows}
    assert verdicts["GET /cart", "p95"] == "regressed"
    assert verdicts["GET /", "p95"] == "no_change"

    same = ("compare", "--target", "shop", "--endpoint", "GET /", "--baseline", calm)
    assert perfhouse(served, *same).exit_code == 0
    assert perfhouse(served, *same, "--strict").exit_code == 2
    nothing = perfhouse(served, "compare", "--target", "shop", "--from", "20h", "--to", "19h")
    assert nothing.exit_code == 2, "nothing was measured, which is no pass"

    history = ("again", later["baseline_id"], "--target", "shop", "--from", "2h")
    again = perfhouse(served, *history)
    assert again.exit_code == 0, again.output
    assert "under later" in again.stdout
    assert "under calm (active): 1 of 2 regressed, 0 improved" in again.stdout, "the hour before is empty"
    assert "GET /cart" in again.stdout
    told = json.loads(perfhouse(served, *history, "--window", "30", "--json").stdout)
    assert len({row["at"] for row in told}) == 4

    assert "is the active baseline" in perfhouse(served, "activate", later["baseline_id"]).stderr
    for baseline in (calm, later["baseline_id"]):
        assert "is no baseline" in perfhouse(served, "remove", baseline).stderr
    assert json.loads(perfhouse(served, "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pin", "a", "--target", "shop"), "expected --from WHEN"),
        (("pin", "a", "--target", "shop", "--from", "1h", "--run", "r1"), "expected --from WHEN"),
        (("pin", "a", "--target", "nowhere", "--from", "1h"), "nothing was measured of nowhere"),
        (("pin", "a", "--target", "shop", "--from", "yesterday"), "expected an instant"),
        (("compare", "--target", "shop"), "shop has no baseline"),
        (("remove", "everything"), "there is no baseline everything"),
    ],
)
def test_what_is_wrong_is_told(served: WarehouseProcess, words: tuple[str, ...], told: str) -> None:
    done = perfhouse(served, *words)
    assert done.exit_code != 0
    assert told in done.stderr + str(done.exception)


@pytest.mark.parametrize(
    ("verdicts", "code", "strict"),
    [
        (["no_change", "improved"], 0, 0),
        (["no_change", "not_enough_data"], 0, 2),
        (["not_enough_data"], 2, 2),
        ([], 2, 2),
        (["regressed", "not_enough_data"], 1, 1),
    ],
)
def test_exit_codes(verdicts: list[str], code: int, strict: int) -> None:
    assert (outcome(verdicts, strict=False), outcome(verdicts, strict=True)) == (code, strict)
