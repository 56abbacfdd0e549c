"""Knows the shape of each statement that the server numbers; texts are read seldom, in slices of time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from collectors.names import clean_name
from collectors.sqltext import Dialect, QueryDigest, digest_query
from warehouse.model import QueryCategory, QueryShape

Statement = tuple[int, int]
"""A database's oid and a queryid: the number of a statement that the server counts."""

FETCH_SHARE = 1 / 300
"""Texts cost the server the most: at most this share of the time is spent on reading them."""

MOST_PAUSE_S = 300.0

RETELL_S = 3600.0
"""A shape that is in use is told again after so long, for a warehouse that was made anew."""

SLICE_S = 0.2
"""Time that one sample may spend on turning texts into shapes."""

NAMELESS = digest_query("", Dialect.POSTGRES)
"""The shape of statements whose text the server has lost."""

TEXTS = """
    SELECT dbid::int8, queryid, left(query, %s)
    FROM {}.pg_stat_statements(true)
    WHERE queryid = ANY(%s::int8[])
"""


class ShapeBook:
    """The shapes of one server's statements. Used by one thread, read by any."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._shapes: dict[Statement, QueryDigest] = {}
        self._digests: dict[str, QueryDigest] = {}
        self._waiting: dict[Statement, str] = {}
        self._next_fetch_s = float("-inf")
        self._told: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        return len(self._shapes)

    def get(self, statement: Statement) -> QueryDigest | None:
        """The shape of a statement, once its text was read."""
        return self._shapes.get(statement)

    def category(self, statement: Statement) -> QueryCategory | None:
        """What a statement does; None while its text was not read."""
        digest = self._shapes.get(statement)
        return None if digest is None else digest.category

    def is_due(self) -> bool:
        """Whether texts may be read from the server again."""
        return not self._waiting and time.monotonic() >= self._next_fetch_s

    def unknown(self, statements: Iterable[Statement]) -> list[Statement]:
        """Those whose shape is not known."""
        return [statement for statement in statements if statement not in self._shapes]

    def take(self, texts: Iterable[tuple[int, int, str | None]], took_s: float) -> None:
        """Texts that were read now, in `took_s`."""
        self._next_fetch_s = time.monotonic() + min(took_s / FETCH_SHARE, MOST_PAUSE_S)
        self._waiting.update(((database, query), text or "") for database, query, text in texts)

    def work(self, wanted: Iterable[Statement], seconds: float = SLICE_S) -> None:
        """Turn texts into shapes for so long, those that are wanted first."""
        until = time.monotonic() + seconds
        for statement in [*(each for each in wanted if each in self._waiting), *self._waiting]:
            if time.monotonic() >= until:
                return
            text = self._waiting.pop(statement, None)
            if text is not None:
                digest = digest_query(text, Dialect.POSTGRES)
                self._shapes[statement] = self._digests.setdefault(digest.shape, digest)

    def keep(self, statements: Iterable[Statement]) -> None:
        """Forget statements that the server no longer counts, once they are more than those it does."""
        present = set(statements)
        if len(self._shapes) > 2 * len(present) + 1000:
            self._shapes = {each: digest for each, digest in self._shapes.items() if each in present}
            used = {digest.shape for digest in self._shapes.values()}
            self._digests = {shape: digest for shape, digest in self._digests.items() if shape in used}
            self._told = {place: at for place, at in self._told.items() if place[1] in used}

    def forget(self) -> None:
        """Another server numbers its statements anew."""
        self._shapes.clear()
        self._waiting.clear()
        self._next_fetch_s = float("-inf")

    def tell(self, used: Mapping[tuple[str, str], QueryDigest], at: datetime) -> list[QueryShape]:
        """The texts of shapes, by database and shape, that were not told of late."""
        present = time.monotonic()
        due = [place for place in used if present - self._told.get(place, float("-inf")) >= RETELL_S]
        self._told.update((place, present) for place in due)
        return [
            QueryShape(
                at=at,
                target=self._target,
                database=database and clean_name(database),
                shape=shape,
                category=used[database, shape].category,
                query=used[database, shape].query,
            )
            for database, shape in due
        ]
