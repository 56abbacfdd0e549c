"""What a warehouse may hold about databases: servers that are well, that fail, and malice."""

from datetime import datetime, timedelta
from math import sin

from tests.dashboard.worlds import HOSTILE, send
from tests.warehouse.records import (
    database_state,
    lock_wait,
    query_latency,
    query_shape,
    query_stat,
    sample,
)
from warehouse.client import Client
from warehouse.model import (
    DatabaseState,
    Gap,
    GapReason,
    LockWait,
    Outcome,
    QueryLatency,
    QueryShape,
    QueryStat,
    Sample,
    now,
)

Row = Sample | Gap | QueryShape | QueryStat | QueryLatency | LockWait | DatabaseState

STEP_S = 30
SHAPES = {
    "a1": ("read", "SELECT name FROM supplier WHERE id = ?"),
    "b2": ("read", "SELECT *\nFROM invoice\nWHERE supplier_id = ? AND state = ?\nORDER BY created_at DESC"),
    "c3": ("write", "INSERT INTO invoice (supplier_id, number, amount_cents) VALUES (?, ?, ?)"),
    "d4": ("write", "UPDATE invoice SET state = ? WHERE id = ?"),
    "e5": ("transaction", "COMMIT"),
    "old": ("read", "SELECT count(*) FROM audit"),
    "new": ("read", "SELECT sum(amount_cents) FROM invoice WHERE supplier_id IN (?)"),
}
CALLS = {"a1": 120, "b2": 12, "c3": 6, "d4": 5, "e5": 40, "old": 3, "new": 2}
MEAN_MS = {"a1": 0.4, "b2": 45.0, "c3": 3.0, "d4": 8.0, "e5": 0.2, "old": 70.0, "new": 150.0}
ROWS = {"a1": 1, "b2": 20, "c3": 1, "d4": 1, "e5": 0, "old": 1, "new": 1}
NEW_MINUTES = 12
"""For so long the shape `new` has been called; `old` has not been since twice as long ago."""

CONFIG = "".join(
    f'[[database]]\nname = "{name}"\nengine = "{engine}"\nurl = {{ env = "NEVER_READ" }}\n'
    for name, engine in (("main", "postgres"), ("cache", "redis"), ("orders", "mysql"))
)


def send_all(client: Client, rows: list[Row]) -> None:
    """Store the rows, a batch per thousands."""
    for begin in range(0, len(rows), 5000):
        send(client, *rows[begin : begin + 5000])


def measured(at: datetime, value: float | None, metric: str, unit: str, **fields: object) -> Sample:
    """A sample of a database."""
    return sample(
        at, value, **{"kind": "database", "target": "main", "metric": metric, "unit": unit, **fields}
    )


def plenty(client: Client, *, minutes: int = 90, until: datetime | None = None) -> None:
    """A PostgreSQL with locks, evictions and a reset; a Redis; a MariaDB without latencies."""
    end = until or now()
    first = end - timedelta(minutes=minutes)
    rows: list[Row] = [
        query_shape(
            end - timedelta(minutes=NEW_MINUTES) if shape == "new" else first,
            shape=shape,
            category=category,
            query=query,
        )
        for shape, (category, query) in SHAPES.items()
    ]
    for part, said in (
        ("connection", "PostgreSQL 15.18"),
        ("statements", "pg_stat_statements 1.10"),
        ("activity", "sampled every 90 ms"),
        ("tables", ""),
    ):
        rows += [database_state(at, part=part, text=said) for at in (first, end - timedelta(seconds=20))]
    steps = minutes * 60 // STEP_S
    for step in range(steps):
        at = end - timedelta(seconds=STEP_S * (steps - step - 1) + 1)
        rows += _postgres(at, step) + _statements(at, end, step)
        rows += _redis(at, step) + _mariadb(at, step)
    rows += _locks(end - timedelta(seconds=2)) + _locks(end - timedelta(minutes=40))
    for name, engine, said in (("cache", "redis", "Redis 7.0.15"), ("orders", "mariadb", "MariaDB 10.11.14")):
        rows += [
            database_state(at, target=name, engine=engine, text=said)
            for at in (first, end - timedelta(seconds=20))
        ]
    rows += [
        query_shape(first, target="orders", database="orders", shape="m1", query="SELECT ? FROM `order`"),
        database_state(first, target="orders", engine="mariadb", part="statements", text=""),
    ]
    send_all(client, rows)


def used(step: int) -> int:
    """Connections of the PostgreSQL in use: 48 of 57 at the end of every hour."""
    return 48 if step % 120 >= 110 else 20 + step % 12


