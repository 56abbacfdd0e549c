"""The Baseline page and the level on the latency chart: pinned, compared, activated, removed."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import access
from dashboard.access import Caller
from dashboard.window import absolute
from tests.dashboard.conftest import CONFIG, Open, texts
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.records import attempt
from warehouse.model import Batch, now
from warehouse.wire import pack

World = Callable[[str], WarehouseProcess]
NOW = now().replace(microsecond=0)
LOCAL = Caller("127.0.0.1", "127.0.0.1", [("host", "127.0.0.1:8501")])
AWAY = Caller("127.0.0.1", "10.0.0.7", [("host", "perfhouse.example.com")])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """Eight calm hours of a shop, then one in which its cart takes half as long again."""
    random = np.random.default_rng(6)
    with running_warehouse(tmp_path_factory.mktemp("baseline"), CONFIG) as process:
        for endpoint, factor in (("GET /", 1.0), ("GET /cart", 1.5)):
            times = 60 * np.exp(0.1 * random.standard_normal(9 * 360))
            times[8 * 360 :] *= factor
            made = tuple(
                attempt(NOW - timedelta(seconds=10 * (len(times) - place)), ms=float(ms), endpoint=endpoint)
                for place, ms in enumerate(times)
            )
            with process.client("collect") as collector:
                batch = Batch(batch_id=f"page-at-{factor}", attempts=made)
                collector.send(batch.batch_id, pack(batch))
        yield process


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "caller", lambda: LOCAL)


def press(app: AppTest, key: str) -> AppTest:
    return next(each for each in app.button if each.key == key).click().run()


CALM = absolute(NOW - timedelta(hours=9), NOW - timedelta(hours=1))


def test_nothing_pinned_says_what_to_do_and_pinning_compares(
    served: WarehouseProcess, open_page: Open
) -> None:
    with served.client("cli") as client:
        for row in client.ask("baselines").to_dicts():
            client.remove_baseline(row["baseline_id"])  # of the first try
    app = open_page(served, "baseline", range=CALM)
    assert not app.exception
    assert "Nothing to compare with yet" in texts(app)
    assert "baseline pin" in texts(app)
    refused = press(app, "pin_now")
    assert "It was not pinned" in texts(refused), "without a name"
    app.text_input(key="pin_name").set_value("release <1.4>").run()
    press(app, "pin_now")
    assert not app.exception
    assert "This window cannot be compared" in str([each.proto.title for each in app.info])

    slow = open_page(served, "baseline", range=absolute(NOW - timedelta(hours=1), NOW))
    assert not slow.exception
    table = slow.dataframe[0].value
    found = {(row["Endpoint"], row["Measure"]): row["Verdict"] for row in table.to_dict("records")}
    assert found["GET /cart", "p95"] == "▼ regressed"
    assert found["GET /", "p95"] == "no change"
    assert found["GET /", "p99"] == "not enough data"
    assert table["Verdict"].tolist()[0] == "▼ regressed", "what got worse comes first"
    assert "release \\<1\\.4\\>" in texts(slow)
    assert "one after another, at other times of day" in texts(slow)

    latency = open_page(served, "latency", range=absolute(NOW - timedelta(hours=2), NOW))
    assert not latency.exception
    assert "Dashed: p95 of the baseline" in texts(latency)
    chart = json.loads(latency.get("plotly_chart")[0].proto.spec)
    levels = [trace for trace in chart["data"] if trace.get("name") == "baseline"]
    assert len(levels) == 2
    assert all(trace["line"]["dash"] == "dash" for trace in levels)
    assert len([shape for shape in chart["layout"]["shapes"] if shape.get("yref", "y") == "y"]) >= 2

    with served.client("cli") as client:
        client.pin_baseline(
            "shop", "second", start=NOW - timedelta(hours=3), end=NOW - timedelta(hours=2), activate=False
        )
    app = open_page(served, "baseline", range=CALM)
    (activate,) = [each.key for each in app.button if str(each.key).startswith("activate_")]
    press(app, activate)
    with served.client("cli") as client:
        active = client.ask("baselines").to_dicts()
    assert [row["name"] for row in active if row["is_active"]] == ["second"]
    for row in active:
        press(app, f"remove_{row['baseline_id']}")
    assert "Nothing to compare with yet" in texts(app)
    with served.client("cli") as client:
        assert client.ask("baselines").is_empty()


def test_history_is_judged_again_under_another_baseline(served: WarehouseProcess, open_page: Open) -> None:
    """The slow hour was made the active baseline; the calm day before judges it otherwise."""
    with served.client("cli") as client:
        for row in client.ask("baselines").to_dicts():
            client.remove_baseline(row["baseline_id"])  # of the first try
        calm = client.pin_baseline(
            "shop", "calm `day`", start=NOW - timedelta(hours=9), end=NOW - timedelta(hours=1)
        )["baseline_id"]
        slow = client.pin_baseline("shop", "slow", start=NOW - timedelta(hours=1), end=NOW)["baseline_id"]
    window = absolute(NOW - timedelta(minutes=15), NOW)
    app = open_page(served, "baseline", range=window)
    assert not app.exception
    assert "Judge history again under another baseline" in texts(app)
    assert len(app.dataframe) == 1, "nothing is judged before a baseline is chosen"
    app.selectbox(key="again_choice").set_value(calm).run()
    app.selectbox(key="back_choice").set_value("12").run()
    assert not app.exception
    assert calm in app.query_params["again"]
    assert "12" in app.query_params["back"]
    said = texts(app)
    assert "Under **calm \\`day\\`**: of 12 windows 4 regressed, 0 improved." in said
    assert "Under **slow** (active): of 12 windows 0 regressed, 8 improved" in said
    told = app.dataframe[1].value.to_dict("records")
    assert list(told[0]) == ["When", "Endpoint", "Measure", "Under calm `day`", "Under slow (active)"]
    carts = [row for row in told if (row["Endpoint"], row["Measure"]) == ("GET /cart", "p50")]
    newest, oldest = carts[0], carts[-1]
    assert newest["Under calm `day`"].startswith("▼ regressed +")
    assert " % to +" in newest["Under calm `day`"], "with its interval"
    assert oldest["Under slow (active)"].startswith("▲ improved -")
    assert oldest["Under calm `day`"].startswith("no change")

    again = open_page(served, "baseline", range="15m", live="1", again=calm)
    assert not again.exception
    assert "This waits while the page is live" in texts(again)
    with served.client("cli") as client:
        for each in (calm, slow):
            client.remove_baseline(each)


def test_who_may_not_act_reads_and_pins_nothing(
    served: WarehouseProcess, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "caller", lambda: AWAY)
    app = open_page(served, "baseline", range=CALM)
    assert not app.exception
    assert next(each for each in app.button if each.key == "pin_now").disabled


@pytest.mark.parametrize("name", ["nothing", "one_sample", "plenty", "hostile"])
def test_every_world_is_shown(world: World, open_page: Open, name: str) -> None:
    app = open_page(world(name), "baseline")
    assert not app.exception
    assert not app.error
    assert ("Nothing has been measured yet" if name == "nothing" else "Nothing to compare with") in texts(app)
