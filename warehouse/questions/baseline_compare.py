"""The question how a window or a load test compares with a baseline of its target."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, StringConstraints, model_validator

from warehouse.analysis.baseline import Finding, Rules, judge
from warehouse.analysis.stretches import Interval, Stretches, stretches
from warehouse.baseline_rows import EVERY
from warehouse.errors import InvalidInputError
from warehouse.model import Name
from warehouse.questions import baseline_runs, baseline_series
from warehouse.questions.asking import Asked, Edge, Piece, Staged, Tables, Texts, chosen, stored
from warehouse.run_model import RUN_ID

LONGEST = timedelta(days=1)
"""How long a window may be that is compared."""

BASELINE_ID = r"^(b[0-9]{14}-[0-9a-f]{6})?$"

FINDINGS = pa.schema(
    [
        *((name, pa.string()) for name in ("target", "baseline_id", "name", "endpoint", "measure", "unit")),
        *((name, pa.string()) for name in ("verdict", "why")),
        *((name, pa.float64()) for name in ("baseline", "now")),
        ("now_above", pa.bool_()),
        *((name, pa.float64()) for name in ("size", "low", "high", "detectable", "p_value")),
        *((name, pa.int64()) for name in ("n", "n_baseline", "runs")),
        *((name, pa.string()) for name in ("how", "tier", "source")),
        ("error_bound", pa.float64()),
    ]
)

Run = Annotated[str, StringConstraints(pattern=RUN_ID)]


class BaselineCompare(Asked):
    """A window (start, end) or a load test (run) of a target; its active baseline unless one is named.

    Changes count from `minimum` (a share) and `floor_ms` on; ones of `effect` must not be missed.
    """

    target: Name
    baseline_id: Annotated[str, StringConstraints(pattern=BASELINE_ID)] = ""
    start: Edge | None = None
    end: Edge | None = None
    run: Run | None = None
    endpoint: Texts = ()
    minimum: Annotated[float, Field(gt=0, le=10)] = Rules().minimum
    floor_ms: Annotated[float, Field(ge=0, le=60_000)] = Rules().floor_ms
    effect: Annotated[float, Field(gt=0, le=10)] = Rules().effect

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

    @property
    def rules(self) -> Rules:
        return Rules(minimum=self.minimum, floor_ms=self.floor_ms, effect=self.effect)


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
        named = asked.baseline_id
        raise InvalidInputError(
            f"{asked.target} has no baseline {named}".rstrip(),
            field="target",
            hint="Pin one: `perfhouse baseline pin`.",
        )
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
        return [baseline_runs.piece(pinned["baseline_id"], asked.run)]
    raw_from = (tables["tier"].to_pylist() or [{"raw_from": None}])[0]["raw_from"]
    if raw_from is not None and asked.window[0] < raw_from:
        raise InvalidInputError(
            f"single attempts before {raw_from:%Y-%m-%d %H:%M} UTC are deleted",
            field="start",
            hint="Compare a later window.",
        )
    return [_attempts(asked, (*_cut(asked, pinned).intervals, asked.window))]


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


def _attempts(asked: BaselineCompare, intervals: Sequence[Interval]) -> Piece:
    """Single attempts of each stretch and endpoint as one list; the last stretch is the window."""
    return Piece(
        "requests",
        f"""
        WITH chosen AS (
            SELECT series_id, object AS endpoint FROM series
            WHERE kind = 'probe' AND target = $target AND {chosen("object", "endpoint")}
        ),
        stretch AS (
            SELECT unnest(range(len($starts::TIMESTAMP_MS[]))) AS run,
                unnest($starts::TIMESTAMP_MS[]) AS start_ts, unnest($ends::TIMESTAMP_MS[]) AS until_ts
        ),
        near AS (
            SELECT * FROM {EVERY} WHERE ts >= $first AND ts < $last
                AND series_id IN (SELECT series_id FROM chosen)
        )
        SELECT run, endpoint, list({{
            'at_s': (epoch_ms(ts) - epoch_ms(start_ts)) / 1000, 'outcome': outcome::VARCHAR, 'endpoint': 0,
            'corrected_us': coalesce(if(outcome = 'timeout', deadline_us, total_us), 0)::BIGINT
        }}) AS requests
        FROM near JOIN stretch ON ts >= start_ts AND ts < until_ts JOIN chosen USING (series_id)
        GROUP BY ALL
        """,
        {
            "target": asked.target,
            "endpoint": list(asked.endpoint),
            "starts": [start for start, _ in intervals],
            "ends": [end for _, end in intervals],
            "first": min(start for start, _ in intervals),
            "last": max(end for _, end in intervals),
        },
    )


def _told(asked: BaselineCompare, pinned: dict[str, Any], tables: Tables) -> pa.Table:
    """The findings as rows."""
    if asked.run is not None:
        series, how = baseline_runs.series(tables["runs"], asked.run, asked.endpoint)
    else:
        cut = _cut(asked, pinned)
        span_s = (asked.window[1] - asked.window[0]) / timedelta(seconds=1)
        series, how = baseline_series.of_stretches(tables["requests"], len(cut.intervals), span_s), cut.how
    common = {
        "target": asked.target,
        "baseline_id": pinned["baseline_id"],
        "name": pinned["name"],
        "how": how,
        "tier": "raw",
        "source": "probe" if asked.run is None else "load test",
        "error_bound": 0.0,
    }
    return pa.Table.from_pylist([common | _row(each) for each in judge(series, asked.rules)], FINDINGS)


def _row(found: Finding) -> dict[str, Any]:
    return {
        "endpoint": found.endpoint,
        "measure": found.measure,
        "unit": found.unit,
        "verdict": found.verdict.value,
        "why": found.why,
        "baseline": found.baseline,
        "now": found.now,
        "now_above": found.now_is_above,
        "size": found.size,
        "low": found.low,
        "high": found.high,
        "detectable": found.detectable,
        "p_value": found.p,
        "n": found.n_now,
        "n_baseline": found.n_baseline,
        "runs": found.runs,
    }
