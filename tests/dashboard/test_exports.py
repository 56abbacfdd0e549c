"""The export menu, the progress of downloads and the Data page, as handed to Streamlit."""

import shlex
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import catalogue
from dashboard.data import Question, question
from dashboard.tickets import Download
from tests.cli.running import perfhouse
from tests.dashboard import worlds
from tests.dashboard.conftest import Open, texts
from tests.servers.warehouse import WarehouseProcess
from warehouse.errors import BusyError, WarehouseAwayError
from warehouse.questions import QUESTIONS

World = Callable[[str], WarehouseProcess]
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def opened(app: AppTest) -> AppTest:
    """The page with its export menu open."""
    app.session_state["export_menu"] = True
    return app.run()


@pytest.mark.parametrize(
    ("page", "listed"),
    [
        ("overview", {"Percentiles over time, all pooled", "Gaps", "Single attempts", "Single samples"}),
        (
            "latency",
            {"Phases over time", "Latency bands over time", "Errors by class over time", "Single attempts"},
        ),
        ("hosts", {"Host resources over time", "Top processes", "Single samples"}),
        ("collectors", {"Collectors' jobs", "Gaps", "Events", "Rows and bytes stored", "Single samples"}),
    ],
)
def test_every_page_lists_its_rows_in_words(
    world: World, open_page: Open, page: str, listed: set[str]
) -> None:
    app = opened(open_page(world("plenty"), page))
    assert not app.exception
    options = app.radio(key="export_choice").options
    assert listed <= set(options)
    assert len(set(options)) == len(options)
    assert [app.button(key=f"menu_{form}").label for form in ("csv", "parquet")] == ["CSV", "Parquet"]


def test_a_click_makes_a_ticket_for_what_the_page_shows(world: World, open_page: Open) -> None:
    app = opened(open_page(world("plenty"), "latency", endpoint=[worlds.SLOW], range="1h"))
    app.radio(key="export_choice").set_value("Single attempts").run()
    app.button(key="menu_parquet").click().run()
    assert not app.exception
    (download,) = app.session_state["downloads"]
    assert (download.question, download.form, download.state) == ("attempts", "parquet", "waiting")
    assert download.parameters["endpoint"] == (worlds.SLOW,)
    assert download.parameters.keys() == {"start", "end", "target", "endpoint"}
    assert download.filename.startswith("attempts-2")
    assert download.filename.endswith("Z.parquet")
    assert "asking the browser" in texts(app)
    assert download.ticket in app.get("html")[0].proto.body


def shown(app: AppTest, **state: object) -> str:
    """What the page says of a download in this state."""
    given = {"made_at": time.monotonic(), **state}
    download = Download("attempts", {}, "csv", "Single attempts", "attempts.csv", None)  # type: ignore[arg-type]
    for name, value in given.items():
        setattr(download, name, value)
    app.session_state["downloads"] = [download]
    app.run()
    assert not app.exception
    return texts(app) + "".join(str(bar.proto) for bar in app.get("progress"))


def test_each_state_of_a_download_says_where_it_stands(world: World, open_page: Open) -> None:
    app = open_page(world("one_sample"))
    running = shown(app, state="running", used=True, rows=2_500_000, total=10_000_000, sent=262_144_000)
    assert "2,500,000 of 10,000,000 rows, 250 MiB so far" in running
    assert "value: 25" in running
    assert app.button(key="stop_0").label == "Cancel"
    uncounted = shown(app, state="running", used=True, rows=10, sent=100)
    assert "10 rows, 100 B so far" in uncounted
    done = shown(app, state="done", used=True, rows=1, sent=2048)
    assert "1 row, 2.0 KiB, handed to the browser as `attempts.csv`" in done
    expired = shown(app, made_at=time.monotonic() - 100)
    assert "did not start it within a minute" in expired
    assert [app.button(key=key).label for key in ("again_0", "dismiss_0")] == ["Try again", "Dismiss"]
    busy = shown(app, state="failed", used=True, error=BusyError("2 exports run already"))
    assert "Wait until one of them has ended, then try again" in busy
    away = WarehouseAwayError("nothing usable answers", "Start it with `perfhouse up`.")
    assert "Start it with" in shown(app, state="failed", used=True, error=away)
    assert "no whole file" in shown(app, state="failed", used=True, error=away, sent=5)
    assert "not whole" in shown(app, state="stopped", used=True)
    app.button(key="dismiss_0").click().run()
    assert app.session_state["downloads"] == []


def test_a_link_to_start_by_hand_comes_when_nothing_happens(world: World, open_page: Open) -> None:
    app = open_page(world("one_sample"))
    assert "by hand" not in shown(app)
    assert "by hand" in shown(app, made_at=time.monotonic() - 10)


def test_data_previews_filters_and_counts(world: World, open_page: Open) -> None:
    warehouse = world("plenty")
    app = open_page(warehouse, "data", range="1h", endpoint=[worlds.SLOW])
    assert not app.exception
    preview = app.dataframe[0].value
    assert len(preview) == 20
    assert set(preview["endpoint"]) == {worlds.SLOW}
    (heading,) = [header.value for header in app.header if header.value[0].isdigit()]
    assert 300 < int(heading.split()[0]) <= 360
    app.button(key="all_csv").click().run()
    (download,) = app.session_state["downloads"]
    assert download.parameters["endpoint"] == (worlds.SLOW,)
    assert "first" not in download.parameters


def test_the_command_shown_does_the_same(world: World, open_page: Open, tmp_path: Path) -> None:
    warehouse = world("plenty")
    app = open_page(warehouse, "data", range="1h", rows="latency_summary", p_merged="true", target=["shop"])
    words = shlex.split(app.code[0].value)
    assert words[:3] == ["perfhouse", "export", "latency_summary"]
    assert {"merged=true", "target=shop"} <= set(words)
    out = words.index("--out") + 1
    words[out] = str(tmp_path / words[out])
    done = perfhouse(*words[1:], config=warehouse.config)
    assert done.returncode == 0, done.stderr
    assert pl.read_csv(words[out])["n"].item() > 0


def test_data_says_which_filter_is_wrong(world: World, open_page: Open) -> None:
    app = open_page(world("plenty"), "data", rows="percentile_trend", p_buckets="many")
    assert not app.exception
    assert "Buckets: Input should be a valid integer" in texts(app)
    assert not app.code


OF_A_RUN = {name for name in QUESTIONS if name in ("run", "load_curve") or name.startswith("run_")}
OF_ONE = {
    "regression",
    "regression_series",
    "regression_events",
    "moved_with",
    "judge_again",
    "baseline_compare",
    "baseline_again",
}
"""Questions that need an id, a scenario or one endpoint: pages of their own export them."""


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name not in OF_A_RUN | OF_ONE])
def test_data_shows_every_question(world: World, open_page: Open, name: str) -> None:
    app = open_page(world("plenty"), "data", rows=name, range="15m")
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="rows_choice").value == name
    assert name in catalogue.TITLES


def test_file_names_are_plain_and_in_utc() -> None:
    asked = Question("attempts", (("end", AT.replace(hour=13)), ("endpoint", ("=ö; x",)), ("start", AT)))
    assert catalogue.filename(asked, "csv", AT) == "attempts-20261123T120000Z-20261123T130000Z.csv"
    assert catalogue.filename(question("hosts"), "parquet", AT) == "hosts-20261123T120000Z.parquet"
    words = shlex.split(catalogue.command(asked, "csv", AT))
    assert words[-2:] == ["--param", "endpoint==ö; x"]
