"""Two stored runs are compared, and what saturated in one is found, through the warehouse's own door."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import AGENT, TARGETS, beats, finish, launch, lines, rows, start, us
from tests.warehouse.records import query_shape, query_stat, sample
from warehouse.client import Client, pack
from warehouse.errors import RefusedError
from warehouse.model import Batch, now

PRESETS = """
[[preset]]
name = "steady"
users = 2
duration_s = 44
[[preset]]
name = "more"
users = 4
duration_s = 44
[[preset]]
name = "rising"
stage = [{ duration_s = 40, users = 40 }]
[[preset]]
name = "steps"
stage = [
  { duration_s = 10, users = 2, spawn_rate = 2 }, { duration_s = 10, users = 4, spawn_rate = 2 },
  { duration_s = 10, users = 8, spawn_rate = 4 }, { duration_s = 10, users = 16, spawn_rate = 8 },
  { duration_s = 10, users = 32, spawn_rate = 16 },
]
[[scenario]]
name = "cart-only"
[[scenario.request]]
path = "/cart"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("runs"), TARGETS + PRESETS) as process:
        yield process


def ran(
    served: WarehouseProcess,
    service_ms: list[float],
    *,
    preset: str = "steady",
    seconds: float = 44,
    cpu: float = 0.2,
    scenario: str | None = None,
    **columns: object,
) -> tuple[str, datetime]:
    """A run that ended, with a request each (seconds / n), evenly, to / and /cart in turn; when it began."""
    run_id = launch(served, preset, scenario=scenario)
    with served.client("agent") as agent:
        began = start(agent, run_id)
        every_ms = seconds * 1000 / len(service_ms)
        columns = {"endpoint": np.arange(len(service_ms)) % 2, **columns}
        made = rows(began, service_ms, every_ms=every_ms, **columns)
        agent.send_rows(run_id, 0, "requests-0.bin", 0, made.tobytes())
        users = columns.get("users")
        agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*beats(began, [cpu] * int(seconds))))
        assert users is None
        finish(agent, run_id, began, seconds)
    return run_id, began


def noisy(median_ms: float, n: int = 2200, seed: int = 1) -> list[float]:
    random = np.random.default_rng(seed)
    return [float(each) for each in np.round(median_ms * np.exp(random.normal(0, 0.3, n)), 3)]


def test_spans_are_those_of_runs_that_sent_load_within_the_window(
    served: WarehouseProcess, cli: Client
) -> None:
    run_id, began = ran(served, [10.0] * 40, seconds=20)
    waiting = launch(served, "steady")

    def spans(from_s: float, to_s: float, **more: object) -> list[dict[str, object]]:
        start, end = (began + timedelta(seconds=offset) for offset in (from_s, to_s))
        rows = cli.ask("run_spans", start=start, end=end, **more).to_dicts()
        return [row for row in rows if row["run_id"] in (run_id, waiting)]

    assert [row["run_id"] for row in spans(5, 10)] == [run_id]
    assert [row["run_id"] for row in spans(-60, 0.5, target=["shop"])] == [run_id]
    assert spans(5, 10, target=["other"]) == []
    assert spans(-60, -1) == []
    assert spans(25, 26) == [], "it ended after 20 s"
    (row,) = spans(-60, 600)
    assert row["until_at"] - row["began_at"] == timedelta(seconds=20)  # type: ignore[operator]
    with served.client("agent") as agent:
        start(agent, waiting)
        on = next(row for row in spans(0, 600) if row["run_id"] == waiting)
        assert on["until_at"] is None
        finish(agent, waiting, now() - timedelta(seconds=5), 2)


