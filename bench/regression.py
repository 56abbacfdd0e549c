"""The detector of changes: predictions for labelled series in a folder, and false alarms without any.

`python -m bench.regression DIR --out predictions.json` writes what is found in every series of the JSON
files in DIR, each a list of objects with `id`, `kind` and `v`. Nothing else of them is read.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.report import Section
from bench.stable_series import DAY, KINDS, Series
from warehouse.analysis.changes import find_changes
from warehouse.analysis.kinds import COUNTED, LIVE_LATENCY, setting_by_clock, setting_of, watch_of
from warehouse.analysis.solving import solve_on_one_thread
from warehouse.analysis.watch import Watch

POINTS = {"p95": 1_000_000, "loadrun": 3_000_000, "ci": 1_000_000, "errors": 1_000_000}
LIVE_POINTS = {"p95": 600_000, "loadrun": 200_000, "errors": 600_000}

ERRORS = setting_by_clock(DAY, 1, COUNTED, counted=True)
"""How shares of errors are judged, which are counted."""

Row = tuple[str, ...]
SEED = 20_260_731
"""Not the seed whose series the settings were chosen on (1)."""


def predictions(folder: Path) -> dict[str, list[dict[str, float]]]:
    """What is found in each series, by its id."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        for series in json.loads(file.read_text(encoding="utf-8")):
            changes = find_changes(series["v"], setting_of(series["kind"]))
            found[series["id"]] = [{"cp": change.place, "rel": change.size} for change in changes]
    return found


def measure() -> Section:
    """False alarms and cost on stable series of each kind, whole and point by point."""
    solve_on_one_thread()
    rows = [_row(kind, make, POINTS[kind], live=False) for kind, make in KINDS.items()]
    rows += [_row(kind, KINDS[kind], points, live=True) for kind, points in LIVE_POINTS.items()]
    return Section(
        title="False alarms of the detector of changes",
        how="Series of `bench/stable_series.py` in which nothing changes, whole series at a time or, live, "
        "point by point as the watch gets them; every change found is a false alarm. The seed is not that of "
        "the series on which settings were chosen, the generator is. The bound is the one-sided 95 % one of "
        "a Poisson count. CPU is of one thread, for a series or, live, for a point.",
        header=("kind", "stable points", "alarms", "per 1,000 points", "at most (95 %)", "CPU"),
        rows=rows,
    )


def _row(kind: str, make: Callable[[np.random.Generator], Series], wanted: int, *, live: bool) -> Row:
    random = np.random.default_rng(SEED)
    points = alarms = count = 0
    cpu_s = 0.0
    while points < wanted:
        values = make(random)
        began = time.process_time()
        if live:
            watch = Watch(ERRORS, LIVE_LATENCY) if kind == "errors" else watch_of(kind)
            alarms += sum(watch.update(value) is not None for value in values)
        else:
            alarms += len(find_changes(values, ERRORS if kind == "errors" else setting_of(kind)))
        cpu_s += time.process_time() - began
        points, count = points + len(values), count + 1
    return (
        f"{kind}, live" if live else kind,
        f"{points:,}",
        str(alarms),
        f"{1000 * alarms / points:.3f}",
        f"{1000 * most_expected(alarms) / points:.3f}",
        f"{1000 * cpu_s / points:.2f} ms a point" if live else f"{1000 * cpu_s / count:.1f} ms a series",
    )


def most_expected(count: int) -> float:
    """The largest Poisson mean under which so few would still be seen in 5 % of cases."""
    low, high = 0.0, 3.0 * count + 10
    for _ in range(60):
        mean = (low + high) / 2
        terms = (
            math.exp(place * math.log(mean) - mean - math.lgamma(place + 1)) for place in range(count + 1)
        )
        low, high = (mean, high) if sum(terms) > 0.05 else (low, mean)
    return high


def main(arguments: list[str]) -> int:
    """Write the predictions for a folder of series."""
    parser = argparse.ArgumentParser(prog="python -m bench.regression", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    solve_on_one_thread()
    given.out.write_text(json.dumps(predictions(given.folder)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
