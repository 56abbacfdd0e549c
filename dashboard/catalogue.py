"""What can be exported, in words: titles of questions, names of files, the command that does the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dashboard.data import Question, question

TITLES: Mapping[str, str] = {
    "percentile_trend": "Percentiles over time",
    "latency_summary": "Percentiles and errors of the window",
    "endpoint_states": "State of each endpoint",
    "errors_by_class": "Errors by class over time",
    "phase_breakdown": "Phases over time",
    "latency_heatmap": "Latency bands over time",
    "attempts": "Single attempts",
    "endpoints": "Known endpoints",
    "hosts": "Known hosts",
    "host_trend": "Host resources over time",
    "host_now": "Host resources, newest samples",
    "top_processes": "Top processes",
    "databases": "Known databases",
    "database_states": "States of the databases' watch",
    "database_trend": "Database numbers over time",
    "database_now": "Database numbers, newest samples",
    "lock_waits": "Lock waits",
    "blockers": "Sessions that blocked others",
    "slow_queries": "Foremost query shapes",
    "query_trend": "Query shapes over time",
    "query_load": "Query load over time",
    "query_patterns": "Query patterns",
    "query_suspects": "Query shapes worth a look",
    "query_changes": "New and vanished query shapes",
    "query_stats": "Query statistics as measured",
    "query_shapes": "Known query shapes",
    "query_latency": "p95 of query time, by source",
    "query_latency_trend": "p95 of query time over time",
    "collector_jobs": "Collectors' jobs",
    "collector_health": "Collectors' own numbers over time",
    "gaps": "Gaps",
    "events": "Events",
    "freshness": "Newest sample of each collector",
    "runs": "Load tests",
    "run": "Load test",
    "run_spans": "Load tests in the window",
    "marks": "Deploys",
    "baselines": "Baselines",
    "baseline_levels": "Levels of the active baselines",
    "baseline_compare": "Comparison with a baseline",
    "baseline_again": "History judged again under a baseline",
    "regressions": "Regressions and improvements",
    "regression": "Regression",
    "change_points": "Change points",
    "regression_series": "Change points of a regression",
    "regression_events": "Life of a regression",
    "moved_with": "What moved with a regression",
    "judge_again": "What would have been told",
    "watching": "What is watched for changes",
    "run_seconds": "Load test, second by second",
    "run_endpoints": "Load test, per endpoint",
    "run_failures": "Load test, failures",
    "run_requests": "Load test, single requests",
    "load_agents": "Load agents",
    "audit_log": "Audit log",
    "samples": "Single samples",
    "kept_since": "Since when single rows are kept",
    "storage": "Rows and bytes stored",
    "cold_days": "Days kept as Parquet files",
    "simulated_changes": "Changes in a simulated history",
    "run_resources": "Hosts and databases during the load test",
    "run_saturation": "Where the load test broke",
    "run_compare": "Differences between two load tests",
    "run_compare_curves": "Curves of two load tests",
    "load_curve": "Load against latency",
}

MERGED = {False: "per endpoint", True: "all pooled"}
ATTEMPTS_BEHIND = (
    "percentile_trend",
    "latency_summary",
    "errors_by_class",
    "phase_breakdown",
    "latency_heatmap",
)
SAMPLES_BEHIND = {"host_trend": "host", "database_trend": "database", "collector_health": "collector"}
"""Questions that sum up single samples, and the kind of those."""

SAMPLES_TARGET = {"host": "host", "database": "target", "collector": "source_name"}


@dataclass(frozen=True)
class Entry:
    """Something to export, and what to call it."""

    title: str
    asked: Question


def title_of(asked: Question, *, merged_matters: bool = True) -> str:
    """A question in words; a new one goes by its name."""
    title = TITLES.get(asked.name) or asked.name.replace("_", " ").capitalize()
    merged = dict(asked.parameters).get("merged")
    if asked.name in ("percentile_trend", "latency_summary") and merged_matters:
        title += f", {MERGED[bool(merged)]}"
    return title


def entries_of(asked: Mapping[str, Question]) -> list[Entry]:
    """What a page can export: its questions, and the single rows behind those, each once.

    Questions about the window before are left out: choose that window to export it. So are the finer and
    coarser cuts of the same trend: the finest is offered.
    """
    found: dict[str, Question] = {}
    for name, one in asked.items():
        if name.endswith("_before"):
            continue
        title = title_of(one)
        if title not in found or _buckets(one) > _buckets(found[title]):
            found[title] = one
    raw = {title_of(one): one for asked_ in list(found.values()) for one in _rows_behind(asked_)}
    return [Entry(title, one) for title, one in {**found, **raw}.items()]


def _buckets(asked: Question) -> int:
    return int(dict(asked.parameters).get("buckets", 0))


def _rows_behind(asked: Question) -> Iterator[Question]:
    """The single measurements a question sums up."""
    given = dict(asked.parameters)
    window = {name: given[name] for name in ("start", "end") if name in given}
    if asked.name in ATTEMPTS_BEHIND:
        chosen = {name: given[name] for name in ("target", "endpoint") if name in given}
        yield question("attempts", None, **window, **chosen)
    if asked.name == "run":
        yield question("run_requests", run_id=given["run_id"])
    kind = SAMPLES_BEHIND.get(asked.name)
    if kind:
        target = given.get(SAMPLES_TARGET[kind], ())
        yield question("samples", None, **window, kind=(kind,), target=target)


def filename(asked: Question, form: str, present: datetime) -> str:
    """ASCII only: the question and its window in UTC, or the moment where it has none."""
    given = dict(asked.parameters)
    instants = [given[name] for name in ("start", "end") if name in given] or [present]
    name = re.sub(r"[^a-z0-9_]", "", asked.name)
    return "-".join([name, *(f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}" for at in instants)]) + f".{form}"


def command(asked: Question, form: str, present: datetime) -> str:
    """What to type to get the same file."""
    given = dict(asked.parameters)
    words = ["perfhouse", "export", asked.name, "--format", form, "--out", filename(asked, form, present)]
    for name, option in (("start", "--from"), ("end", "--to")):
        if name in given:
            words += [option, f"{given.pop(name).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"]
    for name, value in sorted(given.items()):
        for each in _several(value):
            words += ["--param", f"{name}={each}"]
    return shlex.join(words)


def _several(value: Any) -> Iterable[str]:
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, datetime):
        return [value.isoformat()]
    return map(str, value) if isinstance(value, tuple | list) else [str(value)]
