"""The frozen records that are measured, sent and stored, and the words they use."""

from __future__ import annotations

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


class Batch(BaseModel):
    """What one collector sends at once: stored whole, once, or not at all."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    batch_id: Annotated[str, StringConstraints(min_length=8, max_length=100, pattern=r"^[A-Za-z0-9_.:-]+$")]
    source: Name | None = None
    samples: Annotated[tuple[Sample, ...], Field(strict=False)] = ()
    attempts: Annotated[tuple[Attempt, ...], Field(strict=False)] = ()
    gaps: Annotated[tuple[Gap, ...], Field(strict=False)] = ()
    events: Annotated[tuple[Event, ...], Field(strict=False)] = ()

    def __len__(self) -> int:
        return len(self.samples) + len(self.attempts) + len(self.gaps) + len(self.events)


class Receipt(BaseModel):
    """What the warehouse says of a batch. `stored` is False when the batch was there already."""

    batch_id: str
    stored: bool
    attempts: int
    samples: int
    gaps: int = 0
    events: int = 0
    overflowed: int = 0


def now() -> datetime:
    """The present instant in UTC, with millisecond precision: what the warehouse stores."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
