"""The question of how each endpoint does at a window's end; over long windows found by cells of hours.

Cells tell in which hours the last attempts lie, the last success, and what followed it: only those hours are
read attempt by attempt. Where these are deleted the cells themselves answer, to the hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from warehouse.cells import HOUR
from warehouse.questions import joining, sources, stages
from warehouse.questions.asking import Piece, Staged, Tables, stored
from warehouse.questions.joining import RAW, Holdings, Interval
from warehouse.questions.sources import Source
from warehouse.questions.stages import Endpoints

RECENT_ATTEMPTS = 20
FLAKY_FROM = 5
"""Of fewer recent attempts nothing is called flaky."""

GONE = timedelta(seconds=120)

ANSWER = pa.schema(
    [
        *((name, pa.string()) for name in ("target", "endpoint", "state")),
        ("since_at", pa.timestamp("ms")),
        ("last_at", pa.timestamp("ms")),
        ("last_outcome", pa.string()),
        ("last_status", pa.uint16()),
        ("recent_attempts", pa.int64()),
        ("recent_errors", pa.int64()),
        ("tier", pa.string()),
    ]
)

Row = dict[str, Any]


def endpoint_states(asked: Endpoints) -> Staged:
    """How each endpoint does at the window's end, from its own attempts.

    `failing`: the last attempt failed; `since_at` is the first failure after the last success.
    `flaky`: the last one was ok, and a fifth or more of the recent ones failed. `gone`: no attempt for
    three times the usual pause between two; probably it is no longer configured. Otherwise `ok`. Where the
    attempts are deleted `tier` is `1h` or `1d`: `since_at` is then to the hour, or unknown, and the recent
    attempts are those of whole hours.
    """
    return Staged(
        first=(*stages.first(asked), *_cells(asked)),
        then=lambda tables: [_attempts(asked, tables)],
        join=lambda tables: _join(asked, tables),
    )


def _whole(asked: Endpoints) -> Interval:
    """The whole hours of the window."""
    first, last = joining.ceiling(stored(asked.start), HOUR), joining.floor(stored(asked.end), HOUR)
    return first, max(first, last)


def _cells(asked: Endpoints) -> Sequence[Piece]:
    """What the cells of the window's whole hours, and of days before those, tell of each series."""
    first, last = _whole(asked)
    within = f"ts >= {sources.literal(first)} AND ts < {sources.literal(last)}"
    told = """
        series_id, sum(attempts)::BIGINT AS attempts, min(ts) AS first_at, max(last_at) AS last_at,
        arg_max(last_outcome, last_at)::VARCHAR AS last_outcome,
        arg_max_null(last_status, last_at) AS last_status, max(ts) FILTER (n_ok > 0) AS ok_at
    """
    newest = (
        f"max({{'ts': ts, 'attempts': attempts, 'errors': attempts - n_ok}}, {RECENT_ATTEMPTS}) AS newest"
    )
    hours = f"SELECT {told}, {newest} FROM attempt_cell_1h WHERE {within} GROUP BY series_id"
    return (
        Piece(
            "hours",
            f"""
            WITH hours AS ({hours}),
            failing AS (
                SELECT series_id, min(ts) AS failing_at
                FROM attempt_cell_1h JOIN hours USING (series_id)
                WHERE {within} AND hours.last_outcome <> 'ok' AND (ok_at IS NULL OR ts > ok_at)
                GROUP BY series_id
            )
            SELECT hours.*, failing_at FROM hours LEFT JOIN failing USING (series_id)
            """,
            stands=True,
        ),
        Piece(
            "days",
            f"SELECT {told} FROM attempt_cell_1d "
            f"WHERE {within} AND ts <= {sources.literal(last - timedelta(days=1))} GROUP BY series_id",
            stands=True,
        ),
    )


def _by_cells(asked: Endpoints, held: Holdings) -> bool:
    """Whether cells point to what is read: the window is long, or not all of its attempts are kept."""
    start = stored(asked.start)
    is_kept = held.raw_from is None or start >= held.raw_from
    return asked.end - asked.start > stages.SMALL_WINDOW or not is_kept


