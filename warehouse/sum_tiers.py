"""Keeps cells that add up: sealed hour by hour, made again where rows came late. A crash harms nothing.

The cell of a day is made of those of its hours, and a row that comes after its like were deleted is added to
both.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from warehouse import sum_made, tiers
from warehouse.cells import DAY, HOUR, Span
from warehouse.model import MAX_FUTURE
from warehouse.rollups import REST, ROWS_AT_ONCE, Hands
from warehouse.sum_cells import KINDS, Summed
from warehouse.sum_made import WITHIN
from warehouse.tiers import floor, following, of_unix
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


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
    """One step of a day, of an hour of many rows, or of days without any; whether anything was left to do."""
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
        fresh = sum_made.hours_of(connection, kind, Span(start, end))
        ended = end - timedelta(days=1) if end == floor(end, DAY) else None
        if not rows and end < until:
            end = tiers.next_day(connection, kind.name, end, until)

    def put(writing: DuckDBPyConnection) -> None:
        if tiers.read(writing, kind.name).sealed_until != start:
            return
        with transaction(writing):
            sum_made.insert(writing, kind, HOUR, fresh)
            if ended is not None:
                sum_made.insert(writing, kind, DAY, sum_made.day_of(writing, kind, ended))
            tiers.move(writing, kind.name, sealed_until=end)
            tiers.move(writing, kind.days, sealed_until=floor(end, DAY))

    hands.write(put, floor(start, DAY))
    return True


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
        fresh = sum_made.hours_of(connection, kind, span)

    def put(writing: DuckDBPyConnection) -> None:
        now = tiers.read(writing, kind.name)
        if (now.sealed_until, now.raw_from) != (tier.sealed_until, tier.raw_from):
            return
        with transaction(writing):
            sum_made.replace_hours(writing, kind, fresh, span)
            sum_made.replace_day(writing, kind, sum_made.day_of(writing, kind, start, wanted), span)
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
        connection.register("late", sum_made.hours_of(connection, kind, span))
        if kept_from is None or start >= kept_from:
            stored = f"(FROM {kind.table(HOUR)} WHERE {sum_made.of_wanted(kind)} UNION ALL BY NAME FROM late)"
            fresh = sum_made.told(connection, kind.grouped(kind.of_cells, stored, HOUR), span)
            sum_made.replace_hours(connection, kind, fresh, span)
        if kind.keeps_days or kept_from is None or start >= kept_from:
            stored = (
                f"(FROM {kind.table(DAY)} WHERE {WITHIN} "
                f"AND {kind.key} IN (SELECT series_id FROM wanted) UNION ALL BY NAME FROM late)"
            )
            fresh = sum_made.told(connection, kind.grouped(kind.of_cells, stored, DAY), whole)
            sum_made.replace_day(connection, kind, fresh, whole)
        connection.unregister("late")
        connection.register("wanted", wanted)
        connection.execute(
            f"DELETE FROM {kind.name} WHERE {sum_made.of_wanted(kind)}", {"start": start, "end": end}
        )
        tiers.forget(connection, kind.name, found, wanted)
    return int(wanted.num_rows)
