"""What is older than the configuration keeps is deleted, and nothing else."""

from collections.abc import Callable
from datetime import timedelta

import pyarrow as pa

from tests.warehouse.loading import TARGETS, rows
from tests.warehouse.records import attempt, sample
from warehouse import rollups, run_tiers, runs, sum_tiers
from warehouse.model import Batch, Event, Gap, GapReason, JobState, Receipt, now
from warehouse.plan import make_plan
from warehouse.retention import expire
from warehouse.rollups import Alone
from warehouse.run_model import RunRequest
from warehouse.run_rows import Piece, read_requests, store_requests
from warehouse.settings import Settings, parse
from warehouse.store import Store

DAYS = 30


def counts(store: Store) -> dict[str, int]:
    cursor = store.cursor()
    tables = ("attempt", "sample", "gap", "event", "batch")
    return {table: cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables}


def test_old_rows_go_and_young_ones_stay(put: Callable[[Batch], Receipt], store: Store) -> None:
    at = now()
    ages = [timedelta(days=days) for days in (0, 1, 29, 31, 35, 60, 399)]
    put(
        Batch(
            batch_id="retention-1",
            attempts=tuple(attempt(at - age) for age in ages),
            samples=tuple(sample(at - age) for age in ages),
            gaps=tuple(
                Gap(at=at - age, until=at - age, job="j", reason=GapReason.MISSED, missed=1) for age in ages
            ),
            events=tuple(
                Event(at=at - age, job=job, state=JobState.OK, text="")
                for job, job_ages in (("often", ages), ("once", ages[-1:]))
                for age in job_ages
            ),
        )
    )
    rollups.build(store.cursor(), at.replace(tzinfo=None))
    sum_tiers.keep_up(Alone(store.cursor()), at.replace(tzinfo=None))
    deleted = expire(store.cursor(), at.replace(tzinfo=None), DAYS)
    assert {table: rows for table, rows in deleted.items() if rows or table == "batch"} == {
        "attempt": 4,
        "attempt_cell_5m": 1,
        "sample": 4,
        "gap": 4,
        "event": 4,
        "batch": 0,
    }
    assert counts(store) == {"attempt": 3, "sample": 3, "gap": 3, "event": 4, "batch": 1}
    jobs = store.cursor().execute("SELECT job, count(*) FROM event GROUP BY job ORDER BY job").fetchall()
    assert jobs == [("often", 3), ("once", 1)]
    assert set(expire(store.cursor(), at.replace(tzinfo=None), DAYS).values()) == {0}


def test_a_batch_id_is_remembered_longer_than_its_rows(put: Callable[[Batch], Receipt], store: Store) -> None:
    batch = Batch(batch_id="retention-2", samples=(sample(),))
    put(batch)
    at = now().replace(tzinfo=None)
    assert expire(store.cursor(), at + timedelta(days=DAYS + 1), DAYS)["batch"] == 0
    assert put(batch).stored is False
    assert expire(store.cursor(), at + timedelta(days=DAYS + 8), DAYS)["batch"] == 1


def test_an_empty_warehouse_has_nothing_to_delete(store: Store) -> None:
    assert set(expire(store.cursor(), now().replace(tzinfo=None), DAYS).values()) == {0}


def test_the_requests_of_old_runs_go_unless_they_are_baselines(store: Store, settings: Settings) -> None:
    connection = store.cursor()
    at = now().replace(tzinfo=None)
    plan = make_plan(parse(TARGETS, settings.path, {}), "shop", "tiny", None)
    asked = RunRequest(target="shop", preset="tiny", via="cli", waits=True)
    ages = {"young": 29, "old": 31, "pinned": 31}
    for name, days in ages.items():
        run_id = runs.request(connection, plan, asked, "ann", f"request {name}").run_id
        table = read_requests(rows(now(), [1.0] * 100).tobytes(), now())
        store_requests(connection, Piece(f"{run_id}:r:0", run_id, 0), table)
        ended = {"ended_at": at - timedelta(days=days), "state": "finished", "note": name}
        runs.change(connection, run_id, ended | {"is_baseline": name == "pinned"})
    assert expire(connection, at, DAYS)["load_request"] == 0, "no cells hold them yet"
    assert run_tiers.keep_up(Alone(connection), at) == 3
    assert expire(connection, at, DAYS)["load_request"] == 100
    kept = "SELECT note, count(*) FROM run JOIN load_request USING (run_no) GROUP BY note ORDER BY note"
    assert connection.execute(kept).fetchall() == [("pinned", 100), ("young", 100)]
    told = connection.execute("SELECT note FROM run WHERE raw_deleted_at IS NOT NULL").fetchall()
    assert told == [("old",)], "the run itself stays, and says that its requests are gone"
    assert expire(connection, at, DAYS)["load_request"] == 0


