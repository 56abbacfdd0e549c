"""The question how a window or a load test compares with a baseline of its target."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import StringConstraints, model_validator

from warehouse.analysis.baseline import judge
from warehouse.analysis.stretches import Interval, Stretches, stretches
from warehouse.errors import InvalidInputError
from warehouse.model import Name
from warehouse.questions import baseline_attempts, baseline_runs, baseline_series
from warehouse.questions.asking import Edge, Piece, Staged, Tables, Texts, stored
from warehouse.questions.baseline_findings import BASELINE_ID, COLUMNS, Ruled, common, no_baseline, row
from warehouse.run_model import RUN_ID

LONGEST = timedelta(days=1)
"""How long a window may be that is compared."""

FINDINGS = pa.schema(list(COLUMNS))

Run = Annotated[str, StringConstraints(pattern=RUN_ID)]


class BaselineCompare(Ruled):
    """A window (start, end) or a load test (run) of a target; its active baseline unless one is named.

    Changes count from `minimum` (a share) and `floor_ms` on; ones of `effect` must not be missed.
    """

    target: Name
    baseline_id: Annotated[str, StringConstraints(pattern=BASELINE_ID)] = ""
    start: Edge | None = None
    end: Edge | None = None
    run: Run | None = None
    endpoint: Texts = ()

    @model_validator(mode="after")
    def _one_thing(self) -> BaselineCompare:
        is_window = self.start is not None and self.end is not None
        if is_window == (self.run is not None) or (self.start is None) != (self.end is None):
            raise ValueError("expected start and end, or run")
        if self.start is not None and self.end is not None:
            if self.end <= self.start:
                raise ValueError("end must be after start")
            if self.end - self.start > LONGEST:
                raise ValueError(f"expected a window of at most {LONGEST.days * 24} hours")
        return self

    @property
    def window(self) -> Interval:
        """As the warehouse keeps instants."""
        if self.start is None or self.end is None:
            raise AssertionError("a run has no window")
        return stored(self.start), stored(self.end)


def baseline_compare(asked: BaselineCompare) -> Staged:
    """How a window or load test compares with a baseline: per endpoint and measure a verdict, and why.

    The verdict is regressed, improved, no_change or not_enough_data; an empty endpoint is the median over
    all (p50, p95, p99), or all together (throughput). A period is cut into stretches as long as the window,
    at the same time of day where it is long enough (`how`); each is a run. `size` is relative to `baseline`,
    of errors a difference of shares, with a 95 % interval; `detectable` is the least size that would have
    been told. Refused, saying why, where there is no baseline or the two cannot be compared.
    """
    return Staged(
        first=(
            Piece(
                "baseline",
                """
                SELECT baseline_id, name, kind, start_ts, until_ts FROM baseline
                WHERE target = $target AND (baseline_id = $baseline OR $baseline = '' AND is_active)
                """,
                {"target": asked.target, "baseline": asked.baseline_id},
            ),
            Piece("tier", "SELECT raw_from FROM tier WHERE name = 'attempt'"),
        ),
        then=lambda tables: _then(asked, _pinned(asked, tables), tables),
        join=lambda tables: _told(asked, _pinned(asked, tables), tables),
    )


def _pinned(asked: BaselineCompare, tables: Tables) -> dict[str, Any]:
    """The baseline's row. Raises InvalidInputError where there is none, or of another kind."""
    rows: list[dict[str, Any]] = tables["baseline"].to_pylist()
    if not rows:
        raise no_baseline(asked.target, asked.baseline_id)
    wanted: Literal["runs", "period"] = "period" if asked.run is None else "runs"
    if rows[0]["kind"] != wanted:
        is_period = wanted == "period"
        raise InvalidInputError(
            f"the baseline {rows[0]['name']} is of {'load tests' if is_period else 'a period of probes'}",
            field="run" if is_period else "baseline_id",
            hint="Probes are compared with periods, load tests with load tests.",
        )
    return rows[0]


def _then(asked: BaselineCompare, pinned: dict[str, Any], tables: Tables) -> Sequence[Piece]:
    if asked.run is not None:
        return [baseline_runs.piece([pinned["baseline_id"]], [asked.run])]
    raw_from = (tables["tier"].to_pylist() or [{"raw_from": None}])[0]["raw_from"]
    if raw_from is not None and asked.window[0] < raw_from:
        raise InvalidInputError(
            f"single attempts before {raw_from:%Y-%m-%d %H:%M} UTC are deleted",
            field="start",
            hint="Compare a later window.",
        )
    intervals = (*_cut(asked, pinned).intervals, asked.window)
    return [baseline_attempts.piece(asked.target, asked.endpoint, intervals)]


def _cut(asked: BaselineCompare, pinned: dict[str, Any]) -> Stretches:
    """The stretches of a period. Raises InvalidInputError where it is shorter than the window."""
    cut = stretches((pinned["start_ts"], pinned["until_ts"]), asked.window)
    if not cut.intervals:
        raise InvalidInputError(
            f"the baseline {pinned['name']} is shorter than the window, or the window lies in it",
            field="start",
            hint="Compare a shorter window, or pin a longer period.",
        )
    return cut


def _told(asked: BaselineCompare, pinned: dict[str, Any], tables: Tables) -> pa.Table:
    """The findings as rows."""
    if asked.run is not None:
        runs = baseline_runs.members(tables["runs"])
        now = runs.pop(asked.run, None)
        if now is None:
            raise InvalidInputError(
                f"there is no run {asked.run}", field="run", hint="It may have been deleted."
            )
        series, how = baseline_runs.series(now, [*runs.values()], baseline_runs.Cuts(asked.endpoint))
    else:
        cut = _cut(asked, pinned)
        span_s = (asked.window[1] - asked.window[0]) / timedelta(seconds=1)
        told = baseline_series.told_of_stretches(tables["requests"], len(cut.intervals) + 1, span_s)
        series, how = baseline_series.of_runs(told), cut.how
    shared = common(asked.target, pinned, how)
    return pa.Table.from_pylist([shared | row(each) for each in judge(series, asked.rules)], FINDINGS)