def test_two_runs_are_compared_per_endpoint_and_measure(served: WarehouseProcess, cli: Client) -> None:
    a, _ = ran(served, noisy(20))
    b, _ = ran(served, noisy(30, seed=2))
    found = cli.ask("run_compare", a=a, b=b)
    assert found["label"].unique(maintain_order=True).to_list() == ["", "GET /", "GET /cart"]
    p50 = found.row(by_predicate=(pl.col("label") == "GET /cart") & (pl.col("measure") == "p50"), named=True)
    assert p50["difference"] == pytest.approx(10, abs=2)
    assert 5 < p50["low"] < p50["difference"] < p50["high"] < 15
    assert (p50["enough"], p50["why"]) == (True, "")
    p99 = found.row(by_predicate=(pl.col("label") == "") & (pl.col("measure") == "p99"), named=True)
    # 50 requests/s; the plateau is from 4 s on
    assert (p99["n_a"], p99["enough"]) == (2000, True)
    few = found.row(by_predicate=(pl.col("label") == "GET /") & (pl.col("measure") == "p99"), named=True)
    assert few["why"] == "" or few["n_a"] < 1000


def test_the_p95_is_the_nearest_rank_of_the_steady_phase(served: WarehouseProcess, cli: Client) -> None:
    times = [5000.0] * 200 + noisy(20, 2000)
    a, _ = ran(served, times)
    b, _ = ran(served, noisy(20))
    found = cli.ask("run_compare", a=a, b=b)
    p95 = found.row(by_predicate=(pl.col("label") == "") & (pl.col("measure") == "p95"), named=True)
    assert p95["a"] == sorted(times[200:])[1900 - 1]


def test_what_cannot_be_compared_is_refused_in_words(served: WarehouseProcess, cli: Client) -> None:
    a, _ = ran(served, noisy(20))
    other, _ = ran(served, noisy(20), scenario="cart-only", endpoint=0)
    more, _ = ran(served, noisy(20), preset="more")
    for b, words in (
        (other, "their scenarios differ: .*only one asks GET /"),
        (more, "no steady phase in common: .* 2 users for 40 s and .* 4 users"),
        (a, "compared with itself"),
        ("r20260101000000-abcdef", "there is no run"),
    ):
        with pytest.raises(RefusedError, match=words):
            cli.ask("run_compare", a=a, b=b)
    waiting = launch(served)
    with pytest.raises(RefusedError, match="has not ended: it is requested"):
        cli.ask("run_compare", a=a, b=waiting)
    cli.cancel_run(waiting)


def test_curves_lie_over_one_another_by_elapsed_time(served: WarehouseProcess, cli: Client) -> None:
    a, _ = ran(served, noisy(20))
    b, _ = ran(served, [30.0] * 2200, outcome=["ok", "bad_status"] * 1100)
    found = cli.ask("run_compare_curves", a=a, b=b, width_s=2)
    assert found["run"].unique().sort().to_list() == ["a", "b"]
    own = found.filter(pl.col("run") == "b")
    assert own["elapsed_s"].to_list() == list(range(0, 44, 2))
    assert set(own["rps"]) == {50.0}
    assert set(own["users"]) == {2}
    assert set(own["p95_ms"]) == {30.0}
    assert set(own["error_ratio"]) == {0.5}


def saturating(served: WarehouseProcess, hours_ago: int) -> tuple[str, datetime]:
    """A user more each second for 40 s; from 20 s on the rate stays, and answers take ten times as long."""
    run_id = launch(served, "rising")
    with served.client("agent") as agent:
        assert agent.claim(AGENT)["run"]["run_id"] == run_id
        began = now() - timedelta(hours=hours_ago)
        agent.report_run(run_id, agent=AGENT, state="running", started_at_us=us(began))
        for second in range(40):
            n = 5 * min(second + 1, 20)
            took = [10.0 if second < 20 else 100.0] * n
            at = began + timedelta(seconds=second)
            made = rows(at, took, every_ms=1000 / n)
            agent.send_rows(run_id, 0, "requests-0.bin", second * 100_000, made.tobytes())
        told = beats(began, [0.3] * 40)
        for second, beat in enumerate(told):
            beat["users"] = second + 1
        agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*told))
        finish(agent, run_id, began, 40)
    return run_id, began


def watch(served: WarehouseProcess, batch_id: str, **rows: object) -> None:
    with served.client("collect") as collectors:
        collectors.send(batch_id, pack(Batch(batch_id=batch_id, **rows)))