def _attempts(asked: Endpoints, tables: Tables) -> Piece:
    """The attempts that decide: all of a short window, else those of the hours that cells point to."""
    held, series = stages.held(tables), stages.series_of(asked, tables)
    window = (stored(asked.start), stored(asked.end))
    read = [Source(RAW, *window)]
    if _by_cells(asked, held):
        read = [Source(RAW, *each) for each in _ends(asked, held)]
        first, last = _whole(asked)
        pairs = sorted({pair for row in tables["hours"].to_pylist() for pair in _hours_of(row)} | held.dirty)
        within = [pair for pair in pairs if first <= _instant(pair[1]) < last]
        read += [
            Source(RAW, *reach, only=[pair for pair in within if reach[0] <= _instant(pair[1]) < reach[1]])
            for reach in sources.reaches((first, last), {hour for _, hour in within})
        ]
    attempts = sources.union(read, "ts, series_id, outcome, status", series)
    return Piece(
        "states",
        f"""
        WITH ranked AS (
            SELECT *, row_number() OVER (PARTITION BY series_id ORDER BY ts DESC) AS back,
                max(ts) FILTER (outcome = 'ok') OVER (PARTITION BY series_id) AS ok_at
            FROM ({attempts})
        )
        SELECT series_id, count(*) AS attempts, min(ts) AS first_at, max(ts) AS last_at,
            arg_max(outcome, ts)::VARCHAR AS last_outcome, arg_max_null(status, ts) AS last_status,
            min(ts) FILTER (ok_at IS NULL OR ts > ok_at) AS failed_at,
            count(*) FILTER (back <= {RECENT_ATTEMPTS}) AS recent_attempts,
            count(*) FILTER (back <= {RECENT_ATTEMPTS} AND outcome <> 'ok') AS recent_errors
        FROM ranked GROUP BY series_id
        """,
    )


def _ends(asked: Endpoints, held: Holdings) -> list[Interval]:
    """What no sealed whole hour of the window covers, as far as its attempts are kept."""
    start, end = stored(asked.start), stored(asked.end)
    first, last = _whole(asked)
    sealed = joining.floor(held.sealed, HOUR) if held.sealed else first
    last = max(first, min(last, sealed))
    kept = held.raw_from or joining.EVER
    found = [(max(low, kept), high) for low, high in ((start, min(first, end)), (min(last, end), end))]
    return [(low, max(low, high)) for low, high in found]


def _hours_of(row: Row) -> Iterable[tuple[int, int]]:
    """The (series, hour) that decide: the newest until enough attempts, the last ok, the first failing."""
    wanted = [row["ok_at"], row["failing_at"]]
    attempts = 0
    for each in sorted(row["newest"], key=lambda each: each["ts"], reverse=True):
        if attempts < RECENT_ATTEMPTS:
            wanted.append(each["ts"])
        attempts += each["attempts"]
    return [(row["series_id"], joining.hour_of(each)) for each in wanted if each is not None]


def _instant(hour: int) -> datetime:
    return joining.EVER + timedelta(hours=hour)


def _join(asked: Endpoints, tables: Tables) -> pa.Table:
    """A row for each series with attempts in the window, by target and endpoint."""
    held = stages.held(tables)
    raw, hours, days = (
        {row["series_id"]: row for row in tables[name].to_pylist()} for name in ("states", "hours", "days")
    )
    if not _by_cells(asked, held):
        hours = days = {}
    answer = []
    for series in tables["chosen"].to_pylist():
        number = series["series_id"]
        found = _found(raw.get(number), hours.get(number), days.get(number))
        if found is not None:
            names = {name: series[name] for name in ("target", "endpoint")}
            answer.append({**names, **_judged(found, stored(asked.end))})
    return pa.Table.from_pylist(answer, ANSWER)


def _found(raw: Row | None, hours: Row | None, days: Row | None) -> Row | None:
    """What is known of a series: by its attempts where the newest are kept, else by its cells."""
    cells = hours or days
    usual = cells if cells is not None and cells["attempts"] > 1 else raw
    if usual is None:
        usual = cells
    if usual is None:
        return None
    pause = (usual["last_at"] - usual["first_at"]) / max(usual["attempts"] - 1, 1)
    if raw is not None and (cells is None or raw["last_at"] >= cells["last_at"]):
        return {**raw, "pause": pause, "tier": "raw"}
    if hours is not None:
        return {**hours, **_recent(hours), "failed_at": hours["failing_at"], "pause": pause, "tier": "1h"}
    assert days is not None
    return {**days, "recent_attempts": 0, "recent_errors": 0, "failed_at": None, "pause": pause, "tier": "1d"}


def _recent(hours: Row) -> Row:
    """Attempts and errors of the newest whole hours that hold enough attempts."""
    attempts = errors = 0
    for each in sorted(hours["newest"], key=lambda each: each["ts"], reverse=True):
        if attempts < RECENT_ATTEMPTS:
            attempts, errors = attempts + each["attempts"], errors + each["errors"]
    return {"recent_attempts": attempts, "recent_errors": errors}


def _judged(found: Mapping[str, Any], end: datetime) -> Row:
    recent, errors = found["recent_attempts"], found["recent_errors"]
    is_failing = found["last_outcome"] != "ok"
    if found["last_at"] < end - max(3 * found["pause"], GONE):
        state = "gone"
    elif is_failing:
        state = "failing"
    else:
        state = "flaky" if recent >= FLAKY_FROM and errors * 5 >= recent else "ok"
    kept = ("last_at", "last_outcome", "last_status", "recent_attempts", "recent_errors", "tier")
    since = found["failed_at"] if is_failing else None
    return {"state": state, "since_at": since, **{name: found[name] for name in kept}}
