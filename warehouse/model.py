"""The frozen records that are measured, sent and stored, and the words they use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MAX_FUTURE = timedelta(hours=1)
"""How far a sample may lie ahead of the warehouse's clock."""

MAX_PAST = timedelta(days=400)
"""How far a sample may lie behind the warehouse's clock: the longest retention."""

MAX_US = 4_294_967_294
"""The longest duration that fits (about 71 minutes), in microseconds."""

SERIES_PER_SOURCE = 10_000
"""Series a source may create; what overflows is counted under one series named `other`."""

SHAPES_PER_SOURCE = 20_000
"""Query shapes a source may create; what overflows is summed under one shape named `other`."""

LONGEST_VERSION = 100
"""Characters of a version that a target tells."""

LONGEST_QUERY = 20_000
"""Characters of a query's text that are kept."""


class Outcome(StrEnum):
    """How one attempt or sample ended. Everything but `ok` is a failure of its own kind."""

    OK = "ok"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    BAD_STATUS = "bad_status"
    ASSERTION = "assertion"
    ERROR = "error"
    NOT_MEASURABLE = "not_measurable"


class GapReason(StrEnum):
    """Why samples that were due do not exist."""

    MISSED = "missed"
    OVERLAP = "overlap"
    CLOCK_STEP = "clock_step"
    SPOOL_FULL = "spool_full"
    REFUSED = "refused"
    DOWN = "down"


class JobState(StrEnum):
    """State of a collector's job, as its events tell it."""

    OK = "ok"
    FAILING = "failing"


class Engine(StrEnum):
    """What kind of database server answers."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    MARIADB = "mariadb"
    REDIS = "redis"


class DatabaseCondition(StrEnum):
    """How one part of what is watched in a database server does. Each has an advice of its own."""

    OK = "ok"
    DOWN = "down"
    STARTING = "starting"
    TIMEOUT = "timeout"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a state's name
    NO_DATABASE = "no_database"
    NO_PRIVILEGE = "no_privilege"
    NOT_LOADED = "not_loaded"
    MISSING_EXTENSION = "missing_extension"
    FULL = "full"
    TLS = "tls"
    INCOMPLETE = "incomplete"
    NOT_MEASURABLE = "not_measurable"
    ERROR = "error"


class QueryCategory(StrEnum):
    """What a query shape does."""

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    TRANSACTION = "transaction"
    UTILITY = "utility"
    UNKNOWN = "unknown"


class LatencyMethod(StrEnum):
    """Where the durations of single executions come from."""

    ACTIVITY = "activity"
    SERVER_HISTOGRAM = "server_histogram"


def _parse_instant(value: object) -> object:
    """Read ISO 8601 text; anything else is left to the type."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("expected an ISO 8601 instant with an offset, as 2026-11-23T12:00:00Z") from None
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_parse_instant)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
OptionalName = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Micros = Annotated[int, Field(ge=0, le=MAX_US)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[float, Field(ge=0)]
Shape = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9a-z]+$")]
Query = Annotated[str, StringConstraints(max_length=LONGEST_QUERY)]


class Record(BaseModel):
    """Base of all records: frozen, strict, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    at: Instant


class Sample(Record):
    """One number of one series at one instant. `value` is None when `outcome` is not ok."""

    kind: Name
    target: Name
    object: OptionalName = ""
    metric: Name
    unit: OptionalName
    value: float | None = None
    outcome: Outcome = Field(default=Outcome.OK, strict=False)
    direction: Literal["lower", "higher"] | None = None


class Attempt(Record):
    """One probe attempt is one row. Durations in microseconds; a phase that was not reached is None.

    `total_us` runs from the first byte sent (on a fresh connection: from connect) to the last byte
    received, and is None when the answer never came to its end. `deadline_us` says above what a
    timeout counts.
    """

    target: Name
    endpoint: Name
    outcome: Outcome = Field(strict=False)
    status: Annotated[int, Field(ge=100, le=999)] | None = None
    dns_us: Micros | None = None
    connect_us: Micros | None = None
    tls_us: Micros | None = None
    first_byte_us: Micros | None = None
    total_us: Micros | None = None
    bytes: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    loop_lag_us: Micros | None = None
    deadline_us: Micros


class Gap(Record):
    """Samples that were due from `at` to `until` and do not exist."""

    until: Instant
    job: Name
    reason: GapReason = Field(strict=False)
    missed: Annotated[int, Field(ge=1, lt=2**31)]


class Event(Record):
    """A job's change of state, with the reason in words free of secrets."""

    job: Name
    state: JobState = Field(strict=False)
    text: Annotated[str, StringConstraints(max_length=2000)]


class QueryShape(Record):
    """A query without its literals, first seen at `at`. `shape` is the digest of `query`.

    Sent again, only a text that was missing is filled in.
    """

    target: Name
    database: OptionalName
    shape: Shape
    category: QueryCategory = Field(strict=False)
    query: Query


