"""Runs the measurements, all or the named ones, and writes each into bench/results.md as it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

from bench import (
    backup,
    changed_series,
    export,
    history,
    idle,
    ingest,
    loadruns,
    loadtests,
    pages,
    postgres,
    probes,
    queries,
    question,
    regression,
    two_samples,
    upkeep,
)
from bench.report import Section, save

MEASUREMENTS: Mapping[str, Callable[[], Section]] = {
    "ingest": ingest.measure,
    "question": question.measure,
    "export": export.measure,
    "queries": queries.measure,
    "probes": probes.measure,
    "pages": pages.measure,
    "postgres": postgres.measure,
    "idle": idle.measure,
    "backup": backup.measure,
    "loadtests": loadtests.measure,
    "loadruns": loadruns.measure,
    "history": history.measure,
    "upkeep": upkeep.measure,
    "regression": regression.measure,
    "changes": changed_series.measure,
    "two_samples": two_samples.measure,
}


def main(names: list[str]) -> int:
    """Measure what is named, or everything."""
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"no measurement {unknown[0]}; there are: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 64
    for name in names or MEASUREMENTS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        section = MEASUREMENTS[name]()
        save(section)
        print(section.text(), flush=True)
        print(f"{name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
