"""The question what a baseline would have told on history, window by window or run by run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, StringConstraints, model_validator

from warehouse.model import Name
from warehouse.questions import again_runs, again_windows
from warehouse.questions.asking import Piece, Staged, Tables, Texts, Window, stored
from warehouse.questions.baseline_findings import BASELINE_ID, COLUMNS, Ruled, no_baseline

DAY_S = 86_400
JUDGED = pa.schema(
    [
        ("at", pa.timestamp("ms")),
        ("until", pa.timestamp("ms")),
        ("run_id", pa.string()),
        ("is_active", pa.bool_()),
        *COLUMNS,
    ]
)


class BaselineAgain(Window, Ruled):
    """A history of a target, and the baseline to judge it by; its active one unless one is named.

    Probes are judged in windows of `length_s` seconds, the last of which ends with the history; load tests
    each by itself. Changes count from `minimum` (a share) and `floor_ms` on; ones of `effect` must not be
    missed.
    """

    target: Name
    baseline_id: Annotated[str, StringConstraints(pattern=BASELINE_ID)] = ""
    length_s: Annotated[int, Field(ge=60, le=DAY_S)] = 3600
    endpoint: Texts = ()

    @model_validator(mode="after")
    def _long_enough(self) -> BaselineAgain:
        if (self.end - self.start).total_seconds() < self.length_s:
            raise ValueError("expected a history of at least one window")
        return self

    @property
    def history(self) -> again_windows.History:
        """What is judged of probes."""
        span = (stored(self.start), stored(self.end))
        return again_windows.History(self.target, self.endpoint, span, self.length_s)


def baseline_again(asked: BaselineAgain) -> Staged:
    """What a baseline would have told on history, beside the active one: each window or load test, judged.

    The rows of one window (`at`, `until`) or finished load test of the baseline's scenario (`run_id`) are
    those of `baseline_compare`, as if it had been asked then. `is_active`: they stand under the active
    baseline, which is judged by too where it is of the same kind. A row without measure says why nothing
    of it can be compared.
    """
    values = {"target": asked.target, "baseline": asked.baseline_id}
    return Staged(
        first=(
            Piece(
                "baselines",
                """
                SELECT baseline_id, name, kind, start_ts, until_ts, is_active FROM baseline
                WHERE target = $target AND (baseline_id = $baseline OR is_active)
                ORDER BY is_active
                """,
                values,
            ),
            Piece("tier", "SELECT raw_from FROM tier WHERE name = 'attempt'"),
            again_runs.candidates(asked.target, asked.baseline_id, stored(asked.start), stored(asked.end)),
        ),
        then=lambda tables: _then(asked, _pinned(asked, tables), tables),
        join=lambda tables: _joined(asked, _pinned(asked, tables), tables),
    )


def _pinned(asked: BaselineAgain, tables: Tables) -> list[dict[str, Any]]:
    """The baseline that is asked about, and the active one where that is another of the same kind."""
    rows: list[dict[str, Any]] = tables["baselines"].to_pylist()
    wanted = [row for row in rows if asked.baseline_id in ("", row["baseline_id"])]
    if not wanted:
        raise no_baseline(asked.target, asked.baseline_id)
    return [row for row in rows if row["kind"] == wanted[0]["kind"]]


def _then(asked: BaselineAgain, pinned: Sequence[dict[str, Any]], tables: Tables) -> Sequence[Piece]:
    if pinned[0]["kind"] == "runs":
        return [again_runs.piece([row["baseline_id"] for row in pinned], tables["candidates"])]
    return again_windows.pieces(asked.history, pinned, tables["tier"])


def _joined(asked: BaselineAgain, pinned: Sequence[dict[str, Any]], tables: Tables) -> pa.Table:
    """All rows: each window or run under each of the baselines."""
    if pinned[0]["kind"] == "runs":
        rows = again_runs.judged(asked.target, pinned, tables, asked.endpoint, asked.rules)
    else:
        rows = again_windows.judged(asked.history, pinned, tables, asked.rules)
    told = sorted(rows, key=lambda row: (row["at"], row["run_id"] or "", row["is_active"]))
    return pa.Table.from_pylist(told, JUDGED)
