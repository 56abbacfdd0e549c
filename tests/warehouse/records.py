"""Records that tests send and their expectations share."""

from datetime import datetime, timedelta

from warehouse.model import (
    Attempt,
    DatabaseState,
    LockWait,
    Outcome,
    QueryLatency,
    QueryShape,
    QueryStat,
    Sample,
    now,
)


def attempt(at: datetime | None = None, *, ms: float | None = 10.0, **fields: object) -> Attempt:
    """An ok attempt of `ms`, unless `fields` say otherwise; `ms=None` is a timeout."""
    known: dict[str, object] = {
        "at": at or now(),
        "target": "shop",
        "endpoint": "GET /",
        "outcome": Outcome.OK if ms is not None else Outcome.TIMEOUT,
        "total_us": None if ms is None else round(ms * 1000),
        "deadline_us": 3_000_000,
    }
    return Attempt.model_validate({**known, **fields})


def sample(at: datetime | None = None, value: float | None = 1.0, **fields: object) -> Sample:
    """An ok sample of a host's CPU, unless `fields` say otherwise."""
    known: dict[str, object] = {
        "at": at or now(),
        "kind": "host",
        "target": "box",
        "metric": "cpu_ratio",
        "unit": "ratio",
        "value": value,
    }
    return Sample.model_validate({**known, **fields})


def query_shape(at: datetime | None = None, **fields: object) -> QueryShape:
    """A read of one row, unless `fields` say otherwise."""
    known: dict[str, object] = {
        "at": at or now(),
        "target": "main",
        "database": "shop",
        "shape": "a1",
        "category": "read",
        "query": "SELECT name FROM supplier WHERE id = ?",
    }
    return QueryShape.model_validate({**known, **fields})


def query_stat(
    at: datetime | None = None, calls: int = 1, mean_ms: float = 10.0, **fields: object
) -> QueryStat:
    """Calls that took `mean_ms` each in the 10 s before `at`, unless `fields` say otherwise."""
    end = at or now()
    known: dict[str, object] = {
        "at": end,
        "since": end - timedelta(seconds=10),
        "target": "main",
        "database": "shop",
        "shape": "a1",
        "calls": calls,
        "total_us": calls * mean_ms * 1000,
        "squares_us2": calls * (mean_ms * 1000) ** 2,
        "min_us": mean_ms * 1000,
        "ceiling_us": mean_ms * 1000,
    }
    return QueryStat.model_validate({**known, **fields})


def query_latency(at: datetime | None = None, **fields: object) -> QueryLatency:
    """One call seen running for 100 to 120 ms, unless `fields` say otherwise."""
    end = at or now()
    known: dict[str, object] = {
        "at": end,
        "since": end - timedelta(seconds=10),
        "target": "main",
        "database": "shop",
        "method": "activity",
        "low_us": 100_000.0,
        "high_us": 120_000.0,
        "calls": 1,
    }
    return QueryLatency.model_validate({**known, **fields})


def lock_wait(at: datetime | None = None, **fields: object) -> LockWait:
    """Session 101 waits for 100, unless `fields` say otherwise."""
    known: dict[str, object] = {
        "at": at or now(),
        "target": "main",
        "database": "shop",
        "waiter_pid": 101,
        "waiter_user": "app",
        "waiter_application": "api",
        "waited_us": 1_500_000,
        "lock": "transactionid",
        "mode": "ShareLock",
        "relation": "invoice",
        "blocker_pid": 100,
        "blocker_user": "app",
        "blocker_application": "psql",
        "blocker_state": "idle in transaction",
        "blocker_transaction_us": 60_000_000,
    }
    return LockWait.model_validate({**known, **fields})


def database_state(at: datetime | None = None, **fields: object) -> DatabaseState:
    """A PostgreSQL that answers, unless `fields` say otherwise."""
    known: dict[str, object] = {
        "at": at or now(),
        "target": "main",
        "engine": "postgres",
        "part": "connection",
        "state": "ok",
        "text": "PostgreSQL 15.18",
    }
    return DatabaseState.model_validate({**known, **fields})


def minute_ago(seconds: float = 60) -> datetime:
    """An instant shortly before now."""
    return now() - timedelta(seconds=seconds)