class QueryStat(Record):
    """What the calls of one shape that ended between `since` and `at` took together (durations in µs).

    `squares_us2` is the sum of the squared durations, from which a standard deviation follows. No call
    took less than `min_us` or more than `ceiling_us`; `max_us` is the longest one where it is known to
    be of this interval. `is_partial`: the counters were reset within it, so the true numbers are higher.
    What the server does not tell is None.
    """

    since: Instant
    target: Name
    database: OptionalName
    shape: Shape
    calls: Annotated[int, Field(ge=1, lt=2**63)]
    total_us: Amount
    squares_us2: Amount | None = None
    min_us: Amount | None = None
    max_us: Amount | None = None
    ceiling_us: Amount | None = None
    rows: Count | None = None
    blocks_hit: Count | None = None
    blocks_read: Count | None = None
    blocks_dirtied: Count | None = None
    blocks_written: Count | None = None
    temp_blocks: Count | None = None
    io_us: Amount | None = None
    wal_bytes: Count | None = None
    errors: Count | None = None
    unindexed: Count | None = None
    is_partial: bool = False


class QueryLatency(Record):
    """So many calls that ended between `since` and `at` took from `low_us` to `high_us` (None: no bound).

    `activity` tells only of those long enough to be seen; how many there were in all, QueryStat does.
    """

    since: Instant
    target: Name
    database: OptionalName
    method: LatencyMethod = Field(strict=False)
    low_us: Amount
    high_us: Amount | None = None
    calls: Annotated[int, Field(ge=1, lt=2**63)]


class LockWait(Record):
    """One session that waits for another at `at`. A shape is empty where it is not known."""

    target: Name
    database: OptionalName
    waiter_pid: Count
    waiter_user: OptionalName
    waiter_application: OptionalName
    waiter_shape: Shape | None = None
    waited_us: Count | None = None
    lock: OptionalName
    mode: OptionalName
    relation: OptionalName
    blocker_pid: Count
    blocker_user: OptionalName
    blocker_application: OptionalName
    blocker_state: OptionalName
    blocker_shape: Shape | None = None
    blocker_transaction_us: Count | None = None


class DatabaseState(Record):
    """How one part of a database's watch does from `at` on, in words free of secrets.

    Parts are `connection`, `statements`, `activity` and whatever else a collector reads. Told at every
    change and now and then in between.
    """

    target: Name
    engine: Engine = Field(strict=False)
    part: Name
    state: DatabaseCondition = Field(strict=False)
    text: Annotated[str, StringConstraints(max_length=2000)]


class Version(Record):
    """From `at` on a target's answers tell this version of it. Told at every change, and once at first."""

    target: Name
    version: Annotated[
        str, StringConstraints(min_length=1, max_length=LONGEST_VERSION, pattern=r"^[^\x00-\x1f\x7f]+$")
    ]


class Batch(BaseModel):
    """What one collector sends at once: stored whole, once, or not at all."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    batch_id: Annotated[str, StringConstraints(min_length=8, max_length=100, pattern=r"^[A-Za-z0-9_.:-]+$")]
    source: Name | None = None
    samples: Annotated[tuple[Sample, ...], Field(strict=False)] = ()
    attempts: Annotated[tuple[Attempt, ...], Field(strict=False)] = ()
    gaps: Annotated[tuple[Gap, ...], Field(strict=False)] = ()
    events: Annotated[tuple[Event, ...], Field(strict=False)] = ()
    query_shapes: Annotated[tuple[QueryShape, ...], Field(strict=False)] = ()
    query_stats: Annotated[tuple[QueryStat, ...], Field(strict=False)] = ()
    query_latencies: Annotated[tuple[QueryLatency, ...], Field(strict=False)] = ()
    lock_waits: Annotated[tuple[LockWait, ...], Field(strict=False)] = ()
    database_states: Annotated[tuple[DatabaseState, ...], Field(strict=False)] = ()
    versions: Annotated[tuple[Version, ...], Field(strict=False)] = ()

    @property
    def rows(self) -> list[Record]:
        """All rows, kind by kind."""
        return [row for kind in RECORDS for row in getattr(self, kind)]

    def __len__(self) -> int:
        return len(self.rows)


RECORDS: Mapping[str, type[Record]] = {
    "attempts": Attempt,
    "samples": Sample,
    "gaps": Gap,
    "events": Event,
    "query_shapes": QueryShape,
    "query_stats": QueryStat,
    "query_latencies": QueryLatency,
    "lock_waits": LockWait,
    "database_states": DatabaseState,
    "versions": Version,
}
"""The kinds of rows a batch may hold, each with its record."""


class Receipt(BaseModel):
    """What the warehouse says of a batch. `stored` is False when the batch was there already."""

    batch_id: str
    stored: bool
    attempts: int
    samples: int
    gaps: int = 0
    events: int = 0
    database_rows: int = 0
    overflowed: int = 0


def now() -> datetime:
    """The present instant in UTC, with millisecond precision: what the warehouse stores."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
