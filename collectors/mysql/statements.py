"""Query statistics: the growth of the server's digests between two looks, summed per query shape."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from collectors.mysql.digests import (
    CALLS,
    DIGEST,
    DIGESTS,
    EXTENT,
    SCHEMA,
    SINCE,
    TEXTS,
    Row,
    Took,
    was_reset,
)
from collectors.mysql.session import MARIADB_BOUND, MARK, MYSQL_BOUND, Session
from collectors.names import clean_name
from collectors.sqltext import Dialect, QueryDigest, digest_query
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition, QueryShape, QueryStat

OTHER = "other"
"""The shape under which the warehouse keeps what has no place of its own."""

WHOLE_EVERY_S = 300.0
"""How often all digests are read, not only those seen since the last look."""

MARGIN = timedelta(seconds=2)
"""How much earlier a digest may say that it was last seen: MariaDB knows whole seconds."""

MOST_TEXTS = 2000
"""Texts that one look reads; the calls of statements beyond go to `other`."""

TEXTS_AT_ONCE = 500

MOST_TRIES = 3

CLOCK, COUNT, FIRST = range(3)
"""The columns of the table's extent."""

Key = tuple[str, str]

_MANY = re.compile(r"\?\s*(,\s*\.\.\.)")
_ANY_LIST = re.compile(r"\(\s*\.\.\.\s*\)")
_PLAIN = re.compile(r"[`\s]|SESSION")
_LITERALS = re.compile(r"'[^']*'|\{[^}]*\}|\b1\b")


def _plain(text: str) -> str:
    return _PLAIN.sub("", text.upper())


_OURS = frozenset(
    {
        *(_plain(_LITERALS.sub("?", text)) for text in (MARIADB_BOUND, MYSQL_BOUND)),
        *map(_plain, ("SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS", "SHOW SLAVE STATUS")),
    }
)
"""Statements of ours that have no place for an alias."""