def test_cells_of_5_minutes_go_before_those_of_hours_and_are_not_made_again(
    put: Callable[[Batch], Receipt], ask: Callable[..., pa.Table], store: Store
) -> None:
    at = now()
    start = (at - timedelta(days=150)).replace(hour=3, minute=0, second=0, microsecond=0)
    old = tuple(attempt(start + timedelta(minutes=minute)) for minute in (1, 7, 13))
    newest = (at - timedelta(days=50)).replace(minute=30)
    put(Batch(batch_id="fine-cells-1", attempts=(*old, attempt(newest))))
    connection = store.cursor()
    naive = at.replace(tzinfo=None)
    widths = ("attempt_cell_5m", "attempt_cell_1h", "attempt_cell_1d")

    def cells() -> list[int]:
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in widths]

    rollups.build(connection, naive)
    assert cells() == [4, 1, 1]
    expire(connection, naive, DAYS, cell_days=400, fine_cell_days=100)
    assert cells() == [1, 1, 1]
    window = {"start": start, "end": start + timedelta(hours=1), "buckets": 12}
    (row,) = ask("percentile_trend", **window).to_pylist()
    assert (row["bucket_s"], row["attempts"], row["tier"]) == (3600, 3, "1h"), "as fine as there is, and said"
    put(Batch(batch_id="fine-cells-2", attempts=(attempt(start + timedelta(minutes=20)),)))
    rollups.keep_up(rollups.Alone(connection), naive)
    assert cells() == [1, 1, 1], "a late row makes no cell that would be deleted again"
    assert ask("percentile_trend", **window)["attempts"].to_pylist() == [4]


def test_a_late_attempt_is_added_to_its_day_when_the_cells_of_hours_are_gone(
    put: Callable[[Batch], Receipt], ask: Callable[..., pa.Table], store: Store
) -> None:
    at = now()
    day = (at - timedelta(days=50)).replace(hour=0, minute=0, second=0, microsecond=0)
    old = tuple(attempt(day + timedelta(hours=hour), total_us=1000 * (hour + 1)) for hour in range(20))
    put(Batch(batch_id="old-day-1", attempts=(*old, attempt(at - timedelta(hours=2)))))
    connection = store.cursor()
    naive = at.replace(tzinfo=None)
    rollups.build(connection, naive)
    expire(connection, naive, DAYS, cell_days=40)
    late = attempt(day + timedelta(hours=21), total_us=90_000)
    put(Batch(batch_id="old-day-2", attempts=(late,)))
    window = {"start": day, "end": day + timedelta(days=1)}
    for _ in range(2):
        rollups.keep_up(rollups.Alone(connection), naive)
        (row,) = ask("latency_summary", **window).to_pylist()
        assert (row["attempts"], row["max_ms"], row["tier"]) == (21, 90.0, "1d")
        assert abs(row["p50_ms"] - 11) <= 0.11
    assert connection.execute(
        "SELECT count(*) FROM attempt WHERE ts < ?", [naive - timedelta(days=40)]
    ).fetchall() == [(0,)]
    counted = connection.execute(
        "SELECT count(*) FROM attempt_cell_1h WHERE ts < ?", [naive - timedelta(days=40)]
    )
    assert counted.fetchall() == [(0,)]
