"""A baseline of load tests on the Baseline page: the newest run against it, another by its address."""

from collections.abc import Iterator

import polars as pl
import pytest

from dashboard import access
from tests.dashboard import load_worlds
from tests.dashboard.conftest import Open, texts
from tests.dashboard.load_worlds import Story
from tests.dashboard.test_baseline_page import LOCAL
from tests.servers.warehouse import WarehouseProcess, running_warehouse

Made = tuple[WarehouseProcess, dict[str, str]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A baseline of three runs, then a slower one, the newest one as before, and one of another preset.

    Nothing else was ever measured.
    """
    with running_warehouse(tmp_path_factory.mktemp("loads"), load_worlds.CONFIG) as process:
        with process.client("cli") as asks, process.client("agent") as agent:
            story = Story(asks, agent)
            runs = [story.whole(9000 - 600 * place, ms=40) for place in range(3)]
            made = {
                "first": runs[0],
                "slow": story.whole(4000, ms=60),
                "same": story.whole(3000, ms=40),
                "steps": story.whole(2000, "steps", seconds=40, users=2),
            }
            asks.pin_baseline("shop", "nightly <1>", runs=runs)
        yield process, made


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "caller", lambda: LOCAL)


def test_the_newest_run_is_held_against_a_baseline_of_runs(served: Made, open_page: Open) -> None:
    process, made = served
    app = open_page(process, "baseline", target="shop")
    assert not app.exception
    assert app.selectbox(key="run_choice").value == made["same"], "the newest of the baseline's own preset"
    table = app.dataframe[0].value
    assert set(table["Verdict"]) <= {"no change", "not enough data"}
    assert "nightly \\<1\\>: 3 load tests, steady" in texts(app)
    assert "This window" not in texts(app).replace("This window as a baseline", "")


def test_another_run_is_compared_by_the_address(served: Made, open_page: Open) -> None:
    process, made = served
    app = open_page(process, "baseline", target="shop", run=made["slow"])
    assert not app.exception
    rows = app.dataframe[0].value.to_dict("records")
    found = {(row["Endpoint"], row["Measure"]): row for row in rows}
    slow = found["GET /cart", "p95"]
    assert slow["Verdict"] == "▼ regressed"
    assert slow["Change"].startswith("+5") or slow["Change"].startswith("+4")
    assert " to " in slow["95 % interval"]
    assert slow["n"] == "600", "in the steady phase"
    assert found["GET /cart", "p99"]["Why"].startswith("too few requests: 600 of the 1000")
    assert ("all endpoints", "Requests/s") in found
    links = [each.proto for each in app.get("page_link")]
    assert any(link.label == "The load test" and made["slow"] in str(link) for link in links)

    own = open_page(process, "baseline", target="shop", run=made["first"])
    assert not own.exception
    assert "2 load tests, steady" in texts(own), "a run is not its own baseline"


def test_what_cannot_be_compared_says_why(served: Made, open_page: Open) -> None:
    process, made = served
    for run_id, why in (
        (made["steps"], "no steady phase in common"),
        ("r20260101000000-000000", "there is no run r20260101000000"),
    ):
        app = open_page(process, "baseline", target="shop", run=run_id)
        assert not app.exception
        (told,) = app.info
        assert told.proto.title == "This load test cannot be compared"
        assert why in str(told.value).replace("\\", "")
    broken = open_page(process, "baseline", target="shop", run="no run at all")
    assert not broken.exception


def test_load_tests_are_judged_again_under_another_baseline(served: Made, open_page: Open) -> None:
    process, made = served
    with process.client("cli") as client:
        for row in client.ask("baselines").filter(pl.col("name") == "slow").to_dicts():
            client.remove_baseline(row["baseline_id"])  # of the first try
        slow = client.pin_baseline("shop", "slow", runs=[made["slow"]], activate=False)["baseline_id"]
    app = open_page(process, "baseline", target="shop", again=slow)
    assert not app.exception
    assert "Under **nightly \\<1\\>** (active): of 6 load tests 1 regressed" in texts(app)
    assert "the baseline has no other run" in texts(app), "why one of them is not judged"
    told = app.dataframe[1].value
    assert {"Under slow", "Under nightly <1> (active)"} <= set(told.columns)
    links = [each.proto for each in app.get("page_link")]
    assert sum(made["slow"] in str(link) for link in links) == 1
    with process.client("cli") as client:
        client.remove_baseline(slow)


def test_load_tests_are_pinned_from_the_page(served: Made, open_page: Open) -> None:
    process, made = served
    app = open_page(process, "baseline", target="shop")
    assert next(each for each in app.button if each.key == "pin_runs_now").disabled, "none is chosen"
    app.multiselect(key="pin_runs_chosen").set_value([made["same"], made["first"]]).run()
    app.text_input(key="pin_runs_name").set_value("from the page").run()
    app.button(key="pin_runs_now").click().run()
    assert not app.exception
    with process.client("cli") as client:
        rows = client.ask("baselines", target=["shop"])
        (pinned,) = rows.filter(pl.col("name") == "from the page").to_dicts()
        assert pinned["is_active"]
        assert set(pinned["run_ids"].split(", ")) == {made["same"], made["first"]}
        client.remove_baseline(pinned["baseline_id"])
        (left,) = rows.filter(pl.col("name") != "from the page")["baseline_id"]
        client.activate_baseline(left)


def test_a_run_leads_to_its_comparison(served: Made, open_page: Open) -> None:
    process, made = served
    app = open_page(process, "run", run=made["slow"])
    assert not app.exception
    (link,) = [each.proto for each in app.get("page_link") if each.proto.label == "Against the baseline"]
    assert made["slow"] in str(link)
