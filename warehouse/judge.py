"""Judges a load test when all it measured is stored: its summary, its criteria, and its generator."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from warehouse.analysis.criteria import Result, Verdict, judge, overall, parse
from warehouse.analysis.generator import is_generator_bound
from warehouse.analysis.measured import Drops, Measures
from warehouse.analysis.requests import Requests
from warehouse.errors import TooManyRowsError
from warehouse.model import now
from warehouse.questions.asking import Statement
from warehouse.questions.run_series import beats_of, measured_of, steady_of
from warehouse.questions.runs import SUMMARY, numbers_of
from warehouse.reader import Reader
from warehouse.run_model import RunState
from warehouse.runs import change
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.store import Store
    from warehouse.writer import Writer

log = logging.getLogger(__name__)

DEADLINE_S = 120.0
MOST_REQUESTS = 30_000_000
"""Requests that criteria are judged over, at 26 bytes each; of more none is."""

NO_CRITERIA = "no criteria"
STOPPED_BY = "stopped by a criterion: "
"""How the load generator's reason begins when it ended the run itself."""


class Judge:
    """Reads what a run measured, and has the writer note what follows from it."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._writer = writer
        self._reader = Reader(store, deadline_s=DEADLINE_S, row_cap=MOST_REQUESTS, slots=1)
        self._one = threading.Lock()

    def judge_due(self) -> None:
        """Judge every run whose spool is stored and that was not judged since."""
        with self._one:
            due = self._rows(
                Statement("SELECT run_id FROM run WHERE complete_at IS NOT NULL AND judged_at IS NULL")
            )
            for row in due:
                try:
                    self._judge(row["run_id"])
                except Exception:  # whatever it is, an agent must be able to hand in its run
                    log.exception("run %s is not judged yet", row["run_id"])

    def _judge(self, run_id: str) -> None:
        (run,) = self._rows(
            Statement(
                """
                SELECT plan, state, reason, raw_deleted_at IS NOT NULL AS is_deleted,
                    run_no IN (SELECT run_no FROM run_tier) AS has_cells,
                    coalesce(greatest(
                        epoch_ms(coalesce(ended_at, heartbeat_at)) - epoch_ms(started_at), 0
                    ) / 1000, 0) AS length_s
                FROM run WHERE run_id = $run_id
                """,
                {"run_id": run_id},
            )
        )
        if run["is_deleted"]:
            # rows that came late are in its numbers; its criteria were judged by all requests there were
            summary = {"summary": json.dumps(self._summary(run_id))} if run["has_cells"] else {}
            self._note(run_id, {**summary, "judged_at": _judged_at()})
            return
        beats = self._reader.answer(beats_of(run_id))
        results = self._results(run_id, run, beats)
        verdict = verdict_of(results, run["state"])
        columns = {
            "summary": json.dumps(self._summary(run_id)),
            "criteria": json.dumps([asdict(result) for result in results]),
            "verdict": verdict.value,
            "is_generator_bound": is_generator_bound(
                _numbers(beats, "worker").astype(np.int64),
                _numbers(beats, "at_s"),
                _numbers(beats, "users").astype(np.int64),
                _numbers(beats, "cpu_ratio"),
                _numbers(beats, "dropped").astype(np.int64),
            ),
            "judged_at": _judged_at(),
        }
        if not results and not run["reason"]:
            columns["reason"] = NO_CRITERIA
        self._note(run_id, columns)

    def _note(self, run_id: str, columns: dict[str, Any]) -> None:
        def note(connection: DuckDBPyConnection) -> None:
            with transaction(connection):
                change(connection, run_id, columns)

        self._writer.submit(note).result()

    def _summary(self, run_id: str) -> dict[str, Any]:
        """The numbers of `questions.runs.SUMMARY`."""
        (numbers,) = self._rows(numbers_of(run_id))
        (steady,) = self._rows(steady_of(run_id))
        known = {**numbers, **{f"steady_{name}": value for name, value in steady.items()}}
        return {name: known[name] for name in SUMMARY}

    def _results(self, run_id: str, run: dict[str, Any], beats: pa.Table) -> list[Result]:
        plan = json.loads(run["plan"])
        criteria = [parse(text) for text in plan["criteria"]]
        if not criteria:
            return []
        try:
            rows = self._reader.answer(measured_of(run_id))
        except TooManyRowsError:
            why = f"more than {MOST_REQUESTS:,} requests"
            return [Result(each.text, Verdict.NO_DATA, None, 0, why) for each in criteria]
        measures = Measures(
            Requests.of_columns(
                _numbers(rows, "at_s"),
                _numbers(rows, "corrected_us"),
                rows["outcome"].to_numpy(),
                _numbers(rows, "endpoint"),
            ),
            _labels(plan),
            run["length_s"],
            drops_of(beats),
        )
        return [_as_stopped(result, run["reason"]) for result in judge(criteria, measures)]

    def _rows(self, statement: Statement) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._reader.answer(statement).to_pylist()
        return rows


def _judged_at() -> datetime:
    return now().replace(tzinfo=None)


def verdict_of(results: list[Result], state: str) -> Verdict:
    """The verdict of a run. One that did not come to its end does not pass; nor does one without criteria."""
    verdict = overall(results) or Verdict.NO_DATA
    if verdict is Verdict.PASS and state != RunState.FINISHED:
        return Verdict.NO_DATA
    return verdict


def drops_of(beats: pa.Table) -> Drops:
    """How many arrivals all processes together had dropped at each beat."""
    at_s, worker, dropped = (_numbers(beats, name) for name in ("at_s", "worker", "dropped"))
    order = np.argsort(at_s, kind="stable")
    latest: dict[float, float] = {}
    totals = []
    for place in order:
        latest[worker[place]] = dropped[place]
        totals.append(sum(latest.values()))
    return Drops(at_s[order], np.array(totals, dtype=np.float64))


def _as_stopped(result: Result, reason: str) -> Result:
    """A criterion by which the generator ended the run is broken: it looked at other windows than we do."""
    begin = f"{STOPPED_BY}{result.text}: "
    if result.verdict is Verdict.FAIL or not reason.startswith(begin):
        return result
    return replace(result, verdict=Verdict.FAIL, why=f"{reason.removeprefix(begin)}; it ended the run")


def _labels(plan: dict[str, Any]) -> dict[int, str]:
    return {request["endpoint"]: request["label"] for request in plan["requests"]}


def _numbers(table: pa.Table, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers: np.ndarray[Any, np.dtype[np.float64]] = table[name].to_numpy().astype(np.float64)
    return numbers
