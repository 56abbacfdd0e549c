"""Charts: what is drawn is what was answered, gaps stay gaps, and no name is markup."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from dashboard import charts, theme
from dashboard.axes import Stage
from dashboard.resource_charts import BANDS, resource
from dashboard.window import Window

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BUCKET_S = 30
HOSTILE = "<b>x</b><a href='http://evil.example'>y</a> %{y}"


@pytest.fixture(params=["light", "dark"])
def stage(request: pytest.FixtureRequest) -> Stage:
    window = Window(START, START + timedelta(hours=1), "1h")
    return Stage(window, ZoneInfo("Europe/Berlin"), theme.palette(request.param))


def trend(positions: list[int], endpoint: str | None = "GET /", **columns: Any) -> pl.DataFrame:
    """An answer to `percentile_trend` with buckets at these positions."""
    length = len(positions)
    numbers: dict[str, Any] = {"n": 200, "attempts": 200, "timeouts": 0, "errors": 0}
    for percentile, value in ((50, 10.0), (95, 20.0), (99, 30.0)):
        numbers |= {f"p{percentile}_ms": value, f"p{percentile}_above": False}
    numbers |= {"max_ms": 40.0, "target": "shop", "endpoint": endpoint, **columns}
    return pl.DataFrame(
        {
            "bucket_at": [START + timedelta(seconds=BUCKET_S * at) for at in positions],
            "bucket_s": [BUCKET_S] * length,
            **{
                name: value if isinstance(value, list) else [value] * length
                for name, value in numbers.items()
            },
        },
        schema_overrides={"bucket_at": pl.Datetime("ms", "UTC")},
    )


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_percentiles_are_drawn_as_answered_in_the_readers_time(stage: Stage) -> None:
    drawn = traces(charts.latency(stage, trend([0, 1, 2])))
    assert {"p50", "p95", "p99", "max"} <= set(drawn)
    assert list(drawn["p95"].y) == [20.0, 20.0, 20.0]
    assert drawn["p95"].x[0] == np.datetime64("2026-11-23T13:00:00")
    assert list(drawn["max"].y) == [40.0] * 3


def test_a_line_breaks_where_buckets_are_missing(stage: Stage) -> None:
    line = traces(charts.latency(stage, trend([0, 1, 2, 20, 21])))["p95"]
    assert np.isnan(line.y).tolist() == [False, False, False, True, False, False]
    assert line.connectgaps is False


def test_a_series_sampled_rarely_is_not_torn_apart(stage: Stage) -> None:
    line = traces(charts.latency(stage, trend([0, 4, 8, 12, 16])))["p95"]
    assert not np.isnan(line.y).any()


def test_a_lone_point_is_marked(stage: Stage) -> None:
    line = traces(charts.latency(stage, trend([7])))["p95"]
    assert "markers" in line.mode
    assert line.marker.size[0] > 0


def test_a_point_above_the_deadline_is_told_and_marked(stage: Stage) -> None:
    rows = trend([0, 1], p99_ms=3000.0, p99_above=[False, True])
    drawn = traces(charts.latency(stage, rows))
    assert drawn["p99"].customdata[1].startswith("> 3 s")
    assert not drawn["p99"].customdata[0].startswith(">")
    assert len(drawn["above the deadline"].x) == 1


def test_too_few_attempts_for_a_percentile_are_told(stage: Stage) -> None:
    drawn = traces(charts.latency(stage, trend([0], n=19)))
    assert "too few for p95: n = 19" in drawn["p95"].customdata[0]
    assert "too few" not in drawn["p50"].customdata[0]


def test_percentiles_that_stand_on_too_little_are_told_below_the_chart() -> None:
    assert charts.few(trend([0, 1], n=18)) == (
        "Most points stand on n = 18 attempts or fewer: "
        "too few for p95 (wants 20) and p99 (wants 100), which there is the slowest of them."
    )
    assert "p95" not in charts.few(trend([0, 1], n=20))
    assert charts.few(trend([0, 1], n=18), [50]) == ""
    assert charts.few(trend([0], n=100)) == ""
    assert charts.few(trend([0], n=0)) == ""
    assert charts.few(trend([])) == ""


def test_the_previous_window_lies_over_this_one(stage: Stage) -> None:
    before = trend([0, 1]).with_columns(pl.col("bucket_at") - timedelta(hours=1))
    drawn = traces(charts.latency(stage, trend([0, 1]), previous=before))
    assert drawn["p95 previous"].x[0] == drawn["p95"].x[0]


def test_no_name_of_an_endpoint_is_markup(stage: Stage) -> None:
    figure = charts.latency_by_endpoint(stage, trend([0, 1], endpoint=HOSTILE), 95)
    names = [trace.name for trace in figure.data]
    assert any("evil" in name for name in names)
    assert not any("<" in name or "%{" in name for name in names)


def test_each_endpoint_has_its_line(stage: Stage) -> None:
    rows = pl.concat([trend([0, 1], endpoint=f"GET /{number}") for number in range(3)])
    drawn = traces(charts.latency_by_endpoint(stage, rows, 95))
    assert {"GET /0", "GET /1", "GET /2"} <= set(drawn)


def test_more_endpoints_than_colours_show_the_busiest(stage: Stage) -> None:
    rows = pl.concat([trend([0], endpoint=f"GET /{number}", n=100 + number) for number in range(15)])
    drawn = traces(charts.latency_by_endpoint(stage, rows, 50))
    assert "GET /14" in drawn
    assert "GET /0" not in drawn
    assert sum(name.startswith("GET") for name in drawn) == charts.MOST_LINES


def test_long_latencies_are_labelled_in_seconds(stage: Stage) -> None:
    figure = charts.latency(stage, trend([0, 1], p99_ms=25_000.0))
    assert figure.layout.yaxis.ticksuffix == " s"
    assert traces(figure)["p99"].y[0] == 25.0
    assert charts.latency(stage, trend([0])).layout.yaxis.ticksuffix == " ms"


def test_errors_are_stacked_by_class_without_the_good_ones(stage: Stage) -> None:
    rows = pl.DataFrame(
        {
            "bucket_at": [START] * 3,
            "bucket_s": [BUCKET_S] * 3,
            "outcome": ["ok", "timeout", "bad_status"],
            "attempts": [90, 3, 7],
        },
        schema_overrides={"bucket_at": pl.Datetime("ms", "UTC")},
    )
    figure = charts.errors(stage, rows)
    assert {name: list(trace.y) for name, trace in traces(figure).items()} == {
        "timeout": [3],
        "bad status": [7],
    }
    assert figure.layout.barmode == "stack"


def test_phases_add_up_to_the_total(stage: Stage) -> None:
    rows = pl.DataFrame(
        {
            "bucket_at": [START],
            "bucket_s": [BUCKET_S],
            "n": [10],
            "dns_ms": [None],
            "connect_ms": [1.0],
            "tls_ms": [2.0],
            "first_byte_ms": [30.0],
            "download_ms": [4.0],
            "total_ms": [37.0],
        },
        schema_overrides={"bucket_at": pl.Datetime("ms", "UTC"), "dns_ms": pl.Float64},
    )
    figure = charts.phases(stage, rows)
    assert sum(trace.y[0] for trace in figure.data) == pytest.approx(37.0)


def test_the_heatmap_keeps_timeouts_in_a_band_of_their_own(stage: Stage) -> None:
    rows = pl.DataFrame(
        {
            "bucket_at": [START, START, START + timedelta(seconds=BUCKET_S)],
            "bucket_s": [BUCKET_S] * 3,
            "low_ms": [8.0, 3000.0, 32.0],
            "high_ms": [8.0 * 2**0.5, None, 32.0 * 2**0.5],
            "attempts": [5, 2, 1],
        },
        schema_overrides={"bucket_at": pl.Datetime("ms", "UTC")},
    )
    heat = charts.heatmap(stage, rows).data[0]
    assert heat.y[-1] == "timeout > 3 s"
    assert heat.z[-1][0] == 2
    assert heat.z[0][0] == 5
    assert np.nansum(heat.z) == 8
    assert len(heat.y) == 6


def test_a_resource_outside_its_band_is_seen(stage: Stage) -> None:
    rows = pl.DataFrame(
        {
            "bucket_at": [START],
            "bucket_s": [BUCKET_S],
            "object": [""],
            "metric": ["cpu_ratio"],
            "unit": ["ratio"],
            "mean": [0.95],
            "max": [1.0],
        },
        schema_overrides={"bucket_at": pl.Datetime("ms", "UTC")},
    )
    figure = resource(stage, rows, band=BANDS["cpu_ratio"])
    assert sorted((shape.y0, shape.y1) for shape in figure.layout.shapes) == [(0.7, 0.9), (0.9, 1.02)]
    assert BANDS["cpu_ratio"].state(0.69) == "ok"
    assert BANDS["cpu_ratio"].state(0.70) == "warning"
    assert BANDS["cpu_ratio"].state(0.90) == "critical"
    assert BANDS["memory_used_ratio"].state(0.94) == "warning"
    assert BANDS["disk_busy_ratio"].state(None) == "unknown"


def test_both_modes_have_readable_colours() -> None:
    """Contrast of text and of every state against its background, as WCAG counts it."""
    for mode in ("light", "dark"):
        ink = theme.palette(mode)
        assert _contrast(ink.text, ink.background) >= 7
        for colour in (ink.muted, ink.ok, ink.warning, ink.critical):
            assert _contrast(colour, ink.background) >= 4.5, (mode, colour)
        assert len(set(ink.series)) == 10


def _contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)
