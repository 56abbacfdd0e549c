"""Keeps cells that add up: sealed hour by hour, made again where rows came late. A crash harms nothing.

The cell of a day is made of those of its hours, and a row that comes after its like were deleted is added to
both.
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
from warehouse.sum_cells import KINDS, Summed
from warehouse.tiers import floor, following, of_unix
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WITHIN = "ts >= $start AND ts < $end"

ALIKE = 1e-9
"""How far a sum may be off that was added up in another order, as a share of the largest it could be."""


def keep_up(hands: Hands, at: datetime) -> None:
    """Seal what is old enough at `at` (UTC, naive), then renew what changed. Raises StorageError."""
    for kind in KINDS:
        until = _begin(hands, kind, at)
        while until is not None and not hands.stopped() and _seal(hands, kind, until):
            pass
        if not hands.stopped():
            renew(hands, kind)


def _begin(hands: Hands, kind: Summed, at: datetime) -> datetime | None:
    """Move `sealing_until`: from now on rows before it are noted as late. None where there is nothing.

    Where it stays, nothing is written.
    """
    with hands.reading() as connection:
        tier = tiers.read(connection, kind.name)
        oldest, newest = connection.execute(f"SELECT min(ts), max(ts) FROM {kind.name}").fetchall()[0]
    until = floor(at - REST, HOUR)
    if newest is not None:
        until = min(until, following(newest, HOUR))
    if tier.sealed_until is None or tier.sealing_until is None:
        return None if oldest is None else hands.write(lambda held: _start(held, kind, oldest, until))
    if tier.sealed_until > at + MAX_FUTURE:
        return hands.write(lambda held: _unseal(held, kind, floor(at, DAY), until))
    if until <= tier.sealing_until:
        return tier.sealing_until
    return hands.write(lambda held: _go_on(held, kind, until), tier.sealing_until)


def _go_on(connection: DuckDBPyConnection, kind: Summed, until: datetime) -> datetime:
    with transaction(connection):
        tiers.move(connection, kind.name, sealing_until=until)
    return until


def _start(connection: DuckDBPyConnection, kind: Summed, oldest: datetime, until: datetime) -> datetime:
    """There is something to seal for the first time, from the day of the oldest row on."""
    first = min(floor(oldest, DAY), until)
    with transaction(connection):
        tiers.move(connection, kind.name, sealing_until=until, sealed_until=first)
        tiers.move(connection, kind.days, sealed_until=floor(first, DAY))
    return until


def _unseal(connection: DuckDBPyConnection, kind: Summed, since: datetime, until: datetime) -> datetime:
    """Forget cells that a clock far ahead sealed, whose hours are yet to come: seal anew up to `until`."""
    until = max(until, since)
    with transaction(connection):
        for width_s in (HOUR, DAY):
            connection.execute(f"DELETE FROM {kind.table(width_s)} WHERE ts >= ?", [since])
        connection.execute("DELETE FROM dirty WHERE tier = ? AND hour >= ?", [kind.name, since])
        tiers.move(connection, kind.name, sealing_until=until, sealed_until=since)
        tiers.move(connection, kind.days, sealed_until=since)
    return until


def _seal(hands: Hands, kind: Summed, until: datetime) -> bool:
    """One step of at most a day; whether anything was left to do."""
    with hands.reading() as connection:
        start = tiers.read(connection, kind.name).sealed_until
        if start is None or start >= until:
            return False
        end = min(following(start, DAY), until)
        rows = connection.execute(
            f"SELECT count(*) FROM {kind.name} WHERE ts >= ? AND ts < ?", [start, end]
        ).fetchall()[0][0]
        if rows > ROWS_AT_ONCE:
            end = min(following(start, HOUR), until)
        fresh = _hours(connection, kind, Span(start, end))

    def put(writing: DuckDBPyConnection) -> None:
        if tiers.read(writing, kind.name).sealed_until != start:
            return
        with transaction(writing):
            _insert(writing, kind, HOUR, fresh)
            if end == floor(end, DAY):
                _insert(writing, kind, DAY, _day(writing, kind, end - timedelta(days=1)))
            tiers.move(writing, kind.name, sealed_until=end)
            tiers.move(writing, kind.days, sealed_until=floor(end, DAY))

    hands.write(put, floor(start, DAY))
    return True


def _of_wanted(kind: Summed) -> str:
    """SQL for rows or cells of the wanted hours; the list calls every key `series_id`."""
    return f"{_WITHIN} AND ({kind.key}, epoch_ms(ts) // 3600000) IN (SELECT (series_id, hour) FROM wanted)"


def _hours(connection: DuckDBPyConnection, kind: Summed, span: Span) -> pa.Table:
    """Cells of the hours of a span, or only of those wanted, from single rows."""
    where = _WITHIN
    if span.wanted is not None:
        connection.register("wanted", span.wanted)
        where = _of_wanted(kind)
    return _table(connection, kind.grouped(kind.of_rows, f"{kind.name} WHERE {where}", HOUR), span)


def _day(
    connection: DuckDBPyConnection, kind: Summed, day: datetime, wanted: pa.Table | None = None
) -> pa.Table:
    """The cells of a day from those of its hours, of all keys or of those in `wanted`."""
    which = ""
    if wanted is not None:
        connection.register("wanted", wanted)
        which = f" AND {kind.key} IN (SELECT series_id FROM wanted)"
    rows = f"{kind.table(HOUR)} WHERE {_WITHIN}{which}"
    return _table(connection, kind.grouped(kind.of_cells, rows, DAY), Span(day, following(day, DAY)))


def _table(connection: DuckDBPyConnection, sql: str, span: Span) -> pa.Table:
    return connection.sql(sql, params={"start": span.start, "end": span.end}).to_arrow_table()


def _insert(connection: DuckDBPyConnection, kind: Summed, width_s: int, fresh: pa.Table) -> None:
    connection.register("fresh", fresh)
    connection.execute(f"INSERT INTO {kind.table(width_s)} BY NAME SELECT * FROM fresh")
    connection.unregister("fresh")


def _replace_hours(connection: DuckDBPyConnection, kind: Summed, fresh: pa.Table, span: Span) -> None:
    """Put cells in the place of those of the span's wanted hours."""
    connection.register("wanted", span.wanted)
    connection.execute(
        f"DELETE FROM {kind.table(HOUR)} WHERE {_of_wanted(kind)}", {"start": span.start, "end": span.end}
    )
    _insert(connection, kind, HOUR, fresh)


