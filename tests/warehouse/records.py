"""Records that tests send and their expectations share."""

from datetime import datetime, timedelta

from warehouse.model import Attempt, Outcome, Sample, now


def attempt(at: datetime | None = None, *, ms: float | None = 10.0, **fields: object) -> Attempt:
    """An ok attempt of `ms`, unless `fields` say otherwise; `ms=None` is a timeout."""
    known: dict[str, object] = {
        "at": at or now(),
        "target": "shop",
        "endpoint": "GET /",
        "outcome": Outcome.OK if ms is not None else Outcome.TIMEOUT,
        "total_us": None if ms is None else round(ms * 1000),
        "deadline_us": 3_000_000,
    }
    return Attempt.model_validate({**known, **fields})


def sample(at: datetime | None = None, value: float | None = 1.0, **fields: object) -> Sample:
    """An ok sample of a host's CPU, unless `fields` say otherwise."""
    known: dict[str, object] = {
        "at": at or now(),
        "kind": "host",
        "target": "box",
        "metric": "cpu_ratio",
        "unit": "ratio",
        "value": value,
    }
    return Sample.model_validate({**known, **fields})


def minute_ago(seconds: float = 60) -> datetime:
    """An instant shortly before now."""
    return now() - timedelta(seconds=seconds)