def test_a_full_core_is_named_through_the_warehouse(served: WarehouseProcess, cli: Client) -> None:
    run_id, began = saturating(served, 1)
    assert (
        cli.ask("run_saturation", run_id=run_id)
        .row(0, named=True)["evidence"]
        .endswith("no watched resource reached its limit in time: CPU of the generator 0.30")
    )
    samples = [
        sample(began + timedelta(seconds=at), value, metric=metric, object=name, unit="ratio")
        for at in range(1, 41)
        for metric, name, value in (
            ("cpu_ratio", "", 0.5),
            ("process_cpu_ratio", "api", 1.0 if at > 19 else 0.4),
        )
    ]
    watch(served, "watched-1", samples=samples)
    found = cli.ask("run_saturation", run_id=run_id).row(0, named=True)
    assert (found["resource"], found["object"], found["confidence"]) == ("CPU of a process", "api", "high")
    assert found["at_elapsed_s"] == pytest.approx(20, abs=0.1)
    assert found["evidence"] == (
        "CPU of api on box: 1.00 of one core from 0:20 on, p95 rose from 10 to 100 ms at 0:20"
    )
    tracks = cli.ask("run_resources", run_id=run_id)
    own = tracks.filter(pl.col("kind") == "process")
    assert own["object"].unique().to_list() == ["box/api"]
    assert own["elapsed_s"].to_list() == pytest.approx(list(range(1, 41)), abs=0.01)
    load = tracks.filter((pl.col("kind") == "load") & (pl.col("metric") == "rps"))
    assert load["value"].to_list() == [5.0 * min(at + 1, 20) for at in range(40)]
    users = tracks.filter((pl.col("kind") == "load") & (pl.col("metric") == "users"))
    assert users["value"].to_list() == list(range(1, 41))


def test_slow_queries_are_named_through_the_warehouse(served: WarehouseProcess, cli: Client) -> None:
    run_id, began = saturating(served, 2)
    shapes = [query_shape(began, shape="slow", query="SELECT pg_sleep(?)")]
    stats = [
        query_stat(
            began + timedelta(seconds=at),
            5 * min(at, 20),
            90.0 if at > 20 else 5.0,
            shape="slow",
            since=began + timedelta(seconds=at - 1),
        )
        for at in range(1, 41)
    ]
    watch(served, "watched-2", query_shapes=shapes, query_stats=stats)
    found = cli.ask("run_saturation", run_id=run_id).row(0, named=True)
    assert (found["resource"], found["object"]) == ("queries", "main")
    assert "SELECT pg_sleep(?) (5 then 90 ms a call)" in found["evidence"]
    tracks = cli.ask("run_resources", run_id=run_id).filter(pl.col("kind") == "query")
    assert tracks["object"].unique().to_list() == ["main: SELECT pg_sleep(?)"]
    assert tracks["value"].max() == pytest.approx(9.0, rel=0.01)


def test_a_run_that_is_not_there_has_no_finding(cli: Client) -> None:
    for question in ("run_saturation", "run_resources"):
        assert cli.ask(question, run_id="r20260101000000-abcdef").is_empty()


def test_the_load_curve_has_a_point_per_plateau_and_a_knee(served: WarehouseProcess, cli: Client) -> None:
    run_id = launch(served, "steps", target="shop", note="curve")
    with served.client("agent") as agent:
        began = start(agent, run_id)
        for step, users in enumerate((2, 4, 8, 16, 32)):
            n = round(10 * 10 * users / (1 + 0.1 * (users - 1)))
            made = rows(began + timedelta(seconds=10 * step), [10.0] * n, every_ms=10_000 / n)
            agent.send_rows(run_id, 0, "requests-0.bin", step * 1_000_000, made.tobytes())
        agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*beats(began, [0.2] * 50)))
        finish(agent, run_id, began, 50)
    found = cli.ask("load_curve", scenario="endpoints", target=["shop"])
    own = found.filter(pl.col("run_id") == run_id)
    assert own["users"].to_list() == [2, 4, 8, 16, 32]
    assert own["rps"].to_list() == pytest.approx(
        [10 * n / (1 + 0.1 * (n - 1)) for n in own["users"]], rel=0.05
    )
    assert set(own["p95_ms"]) == {10.0}
    assert own["knee_n"][0] >= 5
    assert cli.ask("load_curve", scenario="nothing").is_empty()
