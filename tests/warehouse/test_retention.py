"""What is older than the configuration keeps is deleted, and nothing else."""

from collections.abc import Callable
from datetime import timedelta

from tests.warehouse.loading import TARGETS, rows
from tests.warehouse.records import attempt, sample
from warehouse import rollups, runs
from warehouse.model import Batch, Event, Gap, GapReason, JobState, Receipt, now
from warehouse.plan import make_plan
from warehouse.retention import expire
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
    deleted = expire(store.cursor(), at.replace(tzinfo=None), DAYS)
    assert {table: rows for table, rows in deleted.items() if rows or table == "batch"} == {
        "attempt": 4,
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
    assert expire(connection, at, DAYS)["load_request"] == 100
    kept = "SELECT note, count(*) FROM run JOIN load_request USING (run_no) GROUP BY note ORDER BY note"
    assert connection.execute(kept).fetchall() == [("pinned", 100), ("young", 100)]
    told = connection.execute("SELECT note FROM run WHERE raw_deleted_at IS NOT NULL").fetchall()
    assert told == [("old",)], "the run itself stays, and says that its requests are gone"
    assert expire(connection, at, DAYS)["load_request"] == 0