class Statements:
    """Samples the digests of one server. The first sample is what the next one is compared with."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.forget()

    def forget(self) -> None:
        """The server is another one: nothing can be compared."""
        self._base: dict[Key, Row] = {}
        self._known: dict[Key, QueryDigest | None] = {}
        self._told: set[tuple[str, str]] = set()
        self._owed: dict[tuple[str, str], QueryDigest] = {}
        self._extent: Row | None = None
        self._seen_at: datetime | None = None
        self._whole_at = -math.inf
        self.was_reset = False
        self.homeless = 0
        """Calls since the previous look of statements that found no place in the server's table."""

    def take(self, session: Session, at: datetime) -> list[QueryStat]:
        """What the calls since the previous look took. Raises pymysql.Error."""
        extent, since, rows = self._look(session)
        present: dict[Key, Row] = {(str(row[SCHEMA] or ""), str(row[DIGEST] or "")): row for row in rows}
        began = self._seen_at
        if self.was_reset:
            self._base = {}
        stats: list[QueryStat] = []
        if began is not None:
            changed = {key: row for key, row in present.items() if not _same(self._base.get(key), row)}
            self.was_reset |= any(was_reset(self._base.get(key), row) for key, row in changed.items())
            self._learn(session, changed)
            stats = self._sum(changed, min(began, at), at)
        self._extent, self._seen_at = extent, at
        self._base = present if since is None else {**self._base, **present}
        if since is None:
            self._whole_at = time.monotonic()
            self._known = {key: self._known[key] for key in present if key in self._known}
            self._told &= {(key[0], digest.shape) for key, digest in self._known.items() if digest}
        return stats

    def name(self, schema: str, digest: str, text: str) -> str | None:
        """The shape of one statement that the server showed; None for those of ours."""
        known = self._known.setdefault((schema, digest), _read(text))
        if known is not None:
            self._owe(schema, known)
        return known.shape if known else None

    def shapes(self, at: datetime) -> list[QueryShape]:
        """Those that were used and not told yet."""
        owed, self._owed = self._owed, {}
        self._told.update(owed)
        return [
            QueryShape(
                at=at,
                target=self._target,
                database=database and clean_name(database),
                shape=shape,
                category=digest.category,
                query=digest.query,
            )
            for (database, shape), digest in owed.items()
        ]

    def _look(self, session: Session) -> tuple[Row, datetime | None, Sequence[Row]]:
        """The table's extent, since when digests were read, and them: anew where a reset came in between."""
        extent: Row = session.rows(EXTENT)[0]
        for _ in range(MOST_TRIES):
            since = self._begin(extent)
            rows = session.rows(DIGESTS) if since is None else session.rows(DIGESTS + SINCE, [since])
            after = session.rows(EXTENT)[0]
            if not _was_emptied(extent, after):
                return extent, since, rows
            extent = after
        raise TroubleError(DatabaseCondition.INCOMPLETE, "the digest table is emptied again and again")

    def _begin(self, extent: Row) -> datetime | None:
        """Since when digests have to be read; None for all of them: after a reset, and now and then."""
        before = self._extent
        self.was_reset, self.homeless = before is not None and _was_emptied(before, extent), 0
        is_old = time.monotonic() - self._whole_at >= WHOLE_EVERY_S
        if before is None or self.was_reset or is_old or extent[CLOCK] < before[CLOCK]:
            return None
        since: datetime = before[CLOCK] - MARGIN
        return since

    def _learn(self, session: Session, changed: Mapping[Key, Row]) -> None:
        """Read the texts of digests that are not known yet, of the busiest first."""
        unknown = [key for key in changed if key[1] and key not in self._known]
        unknown.sort(key=lambda key: int(changed[key][CALLS]), reverse=True)
        wanted = list(dict.fromkeys(digest for _, digest in unknown[:MOST_TEXTS]))
        for start in range(0, len(wanted), TEXTS_AT_ONCE):
            for schema, digest, text in session.rows(TEXTS, [wanted[start : start + TEXTS_AT_ONCE]]):
                self._known[str(schema or ""), str(digest)] = _read(str(text or ""))

    def _sum(self, changed: Mapping[Key, Row], since: datetime, at: datetime) -> list[QueryStat]:
        sums: dict[tuple[str, str], Took] = {}
        for key, row in changed.items():
            digest = self._known.get(key)
            if digest is None and key in self._known:
                continue
            place = (key[0], digest.shape if digest else OTHER)
            took = sums.setdefault(place, Took())
            calls = took.calls
            took.add(self._base.get(key), row)
            took.is_partial |= self.was_reset
            if not key[1]:
                self.homeless += took.calls - calls
            if digest is not None and took.calls:
                self._owe(key[0], digest)
        return [self._stat(place, took, since, at) for place, took in sums.items() if took.calls]

    def _owe(self, schema: str, digest: QueryDigest) -> None:
        if (schema, digest.shape) not in self._told:
            self._owed[schema, digest.shape] = digest

    def _stat(self, place: tuple[str, str], took: Took, since: datetime, at: datetime) -> QueryStat:
        database, shape = place
        return QueryStat(
            at=at,
            since=since,
            target=self._target,
            database=database and clean_name(database),
            shape=shape,
            calls=took.calls,
            total_us=took.total,
            min_us=took.least if math.isfinite(took.least) else None,
            max_us=took.longest,
            ceiling_us=max(took.known, took.ceiling),
            rows=took.rows,
            errors=took.errors,
            unindexed=took.unindexed,
            is_partial=took.is_partial,
        )


def _read(text: str) -> QueryDigest | None:
    """The shape of a digest's text; None for those of ours, which an alias tells."""
    if MARK in text.lower() or _plain(text) in _OURS:
        return None
    return digest_query(_ANY_LIST.sub("(?)", _MANY.sub("?", text)), Dialect.MYSQL)


def _was_emptied(before: Row, after: Row) -> bool:
    """Whether the table lost its digests: the server drops none but all of them at once."""
    if before[FIRST] is None:
        return False
    return bool(after[COUNT] < before[COUNT] or after[FIRST] is None or after[FIRST] > before[FIRST])


def _same(earlier: Row | None, row: Row) -> bool:
    return earlier is not None and tuple(earlier) == tuple(row)
