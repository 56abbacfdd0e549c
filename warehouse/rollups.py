"""Builds cells of attempts step by step, and again where rows came late. A crash between steps harms nothing.

The writer waits for no computing: it moves `sealing_until`, the cells are computed on a reader's connection,
and the writer puts them in place together with `sealed_until`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from warehouse import tiers
from warehouse.cells import DAY, FIVE_MINUTES, HOUR, TABLES, Cells, Span, attempt_cells, day_cells
from warehouse.model import MAX_FUTURE
from warehouse.objectives import ABOVE
from warehouse.placing import DAYS, OUTCOMES, fold, insert, replace, replace_day
from warehouse.stand import EVER
from warehouse.tiers import ATTEMPT, FINE_DAYS, floor, following, of_unix
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

T = TypeVar("T")

REST = timedelta(seconds=30)
"""How old a cell's end is when it is sealed: batches are seconds late as a rule."""

PACKED = timedelta(days=FINE_DAYS + 2)
"""Cells of 5 minutes that are younger are made with histograms."""

ROWS_AT_ONCE = 4_000_000
"""A step takes a day, or an hour where a day has more raw rows than this."""


class Hands(Protocol):
    """How the work is done: on a reader's connection, and on the writer's."""

    def reading(self) -> AbstractContextManager[DuckDBPyConnection]:
        """A connection in a transaction of its own: all that is read is of one moment."""

    def write(self, work: Callable[[DuckDBPyConnection], T], since: datetime = EVER) -> T:
        """Run `work` on the writer's connection, if the file is still the one that was read.

        It changes nothing that answers about windows before `since` are made of.
        """

    def stopped(self) -> bool:
        """Whether to leave the rest for another time."""


class Alone:
    """Reads and writes on one connection: for a file that nobody else uses."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """The connection itself."""
        yield self._connection

    def write(self, work: Callable[[DuckDBPyConnection], T], since: datetime = EVER) -> T:
        """At once."""
        del since  # nobody keeps anything
        return work(self._connection)

    def stopped(self) -> bool:
        """Never."""
        return False


def build(
    connection: DuckDBPyConnection, at: datetime, on_day: Callable[[datetime], None] = lambda _: None
) -> None:
    """All cells of a file that nobody else uses, up to `at` (UTC, naive); `on_day` hears how far."""
    keep_up(Alone(connection), at, on_day)


def keep_up(hands: Hands, at: datetime, on_step: Callable[[datetime], None] = lambda _: None) -> None:
    """Seal what is old enough at `at`, then compute again what changed. Raises StorageError."""
    until = _begin(hands, at)
    if until is None:
        return
    while not hands.stopped() and (sealed := _seal(hands, until, at)) is not None:
        on_step(sealed)
    if not hands.stopped():
        _seal_days(hands)
    if not hands.stopped():
        renew(hands, at)


def _begin(hands: Hands, at: datetime) -> datetime | None:
    """Move `sealing_until`: from now on rows before it are noted as late. None where there is nothing.

    Where it stays, nothing is written.
    """
    with hands.reading() as connection:
        tier = tiers.read(connection, ATTEMPT)
        oldest, newest = connection.execute("SELECT min(ts), max(ts) FROM attempt").fetchall()[0]
    until = floor(at - REST, FIVE_MINUTES)
    if newest is not None:
        until = min(until, following(newest, FIVE_MINUTES))
    if tier.sealed_until is None or tier.sealing_until is None:
        return None if oldest is None else hands.write(lambda writing: _start(writing, oldest, until))
    if tier.sealed_until > at + MAX_FUTURE:
        return hands.write(lambda writing: _unseal(writing, floor(at, DAY), until))
    if until <= tier.sealing_until:
        return tier.sealing_until
    return hands.write(lambda writing: _go_on(writing, until), tier.sealing_until)


def _go_on(connection: DuckDBPyConnection, until: datetime) -> datetime:
    with transaction(connection):
        tiers.move(connection, ATTEMPT, sealing_until=until)
    return until


def _start(connection: DuckDBPyConnection, oldest: datetime, until: datetime) -> datetime:
    """There is something to seal for the first time, from the day of the oldest attempt on."""
    first = min(floor(oldest, DAY), until)
    with transaction(connection):
        tiers.move(connection, ATTEMPT, sealing_until=until, sealed_until=first)
        if tiers.read(connection, DAYS).sealed_until is None:
            tiers.move(connection, DAYS, sealed_until=floor(first, DAY))
    return until


def _unseal(connection: DuckDBPyConnection, since: datetime, until: datetime) -> datetime:
    """Forget cells that a clock far ahead sealed, whose hours are yet to come: seal anew up to `until`."""
    until = max(until, since)
    with transaction(connection):
        for table in (*TABLES.values(), OUTCOMES, ABOVE):
            connection.execute(f"DELETE FROM {table} WHERE ts >= ?", [since])
        connection.execute("DELETE FROM dirty WHERE tier = ? AND hour >= ?", [ATTEMPT, since])
        tiers.move(connection, ATTEMPT, sealing_until=until, sealed_until=since)
        days = tiers.read(connection, DAYS).sealed_until
        tiers.move(connection, DAYS, sealed_until=min(since, days or since))
    return until


def _seal(hands: Hands, until: datetime, at: datetime) -> datetime | None:
    """One step; until where cells are sealed then, None where nothing was left to do.

    Days without attempts are one step; those that are young enough for histograms another.
    """
    with hands.reading() as connection:
        start = tiers.read(connection, ATTEMPT).sealed_until
        if start is None or start >= until:
            return None
        end = min(following(start, DAY), until)
        rows = connection.execute(
            "SELECT count(*) FROM attempt WHERE ts >= ? AND ts < ?", [start, end]
        ).fetchall()[0][0]
        if rows > ROWS_AT_ONCE:
            end = min(following(start, HOUR), until)
        span = Span(start, end)
        fresh = fine_and_hours(connection, span, at)
        limit = until if is_recent(span, at) else min(until, floor(at - PACKED, DAY))
        if not rows and end < limit:
            end = tiers.next_day(connection, ATTEMPT, end, limit)

        def put(writing: DuckDBPyConnection) -> None:
            if tiers.read(writing, ATTEMPT).sealed_until != start:
                return
            with transaction(writing):
                for cells in fresh:
                    insert(writing, cells)
                tiers.move(writing, ATTEMPT, sealed_until=end)
                if is_recent(span, at) and tiers.read(writing, tiers.FINE).raw_from is None:
                    tiers.move(writing, tiers.FINE, raw_from=start)

    hands.write(put, floor(start, HOUR))
    return end


def is_recent(span: Span, at: datetime) -> bool:
    """Whether the span's cells of 5 minutes have histograms: two days longer than questions count on it."""
    return span.end > at - PACKED


