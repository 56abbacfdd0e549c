"""What every question is made of: the window asked about, its buckets, and the statement it becomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from warehouse.model import Instant

MAX_BUCKETS = 300
"""Buckets a series on a chart: more than a screen can show."""

WIDTHS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(minutes * 60 for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * 3600 for hours in (1, 2, 3, 6, 12)),
    *(days * 86_400 for days in (1, 2, 7, 14)),
)
"""Widths a bucket may have, in seconds: those people read at a glance."""

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Windows lie between these: far enough for anything measured, near enough to be reckoned with."""


def _in_reach(instant: datetime) -> datetime:
    if not EARLIEST <= instant <= LATEST:
        raise ValueError(f"expected an instant from {EARLIEST:%Y} to {LATEST:%Y}")
    return instant


Edge = Annotated[Instant, AfterValidator(_in_reach)]
Text = Annotated[str, StringConstraints(max_length=200)]
Texts = Annotated[tuple[Text, ...], Field(max_length=200)]


@dataclass(frozen=True)
class Statement:
    """One SQL statement with bound values."""

    sql: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    order: str = ""
    raw: bool = False
    """Whether the answer is rows as they are stored, of any number: streamed, they are not sorted."""
    cold: bool = False
    """Whether `attempt` stands for the attempts of cold days too."""
    finish: Callable[[pa.Table], pa.Table] | None = None
    """What SQL cannot say: a pure function from the rows it found to the answer, which is short."""
    sizes: bool = False
    """Whether to bind what SQL cannot know: $file_bytes, $wal_bytes, and all of `Store.foresight`."""
    heard: bool = False
    """Whether to bind which sources sent a batch, stored or not, and when: $heard and $heard_at."""

    @property
    def streamed(self) -> str:
        """The statement as an export runs it: sorting raw rows would need them all in memory."""
        return self.sql if self.raw else self.ordered

    @property
    def ordered(self) -> str:
        """The statement with its rows in order."""
        return f"{self.sql}\nORDER BY {self.order}" if self.order else self.sql


@dataclass(frozen=True)
class Brief:
    """Finds the same as a piece at less cost, where its statement finds at most `most` rows."""

    sql: str
    most: int
    made: Callable[[pa.Table], pa.Table]
    """What is made of these, as pure as a piece's."""


@dataclass(frozen=True)
class Piece:
    """One of the statements that a question needs, by name."""

    name: str
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)
    stands: bool = False
    """Whether it reads nothing but series, tiers, what is dirty, cells and rows in these: see `stand`."""
    until: datetime | None = None
    """Before when all lies that it reads, where it reads no tiers and nothing that is dirty."""
    made: Callable[[pa.Table], pa.Table] | None = None
    """What is made of what its statement finds: pure, and always the same for the same statement."""
    brief: Brief | None = None
    """What is tried first."""


Tables = Mapping[str, pa.Table]
"""What pieces found, by their names."""


@dataclass(frozen=True)
class Staged(Statement):
    """A question in stages: what `first` finds decides what is read `then`; `join` makes the answer of it.

    All of it sees the rows of one moment. `then` and `join` are pure.
    """

    first: tuple[Piece, ...] = ()
    then: Callable[[Tables], Sequence[Piece]] = lambda _: ()
    join: Callable[[Tables], pa.Table] = lambda tables: next(iter(tables.values()))
    streams: bool = False
    """Whether `then` is one statement whose rows are the answer: exports have no end to their length."""

    def last(self, tables: Tables) -> Piece:
        """The one statement of an answer that streams."""
        (piece,) = self.then(tables)
        return piece

    def wrapped(self, wrap: Callable[[str], str]) -> Staged:
        """The same, with SQL around its last statement, whose rows are the answer then."""

        def then(tables: Tables) -> Sequence[Piece]:
            piece = self.last(tables)
            return [replace(piece, sql=wrap(piece.sql))]

        return replace(self, then=then, join=lambda tables: tables["told"])


class Asked(BaseModel):
    """Base of a question's parameters: checked, no unknown ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Asked):
    """A question without parameters."""


class Window(Asked):
    """From `start` to before `end`, instants with an offset."""

    start: Edge
    end: Edge

    @model_validator(mode="after")
    def _in_order(self) -> Window:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self

    def values(self, **more: Any) -> dict[str, Any]:
        """The values to bind: the window as the warehouse keeps instants, and `more`."""
        lists = {name: list(value) for name, value in more.items() if isinstance(value, tuple)}
        return {"start": stored(self.start), "end": stored(self.end), **more, **lists}


class Trend(Window):
    """A window cut into at most `buckets` of a width people can read."""

    buckets: Annotated[int, Field(ge=1, le=MAX_BUCKETS)] = MAX_BUCKETS

    @property
    def bucket_s(self) -> int:
        """Width of a bucket in seconds: the least of WIDTHS_S that gives at most `buckets`.

        Buckets lie on multiples of their width, so an unaligned window touches one more than it fills.
        """
        length = (self.end - self.start).total_seconds()
        room = max(1, self.buckets - 1)
        fitting = [width for width in WIDTHS_S if length / width <= room]
        return fitting[0] if fitting else math.ceil(length / room / 86_400) * 86_400

    def values(self, **more: Any) -> dict[str, Any]:
        """As of a window, and the bucket's width in milliseconds."""
        return super().values(bucket_ms=self.bucket_s * 1000, **more)


BUCKET = "make_timestamp_ms(epoch_ms(ts) // $bucket_ms * $bucket_ms)"
"""SQL for the bucket a row's `ts` lies in."""

IN_WINDOW = "ts >= $start AND ts < $end"
"""SQL for the rows of the window."""


RECENT = "ts >= now()::TIMESTAMP - INTERVAL 1 HOUR"
"""SQL for rows so new that finding them reads the end of a table only."""


def newest(table: str, series: str) -> str:
    """SQL for the newest row of each of the series (`series_id`, `newest_at`), reading as little as it can.

    Series with recent rows are answered from the end of the table; only the others are looked for in
    all of it. `series` is SQL that selects `series_id`.
    """
    return f"""
        WITH wanted AS ({series}),
        recent AS (
            SELECT series_id, max(ts) AS newest_at
            FROM {table}
            WHERE {RECENT} AND series_id IN (SELECT series_id FROM wanted)
            GROUP BY series_id
        )
        FROM recent
        UNION ALL
        SELECT series_id, max(ts)
        FROM {table}
        WHERE series_id IN (SELECT series_id FROM wanted ANTI JOIN recent USING (series_id))
        GROUP BY series_id
    """


def chosen(column: str, name: str) -> str:
    """SQL for a filter by a list of names, where an empty list means all. Both words are ours."""
    return f"(len(${name}::VARCHAR[]) = 0 OR list_contains(${name}::VARCHAR[], {column}))"


def stored(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
