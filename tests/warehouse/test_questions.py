"""Questions about errors, phases, hosts, collectors and storage, against truths computed apart."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

import pyarrow as pa
import pytest

from tests.warehouse.records import attempt, sample
from warehouse.model import Attempt, Batch, Event, Gap, GapReason, JobState, Outcome, Receipt, Sample, now
from warehouse.store import Store

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]

_numbers = count()


def send(
    put: Put, *, attempts: tuple[Attempt, ...] = (), samples: tuple[Sample, ...] = (), **more: object
) -> None:
    put(Batch(batch_id=f"questions-{next(_numbers)}", attempts=attempts, samples=samples, **more))  # type: ignore[arg-type]


@pytest.fixture
def at() -> datetime:
    return now() - timedelta(minutes=5)


def test_errors_are_counted_by_class(put: Put, ask: Ask, at: datetime) -> None:
    outcomes = [Outcome.OK] * 5 + [Outcome.REFUSED] * 3 + [Outcome.BAD_STATUS] * 2 + [Outcome.TIMEOUT]
    send(
        put,
        attempts=tuple(
            attempt(at, outcome=outcome, total_us=10 if outcome is Outcome.OK else None)
            for outcome in outcomes
        ),
    )
    rows = ask("errors_by_class", start=at, end=now(), buckets=1).to_pylist()
    assert {row["outcome"]: row["attempts"] for row in rows} == {
        "ok": 5,
        "refused": 3,
        "bad_status": 2,
        "timeout": 1,
    }


def test_endpoints_are_ok_failing_flaky_or_gone(put: Put, ask: Ask) -> None:
    end = now()
    start = end - timedelta(minutes=10)
    good, bad = {"ms": 5.0}, {"outcome": Outcome.BAD_STATUS, "status": 500, "ms": 5.0}

    def history(endpoint: str, newest_s: float, *outcomes: dict[str, object]) -> list[Attempt]:
        oldest = end - timedelta(seconds=newest_s + 5 * (len(outcomes) - 1))
        return [
            attempt(oldest + timedelta(seconds=5 * number), endpoint=endpoint, status=200, **outcome)  # type: ignore[arg-type]
            if "status" not in outcome
            else attempt(oldest + timedelta(seconds=5 * number), endpoint=endpoint, **outcome)  # type: ignore[arg-type]
            for number, outcome in enumerate(outcomes)
        ]

    send(
        put,
        attempts=(
            *history("well", 1, *[good] * 30),
            *history("down", 1, good, bad, good, bad, bad, bad),
            *history("never", 1, bad, bad),
            *history("shaky", 1, *[good, bad] * 5, good),
            *history("healed", 1, *[bad] * 10, *[good] * 20),
            *history("removed", 300, good, bad),
        ),
    )
    rows = {row["endpoint"]: row for row in ask("endpoint_states", start=start, end=end).to_pylist()}
    assert {endpoint: row["state"] for endpoint, row in rows.items()} == {
        "well": "ok",
        "down": "failing",
        "never": "failing",
        "shaky": "flaky",
        "healed": "ok",
        "removed": "gone",
    }
    assert rows["down"]["since_at"] == end - timedelta(seconds=11)
    assert rows["never"]["since_at"] == end - timedelta(seconds=6)
    assert (rows["down"]["last_outcome"], rows["down"]["last_status"]) == ("bad_status", 500)
    assert (rows["shaky"]["recent_attempts"], rows["shaky"]["recent_errors"]) == (11, 5)
    assert (rows["healed"]["recent_attempts"], rows["healed"]["recent_errors"]) == (20, 0)
    assert rows["well"]["since_at"] is None


def test_skipped_probes_are_counted_beside_n(put: Put, ask: Ask, at: datetime) -> None:
    def gap(job: str, missed: int, seconds: float = 0) -> Gap:
        begin = at + timedelta(seconds=seconds)
        return Gap(at=begin, until=begin, job=job, reason=GapReason.OVERLAP, missed=missed)

    send(
        put,
        attempts=(attempt(at), attempt(at, endpoint="other")),
        gaps=(
            gap("probe shop GET /", 3),
            gap("probe shop GET /", 4, 1),
            gap("probe shop GET /", 100, -600),
            gap("host box", 5),
        ),
    )
    rows = {row["endpoint"]: row for row in ask("latency_summary", start=at, end=now()).to_pylist()}
    assert (rows["GET /"]["skipped"], rows["other"]["skipped"]) == (7, 0)
    (merged,) = ask("latency_summary", start=at, end=now(), merged=True).to_pylist()
    assert (merged["attempts"], merged["skipped"]) == (2, 7)


def test_phase_means_add_up_to_the_mean_total(put: Put, ask: Ask, at: datetime) -> None:
    chance = random.Random(3)
    sent = []
    for _ in range(50):
        connect, tls, first, rest = (chance.randrange(1, 9000) for _ in range(4))
        kept_alive = chance.random() < 0.5
        sent.append(
            attempt(
                at,
                ms=(rest + first + (0 if kept_alive else connect + tls)) / 1000,
                connect_us=None if kept_alive else connect,
                tls_us=None if kept_alive else tls,
                first_byte_us=first,
                dns_us=777,
            )
        )
    send(put, attempts=(*sent, attempt(at, ms=None), attempt(at, outcome=Outcome.RESET, total_us=None)))
    (row,) = ask("phase_breakdown", start=at, end=now(), buckets=1).to_pylist()
    assert row["n"] == 50
    assert row["dns_ms"] == pytest.approx(0.777)
    total = sum(record.total_us or 0 for record in sent) / 50 / 1000
    assert row["total_ms"] == pytest.approx(total)
    phases = ("connect_ms", "tls_ms", "first_byte_ms", "download_ms")
    assert sum(row[phase] for phase in phases) == pytest.approx(total)
    assert row["tls_ms"] == pytest.approx(sum(record.tls_us or 0 for record in sent) / 50 / 1000)


def test_heatmap_bands_hold_their_latencies_and_timeouts_have_their_own(
    put: Put, ask: Ask, at: datetime
) -> None:
    latencies = [0.0, 0.001, 0.5, 1.0, 2.0, 3.0, 100.0, 101.0, 2999.0]
    send(
        put,
        attempts=(
            *(attempt(at, ms=ms) for ms in latencies),
            attempt(at, ms=None),
            attempt(at, ms=None),
            attempt(at, outcome=Outcome.DNS, total_us=None),
        ),
    )
    rows = ask("latency_heatmap", start=at, end=now(), buckets=1).to_pylist()
    timeouts = [row for row in rows if row["high_ms"] is None]
    assert [(row["low_ms"], row["attempts"]) for row in timeouts] == [(3000.0, 2)]
    bands = [row for row in rows if row["high_ms"] is not None]
    assert sum(row["attempts"] for row in bands) == len(latencies)
    for ms in latencies[1:]:
        assert sum(row["low_ms"] <= ms < row["high_ms"] for row in bands) == 1
    for row in bands:
        assert row["high_ms"] / row["low_ms"] == pytest.approx(2**0.5)


def test_a_host_trend_has_means_maxima_and_failures_and_invents_nothing(
    put: Put, ask: Ask, at: datetime
) -> None:
    values = [0.1, 0.2, 0.9]
    send(
        put,
        samples=(
            *(sample(at, value) for value in values),
            sample(at, None, outcome=Outcome.ERROR),
            sample(at, None, metric="disk_busy_ratio", object="sda", outcome=Outcome.NOT_MEASURABLE),
        ),
    )
    rows = {row["metric"]: row for row in ask("host_trend", start=at, end=now(), buckets=1).to_pylist()}
    cpu, disk = rows["cpu_ratio"], rows["disk_busy_ratio"]
    assert (cpu["n"], cpu["failures"], cpu["max"]) == (3, 1, 0.9)
    assert cpu["mean"] == pytest.approx(sum(values) / 3)
    assert (disk["n"], disk["failures"], disk["mean"], disk["max"]) == (0, 1, None, None)
    only = ask("host_trend", start=at, end=now(), metric=("disk_busy_ratio",), object=("sda",)).to_pylist()
    assert [row["metric"] for row in only] == ["disk_busy_ratio"]


def test_host_now_is_the_newest_sample_even_when_it_failed(put: Put, ask: Ask, at: datetime) -> None:
    send(
        put,
        samples=(
            sample(at, 0.1),
            sample(at + timedelta(seconds=5), None, outcome=Outcome.ERROR),
            sample(at, 8.0, metric="cores", unit="1"),
        ),
    )
    rows = {row["metric"]: row for row in ask("host_now", start=at, end=now()).to_pylist()}
    assert (rows["cpu_ratio"]["value"], rows["cpu_ratio"]["outcome"]) == (None, "error")
    assert rows["cpu_ratio"]["at"] == at + timedelta(seconds=5)
    assert (rows["cores"]["value"], rows["cores"]["outcome"]) == (8.0, "ok")


def test_top_processes_are_named_with_what_they_used(put: Put, ask: Ask, at: datetime) -> None:
    def of(name: str, metric: str, unit: str, *values: float) -> list[Sample]:
        return [sample(at, value, object=name, metric=metric, unit=unit) for value in values]

    send(
        put,
        samples=(
            *of("postgres", "process_cpu_ratio", "ratio", 0.2, 0.4),
            *of("postgres", "process_memory_bytes", "bytes", 100, 300),
            *of("postgres", "process_count", "1", 5, 7),
            *of("nginx", "process_cpu_ratio", "ratio", 0.9),
            *of("nginx", "process_memory_bytes", "bytes", 50),
            *of("absent", "process_count", "1", 0),
        ),
    )
    first, second, third = ask("top_processes", start=at, end=now()).to_pylist()
    assert (first["process"], first["cpu_ratio_max"], first["n"]) == ("nginx", 0.9, 1)
    assert second["process"] == "postgres"
    assert second["cpu_ratio_mean"] == pytest.approx(0.3)
    assert (second["memory_bytes_mean"], second["memory_bytes_max"], second["count_max"]) == (200, 300, 7)
    assert (third["process"], third["cpu_ratio_mean"], third["count_max"]) == ("absent", None, 0)


def health(at: datetime, job: str, **metrics: float) -> tuple[Sample, ...]:
    return tuple(
        sample(at, value, kind="collector", target="local", object=job, metric=metric, unit="1")
        for metric, value in metrics.items()
    )


def test_jobs_are_ok_failing_late_or_silent(put: Put, ask: Ask) -> None:
    at = now()
    early = at - timedelta(minutes=10)
    usual = {"interval_s": 5.0, "runs_total": 3.0, "errors_total": 0.0, "missed_total": 0.0}
    send(
        put,
        samples=(
            *health(at, "well", last_success_age_s=2, lag_max_ms=7, run_max_ms=9, **usual),
            *health(at - timedelta(seconds=15), "well", last_success_age_s=1, lag_max_ms=70, **usual),
            *health(at, "broken", last_success_age_s=300, **{**usual, "errors_total": 3}),
            *health(at, "slow", last_success_age_s=60, **usual),
            *health(early, "gone", last_success_age_s=1, **usual),
            *health(at - timedelta(minutes=1), "never", **usual),
            *health(at, "never", **usual),
            *health(at, "new", **usual),
        ),
        events=(
            Event(at=early, job="broken", state=JobState.FAILING, text="refused by db:5432"),
            Event(at=early, job="well", state=JobState.FAILING, text="was ill"),
            Event(at=early + timedelta(minutes=1), job="well", state=JobState.OK, text=""),
        ),
    )
    end = at + timedelta(seconds=1)
    rows = {row["job"]: row for row in ask("collector_jobs", start=early, end=end).to_pylist()}
    assert {job: row["state"] for job, row in rows.items()} == {
        "well": "ok",
        "broken": "failing",
        "slow": "late",
        "gone": "silent",
        "never": "late",
        "new": "ok",
    }
    assert (rows["broken"]["since_at"], rows["broken"]["text"]) == (early, "refused by db:5432")
    assert rows["gone"]["since_at"] == early
    well = rows["well"]
    assert (well["runs"], well["errors"], well["lag_max_ms"], well["run_max_ms"]) == (6, 0, 70, 9)
    assert well["last_success_at"] == at - timedelta(seconds=2)


def test_jobs_wait_where_their_collector_sends_and_nothing_new_is_stored(
    put: Put, ask: Ask, store: Store
) -> None:
    at = now()
    old = at - timedelta(minutes=10)
    send(put, samples=(*health(old, "probe", interval_s=5, last_success_age_s=1),))

    def states(end: datetime) -> set[str]:
        return {row["state"] for row in ask("collector_jobs", start=old, end=end).to_pylist()}

    assert states(at) == {"silent"}
    store.heard["local"] = at.replace(tzinfo=None) - timedelta(seconds=5)
    assert states(at) == {"waiting"}
    assert states(at - timedelta(minutes=5)) == {"silent"}, "that it sends now says nothing of then"
    store.heard = {"other": at.replace(tzinfo=None)}
    assert states(at) == {"silent"}
    store.heard["local"] = at.replace(tzinfo=None) - timedelta(minutes=3)
    assert states(at) == {"silent"}
    store.heard["local"] = at.replace(tzinfo=None)
    send(put, samples=health(at - timedelta(seconds=1), "daemon", interval_s=5, last_success_age_s=1))
    rows = {row["job"]: row["state"] for row in ask("collector_jobs", start=old, end=at).to_pylist()}
    assert rows == {"probe": "silent", "daemon": "ok"}, "a job that is gone does not wait"


def test_a_collector_that_just_began_neither_waits_nor_is_silent(put: Put, ask: Ask, store: Store) -> None:
    at = now()
    send(put, events=(Event(at=at - timedelta(seconds=3), job="host box", state=JobState.OK, text=""),))
    store.heard["local"] = at.replace(tzinfo=None)
    for later, state in ((0, "ok"), (3, "silent")):
        window = {"start": at - timedelta(hours=1), "end": at + timedelta(minutes=later)}
        (row,) = ask("collector_jobs", **window).to_pylist()
        assert (row["state"], row["newest_at"]) == (state, None)


def test_who_reports_rarely_is_silent_later(put: Put, ask: Ask) -> None:
    at = now()
    report = health(at - timedelta(minutes=20), "daemon", interval_s=600, last_success_age_s=1)
    send(
        put,
        samples=(*report, *health(at - timedelta(minutes=20), "probe", interval_s=5, last_success_age_s=1)),
    )
    for minutes, state in ((0, "ok"), (11, "silent")):
        window = {"start": at - timedelta(hours=1), "end": at + timedelta(minutes=minutes)}
        assert {row["state"] for row in ask("collector_jobs", **window).to_pylist()} == {state}


def test_gaps_that_touch_the_window_are_told(put: Put, ask: Ask, at: datetime) -> None:
    def gap(start: float, end: float) -> Gap:
        return Gap(
            at=at + timedelta(seconds=start),
            until=at + timedelta(seconds=end),
            job=f"{start}-{end}",
            reason=GapReason.OVERLAP,
            missed=2,
        )

    send(put, gaps=(gap(-20, -10), gap(-10, 5), gap(5, 6), gap(60, 70)))
    rows = ask("gaps", start=at, end=at + timedelta(seconds=60)).to_pylist()
    assert [row["job"] for row in rows] == ["-10-5", "5-6"]
    assert {(row["source"], row["reason"], row["missed"]) for row in rows} == {("local", "overlap", 2)}


def store_tables(store: Store) -> list[str]:
    """Every table but the record of migrations."""
    rows = store.cursor().execute("SELECT table_name FROM duckdb_tables()").fetchall()
    return [name for (name,) in rows if name != "migration"]


def test_storage_counts_rows_and_bytes(put: Put, ask: Ask, store: Store, at: datetime) -> None:
    send(put, attempts=(attempt(at), attempt(at + timedelta(seconds=1))), samples=(sample(at),))
    rows = {row["table_name"]: row for row in ask("storage").to_pylist()}
    counts = {name: row["rows"] for name, row in rows.items()}
    assert {name: count for name, count in counts.items() if count} == {
        "attempt": 2,
        "sample": 1,
        "batch": 1,
        "series": 2,
    }
    assert set(counts) == set(store_tables(store))
    assert (rows["attempt"]["oldest_at"], rows["attempt"]["newest_at"]) == (at, at + timedelta(seconds=1))
    assert rows["gap"]["oldest_at"] is None
    assert rows["attempt"]["file_bytes"] > 0


def test_attempts_can_be_asked_by_outcome(put: Put, ask: Ask, at: datetime) -> None:
    send(put, attempts=(attempt(at), attempt(at, ms=None), attempt(at, outcome=Outcome.TLS, total_us=None)))
    rows = ask("attempts", start=at, end=now(), outcome=("timeout", "tls")).to_pylist()
    assert sorted(row["outcome"] for row in rows) == ["timeout", "tls"]
