"""Makes the series that are judged of what was read for each run and endpoint. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from warehouse.analysis.baseline_series import Series
from warehouse.analysis.resampling import Blocks
from warehouse.analysis.run_readings import ERRORS, NOTHING, PERCENTS, Reading, readings
from warehouse.questions.run_compare import requests_in

OF_ENDPOINT = (*PERCENTS, ERRORS)
"""What is compared of each endpoint."""

Told = Mapping[str, Reading]
"""What a run tells of an endpoint, by measure."""


def told_of_stretches(found: pa.Table, count: int, span_s: float) -> list[dict[str, Told]]:
    """What each of so many stretches tells of each endpoint that was probed in it."""
    runs: list[dict[str, Told]] = [{} for _ in range(count)]
    for place in range(found.num_rows):
        blocks = Blocks.cut(requests_in(found["requests"][place]), [((0.0, span_s),)])
        runs[found["run"][place].as_py()][found["endpoint"][place].as_py()] = readings(blocks)
    return runs


def of_runs(runs: Sequence[Mapping[str, Told]], measures: Sequence[str] = OF_ENDPOINT) -> list[Series]:
    """The last run is the new one, those before it are the baseline; endpoints in order of their names."""
    names = sorted({name for run in runs for name in run})
    return [
        Series(
            name,
            measure,
            [run[name][measure] if name in run else NOTHING for run in runs[:-1]],
            runs[-1][name][measure] if name in runs[-1] else NOTHING,
        )
        for name in names
        for measure in measures
    ]


def told_of(blocks: Blocks, labels: Mapping[int, str], chosen: Sequence[str]) -> dict[str, Told]:
    """What a load test tells of each of its endpoints; none chosen means all."""
    wanted = [label for label in dict.fromkeys(labels.values()) if not chosen or label in chosen]
    return {
        label: readings(blocks.of([index for index, own in labels.items() if own == label]))
        for label in wanted
    }
