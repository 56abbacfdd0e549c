"""What types cannot say of a batch: sane times and names, numbers that agree with their outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.errors import InvalidInputError
from warehouse.model import MAX_FUTURE, MAX_PAST, MAX_US, GapReason, JobState, Outcome
from warehouse.wire import SCHEMAS

_CHOICES: Mapping[str, frozenset[str]] = {
    "outcome": frozenset(Outcome),
    "reason": frozenset(GapReason),
    "state": frozenset(JobState),
    "direction": frozenset({"lower", "higher"}),
}
_MAY_BE_EMPTY = frozenset({"object", "unit", "text"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Incoming:
    """A batch that may be stored: every table checked and in its schema's shape."""

    batch_id: str
    source: str
    tables: Mapping[str, pa.Table]

    def rows(self, kind: str) -> int:
        """Rows of one kind."""
        return int(self.tables[kind].num_rows)


def check(batch_id: str, source: str, tables: Mapping[str, pa.Table], at: datetime) -> Incoming:
    """Check what types cannot say. Raises InvalidInputError naming table, column and row."""
    complete = {kind: tables.get(kind, schema.empty_table()) for kind, schema in SCHEMAS.items()}
    for kind, table in complete.items():
        for name in ("at", "until"):
            if name in table.column_names:
                _check_instants(kind, name, table, at)
        for field in table.schema:
            if pa.types.is_string(field.type):
                _check_text(kind, field.name, table)
    _check_attempts(complete["attempts"])
    _check_samples(complete["samples"])
    _refuse(complete["gaps"], "gaps", "missed", pc.less(complete["gaps"]["missed"], 1), "expected 1 or more")
    return Incoming(batch_id, source, complete)


def _check_instants(kind: str, name: str, table: pa.Table, at: datetime) -> None:
    column = table[name]
    early = pc.less(column, pa.scalar(at - MAX_PAST, pa.timestamp("ms", "UTC")))
    late = pc.greater(column, pa.scalar(at + MAX_FUTURE, pa.timestamp("ms", "UTC")))
    bounds = (
        f"within {MAX_PAST.days} days before and 1 hour after the warehouse's clock ({at:%Y-%m-%dT%H:%M:%SZ})"
    )
    _refuse(table, kind, name, pc.or_(early, late), f"expected a time {bounds}")


def _check_text(kind: str, name: str, table: pa.Table) -> None:
    longest = 2000 if name == "text" else 200
    for text in pc.unique(table[name]).to_pylist():
        if text is None:
            continue
        problem = ""
        if name in _CHOICES and text not in _CHOICES[name]:
            problem = f"expected one of {', '.join(sorted(_CHOICES[name]))}"
        elif not text and name not in _MAY_BE_EMPTY:
            problem = "expected a name, given an empty one"
        elif len(text) > longest:
            problem = f"expected at most {longest} characters, given {len(text)}"
        elif name != "text" and _CONTROL.search(text):
            problem = "expected no control characters"
        if problem:
            _refuse(table, kind, name, pc.equal(table[name], text), problem)


def _check_attempts(table: pa.Table) -> None:
    unfinished = pc.is_null(table["total_us"])
    ok = pc.equal(table["outcome"], Outcome.OK.value)
    timed_out = pc.equal(table["outcome"], Outcome.TIMEOUT.value)
    _refuse(table, "attempts", "total_us", pc.and_(ok, unfinished), "an ok attempt has a total")
    _refuse(
        table, "attempts", "total_us", pc.and_(timed_out, pc.invert(unfinished)), "a timeout has no total"
    )
    status = table["status"]
    _refuse(
        table,
        "attempts",
        "status",
        pc.fill_null(pc.or_(pc.less(status, 100), pc.greater(status, 999)), fill_value=False),
        "expected 100 to 999",
    )
    for name in ("dns_us", "connect_us", "tls_us", "first_byte_us", "total_us", "loop_lag_us", "deadline_us"):
        too_long = pc.fill_null(pc.greater(table[name], MAX_US), fill_value=False)
        _refuse(table, "attempts", name, too_long, f"expected at most {MAX_US}")
    negative = pc.fill_null(pc.less(table["bytes"], 0), fill_value=False)
    _refuse(table, "attempts", "bytes", negative, "expected 0 or more")


def _check_samples(table: pa.Table) -> None:
    value = table["value"]
    infinite = pc.fill_null(pc.invert(pc.is_finite(value)), fill_value=False)
    _refuse(table, "samples", "value", infinite, "expected a finite number")
    ok = pc.equal(table["outcome"], Outcome.OK.value)
    _refuse(table, "samples", "value", pc.and_(ok, pc.is_null(value)), "an ok sample has a value")
    failed = pc.and_(pc.invert(ok), pc.is_valid(value))
    _refuse(table, "samples", "value", failed, "a sample that is not ok has no value")


def _refuse(table: pa.Table, kind: str, name: str, wrong: pa.ChunkedArray, problem: str) -> None:
    """Refuse the batch when any row is wrong, naming the first one."""
    row = pc.index(wrong, pa.scalar(value=True)).as_py()
    if table.num_rows and row >= 0:
        raise InvalidInputError(problem, field=f"{kind}.{row}.{name}")