def _postgres(at: datetime, step: int) -> list[Row]:
    busy = step % 60 >= 20
    known = {
        "connections": (used(step), "1"),
        "connections_usable": (57, "1"),
        "connections_used_ratio": (used(step) / 57, "ratio"),
        "connections_active": (4 + step % 3, "1"),
        "connections_idle_in_transaction": (1 if busy else 0, "1"),
        "connections_waiting": (1 if step % 30 == 0 else 0, "1"),
        "longest_query_s": (1.5, "s"),
        "longest_transaction_s": (3 + 2 * sin(step / 9), "s"),
        "longest_idle_in_transaction_s": (1.2 if busy else 0, "s"),
        "lock_waits": (2 if step % 30 == 0 else 0, "1"),
        "deadlocks_total": (1 if step == 100 else 0, "1"),
        "temp_bytes": (0, "bytes"),
        "activity_gap_max_ms": (43.0, "ms"),
        "statements_shapes": (6, "1"),
        "statements_evictions_total": (12 if step == 90 else 0, "1"),
        "statements_resets_total": (1 if step == 60 else 0, "1"),
    }
    rows: list[Row] = [measured(at, value, name, unit) for name, (value, unit) in known.items()]
    for thing in ("", "shop"):
        rows += [
            measured(at, 40 + 10 * sin(step / 12), "transactions_per_s", "1/s", object=thing),
            measured(at, 0.4 if step % 7 else 2.0, "rollbacks_per_s", "1/s", object=thing),
            measured(at, 12.0, "blocks_read_per_s", "1/s", object=thing),
        ]
        if not 70 <= step % 180 < 80:
            rows.append(measured(at, 0.991 + 0.004 * sin(step / 5), "cache_hit_ratio", "ratio", object=thing))
    if step % 10 == 0:
        rows.append(measured(at, 4.1e8 + step * 1e5, "database_bytes", "bytes", object="shop"))
        for table, size, dead, free in (("invoice", 2.2e8, 0.24, 0.1), ("supplier", 4.1e6, 0.01, 0.02)):
            name = f"public.{table}"
            rows += [
                measured(at, size, "table_bytes", "bytes", object=name),
                measured(at, dead, "table_dead_ratio", "ratio", object=name),
                measured(at, free, "table_free_ratio", "ratio", object=name),
                measured(at, 86_400.0 * 3, "vacuum_age_s", "s", object=name),
                measured(at, 3600.0, "analyze_age_s", "s", object=name),
                measured(at, 0.5, "seq_scans_per_s", "1/s", object=name),
            ]
    return rows


def _statements(at: datetime, end: datetime, step: int) -> list[Row]:
    rows: list[Row] = []
    age = (end - at).total_seconds() / 60
    for shape, calls in CALLS.items():
        if (shape == "new" and age > NEW_MINUTES) or (shape == "old" and age < 2 * NEW_MINUTES):
            continue
        mean = MEAN_MS[shape] * (1 + 0.3 * sin(step / 11))
        made = calls + step % 5
        rows.append(
            query_stat(
                at,
                made,
                mean,
                shape=shape,
                since=at - timedelta(seconds=STEP_S),
                max_us=mean * 3000 if step % 20 == 0 else None,
                ceiling_us=mean * 4000,
                rows=made * ROWS[shape],
                blocks_hit=made * 9,
                blocks_read=made if shape == "b2" else 0,
                io_us=made * 900.0 if shape == "b2" else 0.0,
                is_partial=step == 60,
            )
        )
    rows.append(query_latency(at, since=at - timedelta(seconds=STEP_S), calls=5))
    rows.append(
        query_latency(
            at, since=at - timedelta(seconds=STEP_S), low_us=40_000.0, high_us=80_000.0, calls=14 + step % 3
        )
    )
    return rows


def _locks(at: datetime) -> list[Row]:
    """Session 100 holds up 101 and 102, and 103 waits behind 101."""
    return [
        lock_wait(at, waiter_shape="d4", blocker_shape="b2"),
        lock_wait(at, waiter_pid=102, waited_us=900_000, waiter_shape="d4", blocker_shape="b2"),
        lock_wait(
            at,
            waiter_pid=103,
            waited_us=400_000,
            waiter_shape="c3",
            lock="tuple",
            blocker_pid=101,
            blocker_application="api",
            blocker_state="active",
            blocker_shape="d4",
            blocker_transaction_us=1_600_000,
        ),
    ]


def _redis(at: datetime, step: int) -> list[Row]:
    known = {
        "ping_ms": (0.3 + 0.1 * sin(step / 7), "ms"),
        "memory_used_bytes": (6e7 + step * 1e4, "bytes"),
        "memory_used_ratio": (0.61, "ratio"),
        "evictions_total": (3 if step % 40 == 0 else 0, "1"),
        "keys": (20_000 + step, "1"),
        "connections": (14, "1"),
        "connections_used_ratio": (0.0014, "ratio"),
        "commands_per_s": (800 + 100 * sin(step / 8), "1/s"),
        "cache_hit_ratio": (0.93, "ratio"),
    }
    return [measured(at, value, name, unit, target="cache") for name, (value, unit) in known.items()]


