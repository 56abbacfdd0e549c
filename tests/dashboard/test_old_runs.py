"""Pages of load tests whose single requests are deleted show what was counted, and say what is gone."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dashboard import access
from dashboard import format as fmt
from tests.dashboard import load_worlds
from tests.dashboard.conftest import Open
from tests.dashboard.test_loadtests import LOCAL, Made, echarts, plain, tables
from tests.servers.warehouse import running_warehouse
from warehouse.model import now
from warehouse.retention import expire
from warehouse.store import Store


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A warehouse whose load tests are older than it keeps their requests."""
    with running_warehouse(tmp_path_factory.mktemp("old"), load_worlds.CONFIG) as served:
        with served.client("cli") as asks, served.client("agent") as agent:
            made = load_worlds.full(asks, agent)
            list(asks.rebuild())
            asks.pin_run(made["baseline"], pinned=False, person="ann")
        served.stop()
        store = Store(served.settings)
        at = now().replace(tzinfo=None) + timedelta(days=served.settings.retention.raw_days + 1)
        expire(store.cursor(), at, served.settings.retention.raw_days)
        store.close()
        served.start()
        yield served, made


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "caller", lambda: LOCAL)


def test_an_old_run_shows_its_curve_and_endpoints_and_says_what_is_gone(old: Made, open_page: Open) -> None:
    served, made = old
    app = open_page(served, "run", run=made["pass"])
    assert not app.exception
    assert not app.error
    assert "Single requests were deleted on" in plain(app)
    assert "percentiles within 1 %" in plain(app)
    with served.client("cli") as client:
        truth = client.ask("run_endpoints", run_id=made["pass"])
    assert truth["tier"].unique().to_list() == ["1s"]
    assert [each["name"] for each in echarts(app)[0]["series"]][:3] == ["p99", "p95", "p50"]
    shown = tables(app)["service"]
    assert {"GET /", "GET /cart"} <= set(shown["endpoint"])
    assert shown["p95"].to_list() == [fmt.duration_ms(each) for each in truth["p95_ms"]]


def test_old_runs_are_compared_without_intervals(old: Made, open_page: Open) -> None:
    served, made = old
    app = open_page(served, "compare", a=made["baseline"], b=made["pass"])
    assert not app.exception
    assert not app.error
    shown = tables(app)["interval"]
    row = shown[(shown["endpoint"] == "All together") & (shown["measure"] == "p95")].iloc[0]
    assert (row["interval"], row["says"]) == ("no interval", "no interval")
    assert "single requests of" in row["why"]
    assert row["difference"].startswith("+")
    assert [each["name"] for each in echarts(app)[0]["series"]] == ["A", "B"]
