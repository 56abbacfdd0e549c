"""Keeps the cells of samples: sealed hour by hour, made again where samples came late. Crashes harm nothing.

All of a cell can be added up, so that the cell of a day is made of those of its hours, and a sample that
comes after its like were deleted is added to both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from warehouse import tiers
from warehouse.cells import DAY, HOUR, Span
from warehouse.model import MAX_FUTURE
from warehouse.rollups import REST, ROWS_AT_ONCE, Hands
from warehouse.sample_cells import OF_CELLS, OF_SAMPLES, TABLES, grouped
from warehouse.tiers import SAMPLE, floor, following, of_unix
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DAYS = f"{SAMPLE}_1d"
"""The tier of the cells of days."""

CELLS = f"{SAMPLE}_cells"
"""Its `raw_from` tells since when there are cells of hours."""

_WITHIN = "ts >= $start AND ts < $end"
_OF_WANTED = f"{_WITHIN} AND (series_id, epoch_ms(ts) // 3600000) IN (SELECT (series_id, hour) FROM wanted)"

ALIKE = 1e-9
"""How far a sum may be off that was added up in another order, as a share of the largest it could be."""


def keep_up(hands: Hands, at: datetime) -> None:
    """Seal what is old enough at `at` (UTC, naive), then renew what changed. Raises StorageError."""
    until = hands.write(lambda connection: _begin(connection, at))
    if until is None:
        return
    while not hands.stopped() and _seal(hands, until):
        pass
    if not hands.stopped():
        renew(hands)


def _begin(connection: DuckDBPyConnection, at: datetime) -> datetime | None:
    """Move `sealing_until`: from now on samples before it are noted as late. None where there is nothing."""
    oldest, newest = connection.execute("SELECT min(ts), max(ts) FROM sample").fetchall()[0]
    tier = tiers.read(connection, SAMPLE)
    if tier.sealed_until is None and oldest is None:
        return None
    with transaction(connection):
        if tier.sealed_until is not None and tier.sealed_until > at + MAX_FUTURE:
            _unseal(connection, floor(at, DAY))
            tier = tiers.read(connection, SAMPLE)
        until = floor(at - REST, HOUR)
        if newest is not None:
            until = min(until, following(newest, HOUR))
        until = max(until, tier.sealing_until or until)
        first = tier.sealed_until or min(floor(oldest, DAY), until)
        if (until, first) != (tier.sealing_until, tier.sealed_until):
            tiers.move(connection, SAMPLE, sealing_until=until, sealed_until=first)
            tiers.move(connection, DAYS, sealed_until=floor(first, DAY))
    return until


def _unseal(connection: DuckDBPyConnection, since: datetime) -> None:
    """Forget the cells that a clock far ahead sealed: their hours are yet to come."""
    for table in TABLES.values():
        connection.execute(f"DELETE FROM {table} WHERE ts >= ?", [since])
    connection.execute("DELETE FROM dirty WHERE tier = ? AND hour >= ?", [SAMPLE, since])
    tiers.move(connection, SAMPLE, sealing_until=since, sealed_until=since)
    tiers.move(connection, DAYS, sealed_until=since)


def _seal(hands: Hands, until: datetime) -> bool:
    """One step of at most a day; whether anything was left to do."""
    with hands.reading() as connection:
        start = tiers.read(connection, SAMPLE).sealed_until
        if start is None or start >= until:
            return False
        end = min(following(start, DAY), until)
        if _count(connection, start, end) > ROWS_AT_ONCE:
            end = min(following(start, HOUR), until)
        fresh = _hours(connection, Span(start, end))

    def put(writing: DuckDBPyConnection) -> None:
        if tiers.read(writing, SAMPLE).sealed_until != start:
            return
        with transaction(writing):
            _insert(writing, HOUR, fresh)
            if end == floor(end, DAY):
                _insert(writing, DAY, _day(writing, end - timedelta(days=1)))
            tiers.move(writing, SAMPLE, sealed_until=end)
            tiers.move(writing, DAYS, sealed_until=floor(end, DAY))

    hands.write(put)
    return True


def _count(connection: DuckDBPyConnection, start: datetime, end: datetime) -> int:
    rows = connection.execute("SELECT count(*) FROM sample WHERE ts >= ? AND ts < ?", [start, end]).fetchall()
    return int(rows[0][0])


def _hours(connection: DuckDBPyConnection, span: Span) -> pa.Table:
    """Cells of the hours of a span, or only of those wanted, from single samples."""
    if span.wanted is not None:
        connection.register("wanted", span.wanted)
    where = _WITHIN if span.wanted is None else _OF_WANTED
    return _table(connection, grouped(OF_SAMPLES, f"sample WHERE {where}", HOUR), span)


def _day(connection: DuckDBPyConnection, day: datetime, series: pa.Table | None = None) -> pa.Table:
    """The cells of a day from those of its hours, of all series or of those in `series` (series_id)."""
    which = ""
    if series is not None:
        connection.register("wanted", series)
        which = " AND series_id IN (SELECT series_id FROM wanted)"
    rows = f"{TABLES[HOUR]} WHERE {_WITHIN}{which}"
    return _table(connection, grouped(OF_CELLS, rows, DAY), Span(day, following(day, DAY)))


def _table(connection: DuckDBPyConnection, sql: str, span: Span) -> pa.Table:
    return connection.sql(sql, params={"start": span.start, "end": span.end}).to_arrow_table()


def _insert(connection: DuckDBPyConnection, width_s: int, fresh: pa.Table) -> None:
    connection.register("fresh", fresh)
    connection.execute(f"INSERT INTO {TABLES[width_s]} BY NAME SELECT * FROM fresh")
    connection.unregister("fresh")


def _replace_hours(connection: DuckDBPyConnection, fresh: pa.Table, span: Span) -> None:
    connection.register("wanted", span.wanted)
    connection.execute(
        f"DELETE FROM {TABLES[HOUR]} WHERE {_OF_WANTED}", {"start": span.start, "end": span.end}
    )
    _insert(connection, HOUR, fresh)


def _replace_day(connection: DuckDBPyConnection, day: datetime, series: pa.Table, fresh: pa.Table) -> None:
    """Put the cells of a day in the place of those of the series, if the day is sealed."""
    sealed = tiers.read(connection, DAYS).sealed_until
    if sealed is None or day >= sealed:
        return
    connection.register("wanted", series)
    connection.execute(
        f"DELETE FROM {TABLES[DAY]} WHERE ts = ? AND series_id IN (SELECT series_id FROM wanted)", [day]
    )
    _insert(connection, DAY, fresh)


def renew(hands: Hands) -> int:
    """Compute the cells of dirty hours again, a day at a time; how many hours of series those were."""
    with hands.reading() as connection:
        tier = tiers.read(connection, SAMPLE)
        if tier.sealed_until is None:
            return 0
        days = tiers.dirty(connection, SAMPLE, tier.sealed_until).days
    done = 0
    for day in days:
        if hands.stopped():
            break
        if tier.raw_from is not None and of_unix(day * DAY) < tier.raw_from:
            done += hands.write(lambda writing, day=day: _fold(writing, day))  # type: ignore[misc]
        done += _renew_day(hands, day)
    return done


def _renew_day(hands: Hands, day: int) -> int:
    """Compute the hours of a day again whose samples are there."""
    with hands.reading() as connection:
        tier = tiers.read(connection, SAMPLE)
        if tier.sealed_until is None:
            return 0
        found = tiers.dirty(connection, SAMPLE, tier.sealed_until, tier.raw_from)
        wanted = found.of_day(day)
        if not wanted.num_rows:
            return 0
        start = of_unix(day * DAY)
        span = Span(start, following(start, DAY), wanted)
        fresh = _hours(connection, span)

    def put(writing: DuckDBPyConnection) -> None:
        now = tiers.read(writing, SAMPLE)
        if (now.sealed_until, now.raw_from) != (tier.sealed_until, tier.raw_from):
            return
        with transaction(writing):
            _replace_hours(writing, fresh, span)
            _replace_day(writing, start, wanted, _day(writing, start, wanted))
            tiers.forget(writing, SAMPLE, found, wanted)

    hands.write(put)
    return int(wanted.num_rows)


def _fold(connection: DuckDBPyConnection, day: int) -> int:
    """Add late samples of hours whose other samples are deleted to their cells, and delete them.

    All on the writer's connection: there are few of them, and none may come in between. Where the cells of
    the hours are deleted too, the samples are added to that of the day.
    """
    tier = tiers.read(connection, SAMPLE)
    start = of_unix(day * DAY)
    if tier.raw_from is None or tier.raw_from <= start:
        return 0
    end = min(tier.raw_from, following(start, DAY))
    found = tiers.dirty(connection, SAMPLE, end)
    wanted = found.of_day(day)
    kept_from = tiers.read(connection, CELLS).raw_from
    span = Span(start, end, wanted)
    with transaction(connection):
        late = _hours(connection, span)
        connection.register("late", late)
        if kept_from is None or start >= kept_from:
            stored = f"(FROM {TABLES[HOUR]} WHERE {_OF_WANTED} UNION ALL BY NAME FROM late)"
            _replace_hours(connection, _table(connection, grouped(OF_CELLS, stored, HOUR), span), span)
        stored = (
            f"(FROM {TABLES[DAY]} WHERE {_WITHIN} AND series_id IN (SELECT series_id FROM wanted) "
            "UNION ALL BY NAME FROM late)"
        )
        whole = _table(connection, grouped(OF_CELLS, stored, DAY), Span(start, following(start, DAY)))
        _replace_day(connection, start, wanted, whole)
        connection.unregister("late")
        connection.register("wanted", wanted)
        connection.execute(f"DELETE FROM sample WHERE {_OF_WANTED}", {"start": start, "end": end})
        tiers.forget(connection, SAMPLE, found, wanted)
    return int(wanted.num_rows)


def proved(hands: Hands) -> Iterator[tuple[datetime, int, list[str]]]:
    """Compute the cells of every day anew whose samples are there: the day, its cells, which of them differ.

    What is dirty is renewed first. Those that differ are replaced.
    """
    renew(hands)
    with hands.reading() as connection:
        tier = tiers.read(connection, SAMPLE)
        oldest = connection.execute("SELECT min(ts) FROM sample").fetchall()[0][0]
    if oldest is None or tier.sealed_until is None:
        return
    start = max(floor(oldest, HOUR), tier.raw_from or floor(oldest, HOUR))
    while start < tier.sealed_until and not hands.stopped():
        end = min(following(start, DAY), tier.sealed_until)
        yield _prove(hands, Span(start, end))
        start = end


def _prove(hands: Hands, span: Span) -> tuple[datetime, int, list[str]]:
    cells, told = _prove_hours(hands, span)
    day = floor(span.start, DAY)
    with hands.reading() as connection:
        sealed = tiers.read(connection, DAYS).sealed_until
        fresh = _day(connection, day)
        noted = tiers.dirty(connection, SAMPLE, following(day, DAY), day).wanted
        differing = _differences(connection, DAY, fresh, Span(day, following(day, DAY)), noted)
    if sealed is None or day >= sealed:
        return day, cells, told

    def put(writing: DuckDBPyConnection) -> None:
        with transaction(writing):
            writing.execute(f"DELETE FROM {TABLES[DAY]} WHERE ts = ?", [day])
            _insert(writing, DAY, fresh)

    if differing:
        hands.write(put)
    return day, cells + int(fresh.num_rows), told + differing


def _prove_hours(hands: Hands, span: Span) -> tuple[int, list[str]]:
    with hands.reading() as connection:
        fresh = _hours(connection, span)
        noted = tiers.dirty(connection, SAMPLE, span.end, span.start).wanted
        told = _differences(connection, HOUR, fresh, span, noted)
        touched = _table(
            connection,
            "SELECT DISTINCT series_id, epoch_ms(ts) // 3600000 AS hour FROM "
            f"(SELECT ts, series_id FROM {TABLES[HOUR]} WHERE {_WITHIN} "
            "UNION ALL SELECT ts, series_id FROM fresh)",
            span,
        )

    def put(writing: DuckDBPyConnection) -> None:
        with transaction(writing):
            _replace_hours(writing, fresh, Span(span.start, span.end, touched))

    if told:
        hands.write(put)
    return int(fresh.num_rows), told


def _differences(
    connection: DuckDBPyConnection, width_s: int, fresh: pa.Table, span: Span, dirty: pa.Table
) -> list[str]:
    """Which stored cells of the span are not the fresh ones, in words; those noted meanwhile are none.

    Of two samples of one millisecond either may be the last, so that its value is not compared.
    """
    connection.register("fresh", fresh)
    connection.register("dirty_hours", dirty)
    same = " AND ".join(
        f"stored.{name} IS NOT DISTINCT FROM fresh.{name}"
        for name in ("n", "failures", "min", "max", "last_at")
    )
    most = "fresh.n * greatest(abs(fresh.min), abs(fresh.max))"
    rows = connection.execute(
        f"""
        WITH stored AS (SELECT * FROM {TABLES[width_s]} WHERE {_WITHIN})
        SELECT ts::TIMESTAMP, series_id
        FROM stored FULL JOIN fresh USING (ts, series_id)
        WHERE NOT coalesce({same} AND stored.last_outcome::VARCHAR = fresh.last_outcome::VARCHAR
                AND (fresh.n = 0 OR abs(stored.sum - fresh.sum) <= {ALIKE} * {most}), FALSE)
            AND (series_id, epoch_ms(ts) // {width_s * 1000}) NOT IN (
                SELECT (series_id, hour // {width_s // HOUR}) FROM dirty_hours
            )
        ORDER BY ALL
        """,
        {"start": span.start, "end": span.end},
    ).fetchall()
    names = dict(
        connection.execute("SELECT series_id, concat_ws(' ', target, object, metric) FROM series").fetchall()
    )
    return [f"{TABLES[width_s]} {ts:%Y-%m-%d %H:%M} {names.get(series)}" for ts, series in rows]
