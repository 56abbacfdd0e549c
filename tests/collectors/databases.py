"""Settings and answers that the tests of the database collectors share."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors.record import Row
from warehouse.fields import Secret
from warehouse.model import DatabaseState, Outcome, Sample
from warehouse.settings import DatabaseSettings


def settings_of(engine: str, url: str, folder: Path, **more: object) -> DatabaseSettings:
    """A database whose address lies in a file of `folder`."""
    file = folder / f"{engine}-{time.monotonic_ns()}.url"
    file.write_text(url, encoding="utf-8")
    known = {"name": "main", "engine": engine, "url": Secret(file=file), "deadline_s": 3.0}
    return DatabaseSettings.model_validate({**known, **more})


def numbers(rows: Sequence[Row], thing: str = "") -> dict[str, float]:
    """The values of one object's samples by metric."""
    return {
        row.metric: row.value
        for row in rows
        if isinstance(row, Sample) and row.object == thing and row.value is not None
    }


def unmeasured(rows: Sequence[Row]) -> set[str]:
    """The metrics that cannot be measured there."""
    return {row.metric for row in rows if isinstance(row, Sample) and row.outcome is Outcome.NOT_MEASURABLE}


def states(rows: Sequence[Row]) -> dict[str, str]:
    """The state of each part that was told."""
    return {row.part: row.state.value for row in rows if isinstance(row, DatabaseState)}


def texts(rows: Sequence[Row]) -> str:
    """Everything the rows hold, for looking for what must not be there."""
    return "\n".join(row.model_dump_json() for row in rows)


approx = pytest.approx
