"""What types cannot say of a batch: sane times and names, numbers that agree with their outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.errors import InvalidInputError
from warehouse.model import (
    LONGEST_QUERY,
    LONGEST_VERSION,
    MAX_FUTURE,
    MAX_PAST,
    MAX_US,
    DatabaseCondition,
    Engine,
    GapReason,
    JobState,
    LatencyMethod,
    Outcome,
    QueryCategory,
)
from warehouse.wire import SCHEMAS

_CHOICES: Mapping[str, frozenset[str]] = {
    "outcome": frozenset(Outcome),
    "reason": frozenset(GapReason),
    "events.state": frozenset(JobState),
    "database_states.state": frozenset(DatabaseCondition),
    "engine": frozenset(Engine),
    "category": frozenset(QueryCategory),
    "method": frozenset(LatencyMethod),
    "direction": frozenset({"lower", "higher"}),
}
_MAY_BE_EMPTY = frozenset(
    {
        *("object", "unit", "text", "query", "database", "relation", "lock", "mode"),
        *("waiter_user", "waiter_application", "blocker_user", "blocker_application", "blocker_state"),
    }
)
_PROSE = {"text": 2000, "query": LONGEST_QUERY}
"""Columns of any text, and how long it may be; all others hold names."""

LONGEST_NAME = 200
_SHORTER = {"version": LONGEST_VERSION}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHAPE = re.compile(r"[0-9a-z]{1,64}")
_OF_DATABASES = ("query_stats", "query_latencies", "lock_waits")


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
        for name in ("at", "until", "since"):
            if name in table.column_names:
                _check_instants(kind, name, table, at)
        for field in table.schema:
            if pa.types.is_string(field.type):
                _check_text(kind, field.name, table)
    _check_attempts(complete["attempts"])
    _check_samples(complete["samples"])
    for kind in _OF_DATABASES:
        _check_amounts(kind, complete[kind])
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
    longest = _PROSE.get(name) or _SHORTER.get(name, LONGEST_NAME)
    choices = _CHOICES.get(name) or _CHOICES.get(f"{kind}.{name}")
    for text in pc.unique(table[name]).to_pylist():
        if text is None:
            continue
        problem = ""
        if choices is not None and text not in choices:
            problem = f"expected one of {', '.join(sorted(choices))}"
        elif not text and name not in _MAY_BE_EMPTY:
            problem = "expected a name, given an empty one"
        elif len(text) > longest:
            problem = f"expected at most {longest} characters, given {len(text)}"
        elif name not in _PROSE and _CONTROL.search(text):
            problem = "expected no control characters"
        elif name.endswith("shape") and not _SHAPE.fullmatch(text):
            problem = "expected at most 64 digits and small letters"
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


def _check_amounts(kind: str, table: pa.Table) -> None:
    """Counts and durations of databases: finite, not negative, and of at least one call."""
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_floating(field.type):
            wrong = pc.or_(pc.invert(pc.is_finite(column)), pc.less(column, 0))
        elif pa.types.is_integer(field.type):
            wrong = pc.less(column, 1 if field.name == "calls" else 0)
        else:
            continue
        least = "1 or more" if field.name == "calls" else "a number of 0 or more"
        _refuse(table, kind, field.name, pc.fill_null(wrong, fill_value=False), f"expected {least}")
    if "since" in table.column_names:
        _refuse(
            table, kind, "since", pc.greater(table["since"], table["at"]), "expected an instant before at"
        )


def _refuse(table: pa.Table, kind: str, name: str, wrong: pa.ChunkedArray, problem: str) -> None:
    """Refuse the batch when any row is wrong, naming the first one."""
    row = pc.index(wrong, pa.scalar(value=True)).as_py()
    if table.num_rows and row >= 0:
        raise InvalidInputError(problem, field=f"{kind}.{row}.{name}")