def fine_and_hours(connection: DuckDBPyConnection, span: Span, at: datetime) -> list[Cells]:
    """The cells of 5 minutes of a span, if they are kept, and those of the hours that end within it."""
    cells = []
    if tiers.has_fine_cells(connection, span.start):
        cells.append(attempt_cells(connection, span, FIVE_MINUTES, packed=is_recent(span, at)))
    hours = Span(floor(span.start, HOUR), floor(span.end, HOUR), span.wanted)
    if hours.start < hours.end:
        cells.append(attempt_cells(connection, hours, HOUR, packed=True))
    return cells


def _seal_days(hands: Hands) -> None:
    """Cells of the days that ended, from those of their hours."""
    while not hands.stopped():
        with hands.reading() as connection:
            start = tiers.read(connection, DAYS).sealed_until
            sealed = tiers.read(connection, ATTEMPT).sealed_until
            if start is None or sealed is None or following(start, DAY) > sealed:
                return
            end = following(start, DAY)
            cells = day_cells(connection, Span(start, end))
            end = tiers.next_day(connection, TABLES[HOUR], end, floor(sealed, DAY))

            def put(
                writing: DuckDBPyConnection,
                start: datetime = start,
                cells: Cells = cells,
                end: datetime = end,
            ) -> None:
                if tiers.read(writing, DAYS).sealed_until == start:
                    with transaction(writing):
                        insert(writing, cells)
                        tiers.move(writing, DAYS, sealed_until=end)

        hands.write(put, start)


def renew(hands: Hands, at: datetime) -> int:
    """Compute the cells of dirty hours again, a day at a time; how many hours of series those were."""
    with hands.reading() as connection:
        tier = tiers.read(connection, ATTEMPT)
        if tier.sealed_until is None:
            return 0
        days = tiers.dirty(connection, ATTEMPT, tier.sealed_until).days
    done = 0
    for day in days:
        if hands.stopped():
            break
        start = of_unix(day * DAY)
        if tier.raw_from is not None and start < tier.raw_from:
            done += hands.write(lambda writing, day=day: fold(writing, day), start)  # type: ignore[misc]
        done += _renew_day(hands, day, at)
    return done


def _renew_day(hands: Hands, day: int, at: datetime) -> int:
    """Compute the hours of a day again whose raw rows are there."""
    with hands.reading() as connection:
        tier = tiers.read(connection, ATTEMPT)
        sealed = tier.sealed_until
        if sealed is None:
            return 0
        found = tiers.dirty(connection, ATTEMPT, sealed, tier.raw_from)
        start = of_unix(day * DAY)
        wanted = found.of_day(day)
        if not wanted.num_rows:
            return 0
        span = Span(start, min(following(start, DAY), sealed), wanted)
        fresh = fine_and_hours(connection, span, at)

        def put(writing: DuckDBPyConnection) -> None:
            now = tiers.read(writing, ATTEMPT)
            if (now.sealed_until, now.raw_from) != (sealed, tier.raw_from):
                return
            with transaction(writing):
                for cells in fresh:
                    replace(writing, cells, span)
                days_sealed = tiers.read(writing, DAYS).sealed_until
                if days_sealed is not None and start < days_sealed:
                    replace_day(writing, span)
                tiers.forget(writing, ATTEMPT, found, wanted)

    hands.write(put, start)
    return int(wanted.num_rows)
