"""What the warehouse tells of itself: events of its own, stored like a collector's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from warehouse import checks, wire
from warehouse.model import Batch, Event, JobState, now

SOURCE = "warehouse"
"""Under which source the warehouse's own events are stored."""

LONGEST_TEXT = 2000
A_MOMENT = timedelta(milliseconds=1)


def event(job: str, state: JobState, text: str) -> Event:
    """An event of now."""
    return Event(at=now(), job=job, state=state, text=text[:LONGEST_TEXT])


def told_and_over(job: str, text: str, after: str) -> list[Event]:
    """Something that happened and is over: failing, and in the next moment ok again."""
    failing = event(job, JobState.FAILING, text)
    return [failing, Event(at=failing.at + A_MOMENT, job=job, state=JobState.OK, text=after)]


def batch_of(events: Sequence[Event]) -> checks.Incoming:
    """The events as a batch that may be stored."""
    batch = Batch(batch_id=f"own-{uuid4().hex}", source=SOURCE, events=tuple(events))
    batch_id, tables = wire.unpack_arrow(batch.batch_id, wire.pack(batch))
    return checks.check(batch_id, SOURCE, tables, now())