def _replace_day(connection: DuckDBPyConnection, kind: Summed, fresh: pa.Table, span: Span) -> None:
    """Put cells in the place of those of the span's day, of the wanted keys or of all, if it is sealed."""
    day = floor(span.start, DAY)
    sealed = tiers.read(connection, kind.days).sealed_until
    if sealed is None or day >= sealed:
        return
    which = ""
    if span.wanted is not None:
        connection.register("wanted", span.wanted)
        which = f" AND {kind.key} IN (SELECT series_id FROM wanted)"
    connection.execute(f"DELETE FROM {kind.table(DAY)} WHERE ts = ?{which}", [day])
    _insert(connection, kind, DAY, fresh)


def renew(hands: Hands, kind: Summed) -> int:
    """Compute the cells of dirty hours again, a day at a time; how many hours of keys those were."""
    with hands.reading() as connection:
        tier = tiers.read(connection, kind.name)
        if tier.sealed_until is None:
            return 0
        days = tiers.dirty(connection, kind.name, tier.sealed_until).days
    done = 0
    for day in days:
        if hands.stopped():
            break
        start = of_unix(day * DAY)
        if tier.raw_from is not None and start < tier.raw_from:
            done += hands.write(lambda held, day=day: _fold(held, kind, day), start)  # type: ignore[misc]
        done += _renew_day(hands, kind, day)
    return done


def _renew_day(hands: Hands, kind: Summed, day: int) -> int:
    """Compute the hours of a day again whose rows are there."""
    with hands.reading() as connection:
        tier = tiers.read(connection, kind.name)
        if tier.sealed_until is None:
            return 0
        found = tiers.dirty(connection, kind.name, tier.sealed_until, tier.raw_from)
        wanted = found.of_day(day)
        if not wanted.num_rows:
            return 0
        start = of_unix(day * DAY)
        span = Span(start, following(start, DAY), wanted)
        fresh = _hours(connection, kind, span)

    def put(writing: DuckDBPyConnection) -> None:
        now = tiers.read(writing, kind.name)
        if (now.sealed_until, now.raw_from) != (tier.sealed_until, tier.raw_from):
            return
        with transaction(writing):
            _replace_hours(writing, kind, fresh, span)
            _replace_day(writing, kind, _day(writing, kind, start, wanted), span)
            tiers.forget(writing, kind.name, found, wanted)

    hands.write(put, start)
    return int(wanted.num_rows)


def _fold(connection: DuckDBPyConnection, kind: Summed, day: int) -> int:
    """Add late rows of hours whose other rows are deleted to their cells, and delete them.

    All on the writer's connection: there are few of them, and none may come in between. Where the cells of
    the hours are deleted too, the rows are added to that of the day.
    """
    tier = tiers.read(connection, kind.name)
    start = of_unix(day * DAY)
    if tier.raw_from is None or tier.raw_from <= start:
        return 0
    end = min(tier.raw_from, following(start, DAY))
    found = tiers.dirty(connection, kind.name, end)
    wanted = found.of_day(day)
    kept_from = tiers.read(connection, kind.cells).raw_from
    span, whole = Span(start, end, wanted), Span(start, following(start, DAY), wanted)
    with transaction(connection):
        connection.register("late", _hours(connection, kind, span))
        if kept_from is None or start >= kept_from:
            stored = f"(FROM {kind.table(HOUR)} WHERE {_of_wanted(kind)} UNION ALL BY NAME FROM late)"
            fresh = _table(connection, kind.grouped(kind.of_cells, stored, HOUR), span)
            _replace_hours(connection, kind, fresh, span)
        if kind.keeps_days or kept_from is None or start >= kept_from:
            stored = (
                f"(FROM {kind.table(DAY)} WHERE {_WITHIN} "
                f"AND {kind.key} IN (SELECT series_id FROM wanted) UNION ALL BY NAME FROM late)"
            )
            fresh = _table(connection, kind.grouped(kind.of_cells, stored, DAY), whole)
            _replace_day(connection, kind, fresh, whole)
        connection.unregister("late")
        connection.register("wanted", wanted)
        connection.execute(f"DELETE FROM {kind.name} WHERE {_of_wanted(kind)}", {"start": start, "end": end})
        tiers.forget(connection, kind.name, found, wanted)
    return int(wanted.num_rows)


