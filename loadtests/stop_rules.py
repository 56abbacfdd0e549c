"""Criteria that end a run: looked at each second over what the spool holds of their last window."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtests.spool_format import FIELDS, OUTCOMES, used
from warehouse.analysis.criteria import Criterion, Metric, Verdict, parse, told
from warehouse.analysis.measured import Drops, Measures
from warehouse.analysis.requests import Requests, whole_seconds
from warehouse.model import Outcome
from warehouse.plan import PARTS, Plan

LEAST = 50
"""Requests in a window before a share of errors may end a run."""

MOST_ROWS = 1_000_000
"""Rows that are looked at: of a criterion without a window the newest ones."""

ROW = np.dtype(list(FIELDS))
LOAD = PARTS.index("load")
OK, TIMEOUT = OUTCOMES.index(Outcome.OK), OUTCOMES.index(Outcome.TIMEOUT)
Rows = NDArray[np.void]


class StopRules:
    """The plan's criteria with `stop`. A request counts in the window in which it ended."""

    def __init__(self, plan: Plan, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._criteria = [each for each in map(parse, plan.criteria) if each.stops]
        self._labels = {request.endpoint: request.label for request in plan.endpoints}
        self._offsets: dict[Path, int] = {}
        self._rows: Rows = np.zeros(0, ROW)
        self._dropped: dict[Path, int] = {}
        self._drops: list[tuple[float, float]] = []
        longest = [each.window_s for each in self._criteria if each.window_s]
        self._keep_s = None if len(longest) < len(self._criteria) else max(longest, default=0)

    def broken(self, started_at_us: int, elapsed_s: float) -> str | None:
        """The first criterion that is broken, with what was measured; None while all hold."""
        if not self._criteria:
            return None
        elapsed_s = float(whole_seconds(elapsed_s))
        self._read_rows(started_at_us, elapsed_s)
        self._read_drops(elapsed_s)
        for criterion in self._criteria:
            why = self._look_at(criterion, started_at_us, elapsed_s)
            if why:
                return f"{criterion.text}: {why}"
        return None

    def _look_at(self, criterion: Criterion, started_at_us: int, elapsed_s: float) -> str:
        window_s = float(criterion.window_s or elapsed_s)
        if window_s > elapsed_s or window_s <= 0:
            return ""
        begin_s = elapsed_s - window_s
        ended_s = _ended_s(self._rows, started_at_us)
        own = self._rows[(ended_s >= begin_s) & (ended_s < elapsed_s) & (self._rows["part"] == LOAD)]
        requests = Requests(
            _ended_s(own, started_at_us) - begin_s,
            own["wait_us"].astype(np.int64) + own["service_us"],
            own["outcome"] != OK,
            own["outcome"] == TIMEOUT,
            own["endpoint"].astype(np.int64),
        )
        at_s, total = np.array(self._drops).T
        drops = Drops(at_s - begin_s, total - total[at_s <= begin_s].max(initial=0.0))
        measures = Measures(requests, self._labels, window_s, drops)
        reading = measures(replace(criterion, window_s=None))[0]
        if criterion.metric is Metric.ERRORS and reading.n < LEAST:
            return ""
        is_broken = criterion.verdict(reading) is Verdict.FAIL
        return f"{criterion.metric} was {told(criterion, reading)}, n = {reading.n}" if is_broken else ""

    def _read_rows(self, started_at_us: int, elapsed_s: float) -> None:
        """Take in what was written since the last look, and forget what no window reaches."""
        parts = [self._rows]
        for file in self._run_dir.glob("requests-*.bin"):
            offset = self._offsets.get(file, 0)
            with file.open("rb") as opened:
                opened.seek(offset)
                found = opened.read()
            whole = used(found)
            self._offsets[file] = offset + whole
            parts.append(np.frombuffer(found[:whole], ROW))
        rows = np.concatenate(parts)
        if self._keep_s is not None:
            rows = rows[_ended_s(rows, started_at_us) >= elapsed_s - self._keep_s]
        self._rows = rows[-MOST_ROWS:]

    def _read_drops(self, elapsed_s: float) -> None:
        """Add up what each worker's last beat tells of dropped arrivals."""
        for file in self._run_dir.glob("events-*.jsonl"):
            offset = self._offsets.get(file, 0)
            with file.open("rb") as opened:
                opened.seek(offset)
                found = opened.read()
            whole = found.rfind(b"\n") + 1
            self._offsets[file] = offset + whole
            for line in found[:whole].splitlines():
                if line.startswith(b'{"kind":"beat"'):
                    self._dropped[file] = int(json.loads(line)["dropped"])
        self._drops.append((elapsed_s, float(sum(self._dropped.values()))))


def _ended_s(rows: Rows, started_at_us: int) -> NDArray[np.float64]:
    """When requests ended, in seconds since the run's start."""
    ended: NDArray[np.float64] = (rows["start_us"] - started_at_us + rows["service_us"]) / 1e6
    return ended
