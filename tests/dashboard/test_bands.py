"""Load tests as bands and deploys as lines: where they lie, what is told of them, that no name is markup."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import bands, mark_lines, theme
from dashboard.axes import Stage, figure
from dashboard.window import Window
from tests.dashboard import load_worlds, worlds
from tests.dashboard.conftest import CONFIG, Open
from tests.dashboard.load_worlds import Story
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.model import now

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOSTILE = "<b>x</b><a href='http://evil.example'>y</a> %{y}"
RUN = {
    "run_id": "r20261123120000-abcdef",
    "target": "shop",
    "preset": "smoke",
    "state": "finished",
    "verdict": "pass",
    "is_generator_bound": False,
    "is_partial": False,
}
CHARTS = {
    "": ["overview_latency"],
    "latency": ["by_endpoint", "pooled", "errors", "phases"],
    "hosts": ["host_cpu"],
}


@pytest.fixture
def stage() -> Stage:
    return Stage(
        Window(START, START + timedelta(hours=1), "1h"), ZoneInfo("Europe/Berlin"), theme.palette("dark")
    )


def runs(*told: dict[str, Any]) -> pl.DataFrame:
    """An answer to `run_spans`."""
    instant = pl.Datetime("ms", "UTC")
    return pl.DataFrame(
        [RUN | each for each in told], schema_overrides={"began_at": instant, "until_at": instant}
    )


def spans(drawn: go.Figure) -> list[tuple[str, str]]:
    """Begin and end of each of the spans that the chart's one shape fills, as its path has them."""
    (shape,) = drawn.layout.shapes
    return re.findall(r"M([^,]+),0V1H([^V]+)V0Z", shape.path)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_a_run_is_a_band_from_its_begin_to_its_end_in_the_readers_time(stage: Stage) -> None:
    drawn = figure(stage)
    bands.shade(drawn, stage, runs({"began_at": at(10), "until_at": at(20)}), labelled=True)
    assert spans(drawn) == [("2026-11-23_13:10:00.000", "2026-11-23_13:20:00.000")]
    (touched,) = drawn.data
    assert touched.x[0] == np.datetime64("2026-11-23T13:10:00")
    assert touched.x[-1] == np.datetime64("2026-11-23T13:20:00")
    assert set(touched.customdata) == {"smoke on shop, pass"}
    (label,) = drawn.layout.annotations
    assert label.text == '<a href="run?run=r20261123120000-abcdef" target="_self">smoke</a>'


def test_a_run_that_is_on_or_reaches_beyond_is_cut_to_the_window(stage: Stage) -> None:
    drawn = figure(stage)
    bands.shade(
        drawn,
        stage,
        runs(
            {"began_at": at(-30), "until_at": at(5)},
            {"began_at": at(50), "until_at": None, "state": "running", "verdict": ""},
        ),
    )
    assert spans(drawn) == [
        ("2026-11-23_13:00:00.000", "2026-11-23_13:05:00.000"),
        ("2026-11-23_13:50:00.000", "2026-11-23_14:00:00.000"),
    ]
    assert drawn.data[0].customdata[-1] == "smoke on shop, running"
    assert not drawn.layout.annotations


def test_forty_runs_are_one_shape_and_one_line_however_many_charts_there_are(stage: Stage) -> None:
    drawn = figure(stage)
    told = [
        {"began_at": at(minute), "until_at": at(minute + 0.9), "preset": f"p{minute}"} for minute in range(50)
    ]
    bands.shade(drawn, stage, runs(*told))
    assert len(drawn.layout.shapes) == len(drawn.data) == 1
    assert len(spans(drawn)) == bands.MOST_BANDS
    (touched,) = drawn.data
    assert len(set(touched.customdata)) == bands.MOST_BANDS
    assert np.isnan(touched.y).sum() == bands.MOST_BANDS, "the line breaks between two runs"


def test_runs_at_the_same_time_are_each_found_by_hovering(stage: Stage) -> None:
    drawn = figure(stage)
    told = [
        {"began_at": at(10), "until_at": at(30), "preset": "long"},
        {"began_at": at(20), "until_at": at(25), "preset": "within"},
        {"began_at": at(40), "until_at": at(50), "preset": "after"},
    ]
    bands.shade(drawn, stage, runs(*told))
    found = [[text.partition(" ")[0] for text in dict.fromkeys(line.customdata)] for line in drawn.data]
    assert found == [["long", "after"], ["within"]]
    (band,) = drawn.layout.shapes
    assert band.fillrule == "nonzero", "what overlaps is filled too"


def test_a_narrow_band_has_no_label_and_an_empty_answer_no_band(stage: Stage) -> None:
    drawn = figure(stage)
    bands.shade(drawn, stage, runs({"began_at": at(10), "until_at": at(10.1)}), labelled=True)
    assert len(spans(drawn)) == 1
    assert not drawn.layout.annotations
    for none in (None, runs({"began_at": at(1), "until_at": at(2)}).clear()):
        drawn = figure(stage)
        bands.shade(drawn, stage, none, labelled=True)
        assert not drawn.layout.shapes


