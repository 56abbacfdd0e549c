"""Query statistics: the growth of pg_stat_statements between two samples, summed per query shape."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from collectors.names import clean_name
from collectors.numbers import Numbers
from collectors.postgres.counters import COLUMNS, COUNTS, KEY, Row, Took, difference
from collectors.postgres.session import Extension, Session
from collectors.postgres.shapes import NAMELESS, TEXTS, ShapeBook
from collectors.record import Row as Record
from collectors.sqltext import LONGEST_READ, QueryDigest
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition, QueryStat, now

Key = tuple[int, int, bool, int]

STATEMENTS = "pg_stat_statements"
OTHER = "other"
"""The shape under which the warehouse keeps what has no place of its own."""

MOST_SHAPES = 10_000
"""Shapes that one sample tells of; the calls of those with the least time go to `other`."""

US_PER_MS = 1000.0

INFO = """
    SELECT dealloc, stats_reset, current_setting('pg_stat_statements.track', true)
    FROM {}.pg_stat_statements_info
"""
INFO_BEFORE_1_9 = "SELECT 0, NULL, current_setting('pg_stat_statements.track', true)"

_EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "dbid": ("dbid::int8",),
    "userid": ("userid::int8",),
    "calls": ("calls",),
    "total": ("total_exec_time",),
    "minimum": ("min_exec_time",),
    "maximum": ("max_exec_time",),
    "deviation": ("stddev_exec_time",),
    "blocks_hit": ("shared_blks_hit",),
    "blocks_read": ("shared_blks_read",),
    "blocks_dirtied": ("shared_blks_dirtied",),
    "blocks_written": ("shared_blks_written",),
    "wal_bytes": ("wal_bytes::int8",),
    "minmax_since": ("minmax_stats_since",),
    "temp_blocks": ("temp_blks_read", "temp_blks_written"),
    "io": (
        *("shared_blk_read_time", "shared_blk_write_time", "blk_read_time", "blk_write_time"),
        *("local_blk_read_time", "local_blk_write_time", "temp_blk_read_time", "temp_blk_write_time"),
    ),
}
_TYPES = {"toplevel": "bool", "stats_since": "timestamptz", "minmax_since": "timestamptz", "io": "float8"}


@dataclass(frozen=True)
class Sampled:
    """What one sample tells; `since` is None for the first, which has nothing to be compared with."""

    rows: Sequence[Record]
    since: datetime | None
    at: datetime
    evictions: int


@dataclass(frozen=True)
class Listing:
    """All statements that the server counts at one instant."""

    at: datetime
    rows: Sequence[Row]
    evictions: int
    reset_at: datetime | None


class Statements:
    """Samples the statements of one server. The first sample is what the next one is compared with."""

    def __init__(self, target: str, book: ShapeBook) -> None:
        self._target = target
        self._book = book
        self._before: Listing | None = None
        self._base: dict[Key, Row] = {}
        self._pending: dict[Key, Took] = {}

    def forget(self) -> None:
        """The server is another one, or was restarted: nothing can be compared."""
        self._before = None
        self._base = {}

    def sample(
        self,
        session: Session,
        extension: Extension,
        databases: Mapping[int, str],
        numbers: Numbers,
        excluded: Sequence[int],
        *,
        times_io: bool,
    ) -> Sampled:
        """What ended since the previous sample. Raises psycopg.Error and TroubleError."""
        began = time.monotonic()
        listing = _read(session, extension, excluded, times_io=times_io)
        since = None if self._before is None else min(self._before.at, listing.at)
        evictions = self._advance(listing, numbers)
        keys = set(self._base)
        self._learn(session, extension, keys)
        rows = self._emit(listing, keys, databases)
        numbers.add("statements_shapes", len(listing.rows))
        numbers.add("statements_sample_ms", (time.monotonic() - began) * 1000)
        return Sampled(rows, since, listing.at, evictions)

    def _advance(self, listing: Listing, numbers: Numbers) -> int:
        """Add what grew to what is pending; how often statements were evicted since then."""
        before, base = self._before, self._base
        evictions = 0
        present: dict[Key, Row] = {row[KEY]: row for row in listing.rows}
        if before is not None:
            was_reset = listing.reset_at != before.reset_at
            evictions = max(0, listing.evictions - (0 if was_reset else before.evictions))
            calls = 0
            for key, row in present.items():
                old = None if was_reset else base.get(key)
                if old == row:
                    continue
                took = difference(
                    old,
                    row,
                    min(before.at, listing.at),
                    is_partial=was_reset or (old is None and evictions > 0),
                )
                if took is not None:
                    calls += took.calls
                    self._add(key, took)
            numbers.add("statements_evictions_total", evictions)
            numbers.add("statements_resets_total", int(was_reset))
            numbers.add("statements_calls_total", calls)
        self._before, self._base = Listing(listing.at, (), listing.evictions, listing.reset_at), present
        return evictions

    def _add(self, key: Key, took: Took) -> None:
        waiting = self._pending.get(key)
        if waiting is None:
            self._pending[key] = took
        else:
            waiting.add(took)

    def _learn(self, session: Session, extension: Extension, keys: Iterable[Key]) -> None:
        """Read the texts of statements that are not known yet, when that is due."""
        book = self._book
        if book.is_due():
            statements = {(key[0], key[3]): None for key in keys}
            unknown = book.unknown(statements)
            if unknown:
                query = sql.SQL(TEXTS).format(sql.Identifier(extension.schema))
                parameters = [LONGEST_READ + 1, [query_id for _, query_id in unknown]]
                began = time.monotonic()
                texts = session.query(query, parameters)
                book.take(texts, time.monotonic() - began)
            book.keep(statements)
        book.work((key[0], key[3]) for key in self._pending)

    def _emit(self, listing: Listing, keys: set[Key], databases: Mapping[int, str]) -> list[Record]:
        """The statistics of what is pending and has a shape, and the shapes not told yet."""
        sums: dict[tuple[str, str], Took] = {}
        used: dict[tuple[str, str], QueryDigest] = {}
        for key in list(self._pending):
            digest = self._book.get((key[0], key[3])) or (None if key in keys else NAMELESS)
            if digest is None:
                continue
            took = self._pending.pop(key)
            place = (databases.get(key[0], ""), digest.shape)
            used[place] = digest
            if place in sums:
                sums[place].add(took)
            else:
                sums[place] = took
        sums = _fewer(sums)
        shapes = self._book.tell({place: used[place] for place in sums if place in used}, listing.at)
        return [*shapes, *(self._stat(place, took, listing.at) for place, took in sums.items())]

    def _stat(self, place: tuple[str, str], took: Took, at: datetime) -> QueryStat:
        database, shape = place
        counts = dict(zip((COLUMNS[each] for each in COUNTS), took.counts, strict=True))
        io = counts.pop("io")
        return QueryStat(
            at=at,
            since=min(took.since, at),
            target=self._target,
            database=database and clean_name(database),
            shape=shape,
            calls=took.calls,
            total_us=took.total * US_PER_MS,
            squares_us2=took.squares * US_PER_MS**2,
            min_us=None if took.least is None else took.least * US_PER_MS,
            max_us=None if took.longest is None else took.longest * US_PER_MS,
            ceiling_us=took.ceiling * US_PER_MS,
            io_us=None if io is None else io * US_PER_MS,
            is_partial=took.is_partial,
            **{name: None if count is None else int(count) for name, count in counts.items()},
        )


def _fewer(sums: dict[tuple[str, str], Took]) -> dict[tuple[str, str], Took]:
    """At most `MOST_SHAPES`, those with the most time; the others together, per database."""
    if len(sums) <= MOST_SHAPES:
        return sums
    ranked = sorted(sums.items(), key=lambda item: item[1].total, reverse=True)
    kept = dict(ranked[:MOST_SHAPES])
    for (database, _), took in ranked[MOST_SHAPES:]:
        if (database, OTHER) in kept:
            kept[database, OTHER].add(took)
        else:
            kept[database, OTHER] = took
    return kept


def _read(session: Session, extension: Extension, excluded: Sequence[int], *, times_io: bool) -> Listing:
    """The statements, and how many were evicted when: read again where a reset came in between."""
    schema = sql.Identifier(extension.schema)
    statement = sql.SQL("SELECT {} FROM {}.pg_stat_statements(false) WHERE userid <> ALL(%s::oid[])").format(
        sql.SQL(", ".join(_select(extension.columns, times_io=times_io))), schema
    )
    info = sql.SQL(INFO if "toplevel" in extension.columns else INFO_BEFORE_1_9).format(schema)
    for _ in range(3):
        evictions, reset_at, track = session.query(info)[0]
        if track == "none":
            raise TroubleError(
                DatabaseCondition.NOT_MEASURABLE, "the server's pg_stat_statements.track is none"
            )
        at = now()
        rows = session.query(statement, [list(excluded)])
        if session.query(info)[0][1] == reset_at:
            return Listing(at, [row for row in rows if row[3] is not None], int(evictions), reset_at)
    raise TroubleError(DatabaseCondition.INCOMPLETE, "the statistics are reset again and again")


def _select(present: frozenset[str], *, times_io: bool) -> Iterator[str]:
    """The expression of each column; what this version of the extension does not have is NULL."""
    for column in COLUMNS:
        parts = [part for part in _EXPRESSIONS.get(column, (column,)) if part.partition("::")[0] in present]
        if not parts or (column == "io" and not times_io):
            yield f"NULL::{_TYPES.get(column, 'int8')}"
        else:
            yield " + ".join(parts)