def _mariadb(at: datetime, step: int) -> list[Row]:
    known = {
        "connections": (9, "1"),
        "connections_usable": (151, "1"),
        "connections_used_ratio": (9 / 151, "ratio"),
        "queries_per_s": (55 + 5 * sin(step / 8), "1/s"),
        "cache_hit_ratio": (0.998, "ratio"),
        "deadlocks_total": (0, "1"),
        "longest_transaction_s": (0.5, "s"),
    }
    rows: list[Row] = [
        measured(at, value, name, unit, target="orders") for name, (value, unit) in known.items()
    ]
    rows.append(
        query_stat(
            at,
            20,
            2.0,
            since=at - timedelta(seconds=STEP_S),
            target="orders",
            database="orders",
            shape="m1",
            squares_us2=None,
            unindexed=20,
            rows=20,
        )
    )
    return rows


def one_sample(client: Client) -> None:
    """A PostgreSQL whose first sample just came: a baseline, no statistics yet."""
    at = now()
    send_all(
        client,
        [
            *(database_state(at, part=part) for part in ("connection", "statements")),
            measured(at, 5, "connections", "1"),
            measured(at, 57, "connections_usable", "1"),
            measured(at, 5 / 57, "connections_used_ratio", "ratio"),
        ],
    )


def failing(client: Client) -> None:
    """A server that went down, one that lacks an extension and evicts, one at its last connections."""
    present = now()
    begun = present - timedelta(minutes=5)
    rows: list[Row] = [
        database_state(begun - timedelta(minutes=5), target="main"),
        database_state(begun, target="main", state="down", text="connection refused"),
        database_state(begun, target="bare"),
        database_state(begun, target="bare", part="statements", state="missing_extension", text=""),
        database_state(begun, target="bare", part="activity", state="no_privilege", text="of other roles"),
        database_state(begun, target="bare", part="tables", state="not_measurable", text=""),
        database_state(begun, target="cache", engine="redis", state="wrong_password", text="WRONGPASS"),
    ]
    rows += [
        database_state(present, target=target, **more)
        for target, more in (
            ("main", {"state": "down", "text": "connection refused"}),
            ("bare", {}),
            ("bare", {"part": "statements", "state": "missing_extension", "text": ""}),
            ("cache", {"engine": "redis", "state": "wrong_password", "text": "WRONGPASS"}),
        )
    ]
    for second in range(5, 300, 10):
        at = present - timedelta(seconds=second)
        rows += [
            measured(at, 56, "connections", "1", target="bare"),
            measured(at, 57, "connections_usable", "1", target="bare"),
            measured(at, 56 / 57, "connections_used_ratio", "ratio", target="bare"),
            measured(at, None, "cache_hit_ratio", "ratio", target="bare", outcome=Outcome.NOT_MEASURABLE),
        ]
    rows.append(
        Gap(
            at=begun,
            until=present,
            job="database main",
            reason=GapReason.OVERLAP,
            missed=3,
        )
    )
    send_all(client, rows)


def hostile(client: Client) -> None:
    """Names and query texts that would be markup if they were let."""
    present = now()
    names = {"target": HOSTILE, "database": HOSTILE}
    query = f"SELECT '{HOSTILE}' FROM \"<script>alert(1)</script>\" -- ```\n\n# x"
    rows: list[Row] = [
        query_shape(present - timedelta(minutes=10), **names, query=query),
        database_state(present - timedelta(minutes=10), target=HOSTILE, text=HOSTILE),
        database_state(present, target=HOSTILE, state="error", text=HOSTILE),
    ]
    for second in range(5, 300, 30):
        at = present - timedelta(seconds=second)
        rows += [
            query_stat(at, 3, **names),
            query_latency(at, **names),
            measured(at, 0.5, "connections_used_ratio", "ratio", target=HOSTILE),
            measured(at, 2.0, "transactions_per_s", "1/s", target=HOSTILE, object=HOSTILE),
            measured(at, 1e6, "table_bytes", "bytes", target=HOSTILE, object=f"{HOSTILE}.x"),
            measured(at, 0.5, "table_dead_ratio", "ratio", target=HOSTILE, object=f"{HOSTILE}.x"),
        ]
    rows.append(
        lock_wait(
            present - timedelta(seconds=2),
            **names,
            waiter_user=HOSTILE,
            waiter_application=HOSTILE,
            waiter_shape="a1",
            relation=HOSTILE,
            blocker_user=HOSTILE,
            blocker_application=HOSTILE,
            blocker_state=HOSTILE,
            blocker_shape="a1",
        )
    )
    send_all(client, rows)