def test_a_hostile_preset_is_no_markup(stage: Stage) -> None:
    drawn = figure(stage)
    hostile = runs({"began_at": at(10), "until_at": at(30), "preset": HOSTILE, "target": HOSTILE})
    bands.shade(drawn, stage, hostile, labelled=True)
    said = drawn.layout.annotations[0].text + drawn.data[0].customdata[0]
    assert "<b>" not in said
    assert "<a href='" not in said
    assert "%{y" not in said


def deploys(*told: dict[str, Any]) -> pl.DataFrame:
    """An answer to `marks`."""
    mark = {"mark_id": "m1", "kind": "deploy", "target": None, "version": "1.4", "text": "", "who": "ann"}
    return pl.DataFrame([mark | each for each in told], schema_overrides={"at": pl.Datetime("ms", "UTC")})


def test_a_deploy_is_a_line_with_its_version(stage: Stage) -> None:
    drawn = figure(stage)
    told = deploys({"at": at(10)}, {"at": at(30), "target": "shop"}, {"at": at(31), "version": "1.5"})
    mark_lines.draw(drawn, stage, told, labelled=True)
    (lines,) = drawn.layout.shapes
    assert lines.path == "".join(f"M2026-11-23_13:{minute}:00.000,0V1" for minute in (10, 30, 31))
    (touched,) = drawn.data
    assert list(touched.customdata) == ["1.4 to all targets", "1.4 to shop", "1.5 to all targets"]
    assert [label.text for label in drawn.layout.annotations] == ["1.4", "1.5"], "the second has no room"
    late = figure(stage)
    mark_lines.draw(late, stage, deploys({"at": at(51)}, {"at": at(58), "version": "1.5"}), labelled=True)
    assert [(label.text, label.xanchor) for label in late.layout.annotations] == [("1.5", "right")]
    bare = figure(stage)
    mark_lines.draw(bare, stage, told.clear(), labelled=True)
    mark_lines.draw(bare, stage, None, labelled=True)
    assert not bare.layout.shapes
    assert not bare.data


def test_a_hostile_version_is_no_markup(stage: Stage) -> None:
    drawn = figure(stage)
    hostile = deploys({"at": at(10), "version": HOSTILE, "target": HOSTILE})
    mark_lines.draw(drawn, stage, hostile, labelled=True)
    said = drawn.layout.annotations[0].text + drawn.data[0].customdata[0]
    assert "<b>" not in said
    assert "<a href='" not in said
    assert "%{y" not in said


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WarehouseProcess, str]]:
    """Probes and host samples of the last hours, a load test half an hour ago, and one that is on."""
    with running_warehouse(tmp_path_factory.mktemp("loaded"), CONFIG + load_worlds.CONFIG) as served:
        with served.client("collect") as client:
            worlds.plenty(client)
        with served.client("cli") as asks, served.client("agent") as agent:
            story = Story(asks, agent)
            ended = story.whole(1800)
            story.started(10, "strict")
            asks.mark("v1.4_beta", "shop", "*new* index", now() - timedelta(minutes=20))
            asks.mark("everywhere-2", at=now() - timedelta(minutes=15))
        yield served, ended


def charts(app: AppTest) -> dict[str, dict[str, Any]]:
    return {str(each.proto.id): json.loads(each.proto.spec) for each in app.get("plotly_chart")}


@pytest.mark.parametrize("page", sorted(CHARTS))
def test_runs_are_bands_on_every_chart_and_links_beside_them(
    loaded: tuple[WarehouseProcess, str], open_page: Open, page: str
) -> None:
    served, ended = loaded
    app = open_page(served, page or "overview", range="1h")
    assert not app.exception
    drawn = charts(app)
    for name in CHARTS[page]:
        spec = next(spec for key, spec in drawn.items() if name in key)
        (told,) = [trace["customdata"] for trace in spec["data"] if trace.get("name") == "load test"]
        assert len(set(told)) == 2, name
        (marked,) = [trace["customdata"] for trace in spec["data"] if trace.get("name") == "deploy"]
        assert marked == ["v1.4_beta to shop", "everywhere-2 to all targets"], name
    links = {link.proto.page_link.label if hasattr(link.proto, "page_link") else link.proto.label: link.proto
             for link in app.get("page_link")}  # fmt: skip
    named = [proto for label, proto in links.items() if "judged" in label.replace("\\", "")]
    assert [ended in str(proto) for proto in named] == [True]
    assert any("running" in label for label in links)
    texts = [each.value.replace("\\", "") for each in app.markdown]
    assert any("Deploys in this window" in text for text in texts)
    (listed,) = [text for text in texts if "v1.4_beta" in text]
    assert "to shop" in listed
    assert "*new* index" in listed


def test_what_happened_has_its_place_where_nothing_did() -> None:
    app = AppTest.from_string(
        "import streamlit as st\nfrom dashboard import meanwhile\n"
        "meanwhile.listed(None, {})\nst.markdown('below')"
    ).run()
    assert not app.exception
    assert len(app.main.children) == 2, "what stands below keeps its place when something happened"


def test_runs_of_other_targets_are_no_bands_of_the_chosen_one(
    loaded: tuple[WarehouseProcess, str], open_page: Open
) -> None:
    served, _ = loaded
    app = open_page(served, "latency", range="1h", target="elsewhere")
    assert not [label for label in (link.proto.label for link in app.get("page_link")) if "judged" in label]
    assert not [each for each in app.markdown if "v1.4" in each.value]