def proved(hands: Hands, kind: Summed) -> Iterator[tuple[datetime, int, list[str]]]:
    """Compute the cells of every day anew whose rows are there: the day, its cells, which of them differ.

    What is dirty is renewed first. Those that differ are replaced.
    """
    renew(hands, kind)
    with hands.reading() as connection:
        tier = tiers.read(connection, kind.name)
        oldest = connection.execute(f"SELECT min(ts) FROM {kind.name}").fetchall()[0][0]
    if oldest is None or tier.sealed_until is None:
        return
    start = max(floor(oldest, HOUR), tier.raw_from or floor(oldest, HOUR))
    while start < tier.sealed_until and not hands.stopped():
        end = min(following(start, DAY), tier.sealed_until)
        hours, in_hours = _prove_hours(hands, kind, Span(start, end))
        days, in_day = _prove_day(hands, kind, floor(start, DAY))
        yield floor(start, DAY), hours + days, in_hours + in_day
        start = end


def _prove_hours(hands: Hands, kind: Summed, span: Span) -> tuple[int, list[str]]:
    with hands.reading() as connection:
        if (tiers.read(connection, kind.name).raw_from or span.start) > span.start:
            return 0, []
        fresh = _hours(connection, kind, span)
        told = _differences(connection, kind, HOUR, fresh, span)
        connection.register("fresh", fresh)
        touched = _table(
            connection,
            f"SELECT DISTINCT {kind.key} AS series_id, epoch_ms(ts) // 3600000 AS hour FROM "
            f"(SELECT ts, {kind.key} FROM {kind.table(HOUR)} WHERE {_WITHIN} "
            f"UNION ALL SELECT ts, {kind.key} FROM fresh)",
            span,
        )

    def put(writing: DuckDBPyConnection) -> None:
        with transaction(writing):
            _replace_hours(writing, kind, fresh, Span(span.start, span.end, touched))

    if told:
        hands.write(put)
    return int(fresh.num_rows), told


def _prove_day(hands: Hands, kind: Summed, day: datetime) -> tuple[int, list[str]]:
    span = Span(day, following(day, DAY))
    with hands.reading() as connection:
        sealed = tiers.read(connection, kind.days).sealed_until
        if sealed is None or day >= sealed:
            return 0, []
        fresh = _day(connection, kind, day)
        told = _differences(connection, kind, DAY, fresh, span)

    def put(writing: DuckDBPyConnection) -> None:
        with transaction(writing):
            _replace_day(writing, kind, fresh, span)

    if told:
        hands.write(put)
    return int(fresh.num_rows), told


def _differences(
    connection: DuckDBPyConnection, kind: Summed, width_s: int, fresh: pa.Table, span: Span
) -> list[str]:
    """Which stored cells of the span are not the fresh ones, in words; those noted meanwhile are none."""
    connection.register("fresh", fresh)
    connection.register("dirty_hours", tiers.dirty(connection, kind.name, span.end, span.start).wanted)
    exact = ", ".join(f"{column} AS same_{place}" for place, column in enumerate(kind.same))
    near = ", ".join(
        f"{column} AS added_{place}, {most} AS most_{place}"
        for place, (column, most) in enumerate(kind.added)
    )
    alike = " AND ".join(
        [f"stored.same_{place} IS NOT DISTINCT FROM made.same_{place}" for place in range(len(kind.same))]
        + [
            f"(coalesce(abs(stored.added_{place} - made.added_{place}) <= {ALIKE} * made.most_{place}, "
            f"stored.added_{place} IS NULL AND made.added_{place} IS NULL))"
            for place in range(len(kind.added))
        ]
    )
    told = f"SELECT ts::TIMESTAMP AS ts, {kind.key} AS key, TRUE AS is_there, {exact}, {near} FROM"
    rows = connection.execute(
        f"""
        WITH stored AS ({told} {kind.table(width_s)} WHERE {_WITHIN}), made AS ({told} fresh)
        SELECT ts, key FROM stored FULL JOIN made USING (ts, key)
        WHERE NOT (stored.is_there IS NOT NULL AND made.is_there IS NOT NULL AND {alike})
            AND (key, epoch_ms(ts) // {width_s * 1000}) NOT IN (
                SELECT (series_id, hour // {width_s // HOUR}) FROM dirty_hours
            )
        ORDER BY ALL
        """,
        {"start": span.start, "end": span.end},
    ).fetchall()
    names = dict(connection.execute(kind.label).fetchall())
    return [f"{kind.table(width_s)} {ts:%Y-%m-%d %H:%M} {names.get(key)}" for ts, key in rows]
