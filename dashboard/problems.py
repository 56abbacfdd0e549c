"""What is wrong, in words: which part, since when, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import polars as pl

from dashboard import format as fmt
from dashboard import regression_words
from dashboard.controls import Scene
from dashboard.resource_charts import BANDS, NAMES
from dashboard.window import Window

REACH = timedelta(hours=6)
"""How far back the start of a failure is looked for, whatever the window."""

REACH_EDGE = timedelta(minutes=1)
LOAD_SPAN = timedelta(minutes=5)
"""A resource is judged by its mean over so much time: a peak alone is no problem."""

JOB_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "failing": "Look at what it says; is the target up, its address and expectation right? "
        "`perfhouse.py check` finds mistakes in the configuration.",
        "late": "Its runs take longer than its interval or the machine is busy: raise `interval_s`, "
        "or look at the daemon's loop lag on the Collectors page.",
        "silent": "Start the collectors with `perfhouse.py up` or `perfhouse.py collect`, or read their log.",
    }
)

OUTCOME_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "timeout": "See in the target's log what it waits for, or raise `deadline_s` if it may be so slow.",
        "refused": "Nothing listens there: start the target, or correct the port in `url`.",
        "dns": "The name cannot be resolved: check the host in `url` and this machine's name server.",
        "tls": "The handshake fails: check the certificate's name, its expiry and who signed it.",
        "reset": "The target or a proxy before it closes the connection: read their logs for crashes.",
        "unreachable": "No way leads there: check the network, routes and firewalls.",
        "protocol": "The answer is not valid HTTP: check that `url` names an HTTP server, and http or https.",
        "too_large": "The answer is larger than allowed: probe a smaller one, or raise `max_bytes`.",
        "bad_status": "Read the target's log for this request, or correct `expect_status`.",
        "assertion": "The answer is not what is expected: compare its body with the endpoint's `expect_...`.",
        "error": "Read the collectors' log: it tells what went wrong.",
    }
)

LOAD_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "cpu_ratio": "Top processes by CPU are on the Hosts page; latencies measured now include the wait.",
        "memory_used_ratio": "Top processes by memory are on the Hosts page; end or limit the hungriest.",
        "disk_busy_ratio": "Reads and writes are on the Hosts page; find out what uses the disk.",
    }
)


STORAGE_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "paused": "Free space on the warehouse's disk, or lower `warehouse.reserve_mb`.",
        "failing": "Look at the warehouse's log, the free space and the health of its disk.",
    }
)


def of_storage(scene: Scene, storage: Mapping[str, Any]) -> str:
    """Why nothing is stored, since when, what becomes of the measurements, and what to do."""
    since = since_when(scene, storage["since_at"])
    return (
        f"{fmt.plain(storage['reason'])}. Nothing was stored{since}; collectors keep their measurements "
        f"and send them later. {STORAGE_ADVICE[storage['state']]} Storing then goes on by itself."
    )


def of_catching_up(scene: Scene, storage: Mapping[str, Any]) -> str:
    """What measurements wait for, and since when."""
    since = since_when(scene, storage["since_at"])
    return (
        f"Measurements wait{since}: {fmt.plain(storage['reason'])}. They are stored when that has ended; "
        f"until then charts end there. Nothing is lost, and nothing is to be done."
    )


def reach(scene: Scene) -> Window:
    """The time in which the states of endpoints are looked for."""
    past = scene.past
    return replace(past, start=past.end - REACH)


def load_window(scene: Scene) -> Window:
    """The last minutes, over which resources are judged."""
    past = scene.past
    return replace(past, start=past.end - LOAD_SPAN)


def of_jobs(scene: Scene, jobs: pl.DataFrame | None, states: pl.DataFrame | None) -> list[str]:
    """Jobs that are not well; all of a collector that fell silent, or whose rows wait, are one problem."""
    if jobs is None:
        return []
    order = {"silent": 0, "failing": 1, "late": 2}
    bad = sorted(jobs.filter(pl.col("state") != "ok").to_dicts(), key=lambda job: order.get(job["state"], 3))
    outcomes = {} if states is None else {_job_of(row): row["last_outcome"] for row in states.to_dicts()}
    waiting = [job for job in bad if job["state"] == "waiting"]
    bad = [job for job in bad if job["state"] != "waiting"]
    texts = [_waiting(scene, source, waiting) for source in sorted({job["source"] for job in waiting})]
    silent = [job for job in bad if job["state"] == "silent"]
    if len(silent) > 2 and len({job["source"] for job in silent}) == 1:
        newest = max((job["newest_at"] for job in silent if job["newest_at"]), default=None)
        source, last = fmt.plain(silent[0]["source"]), fmt.age(newest, scene.now)
        text = f"Collector **{source}** is silent: its last word came {last}"
        others = [_job(scene, job, outcomes) for job in bad if job not in silent]
        return [f"{text}. {JOB_ADVICE['silent']}", *others, *texts]
    return [*(_job(scene, job, outcomes) for job in bad), *texts]


def _waiting(scene: Scene, source: str, jobs: list[dict[str, Any]]) -> str:
    """That a collector sends, but nothing new of it is stored."""
    newest = max(
        (job["newest_at"] for job in jobs if job["source"] == source and job["newest_at"]), default=None
    )
    last = (
        "none of it is stored yet"
        if newest is None
        else f"its newest stored word is from {fmt.age(newest, scene.now)}"
    )
    return (
        f"Rows of collector **{fmt.plain(source)}** wait in its spool: it sends, and {last}. They are stored "
        f"in their order, the oldest first, as soon as storing goes on."
    )


def _job(scene: Scene, job: Mapping[str, Any], outcomes: Mapping[str, str]) -> str:
    since = job["since_at"] or job["newest_at"]
    failing = job["state"] == "failing"
    said = f": {fmt.plain(job['text'])}" if job["text"] and failing else ""
    advice = OUTCOME_ADVICE.get(outcomes.get(job["job"], ""), "") if failing else ""
    advice = advice or JOB_ADVICE.get(job["state"], "")
    return f"**{fmt.plain(job['job'])}** is {job['state']}{since_when(scene, since)}{said}. {advice}"


def of_regressions(scene: Scene, rows: pl.DataFrame | None) -> list[str]:
    """Regressions of which nobody has said anything yet."""
    opened = [] if rows is None else rows.filter(pl.col("state") == "open").to_dicts()
    return [
        f"{regression_words.sentence(row, scene.now, scene.zone)}. Look at it on the Regressions page, and "
        "acknowledge or resolve it there."
        for row in opened
    ]


def since_when(scene: Scene, since: datetime | None, *, known: bool = True) -> str:
    """` since 14:03:20 (2 min ago)`; with the date where it is not today's."""
    if since is None:
        return ""
    earlier = "" if known else " or earlier"
    return f" since {fmt.time_of(since, scene.now, scene.zone)}{earlier} ({fmt.age(since, scene.now)})"


def of_endpoints(scene: Scene, states: pl.DataFrame | None, jobs: pl.DataFrame | None) -> list[str]:
    """Endpoints whose last attempt failed, where no job already tells of it."""
    texts = []
    for row in _in_state(states, "failing", jobs):
        how = str(row["last_outcome"]).replace("_", " ")
        if row["last_status"] and row["last_outcome"] == "bad_status":
            how += f", HTTP {row['last_status']}"
        known = row["since_at"] is None or row["since_at"] > reach(scene).start + REACH_EDGE
        since = since_when(scene, row["since_at"], known=known)
        texts.append(
            f"{_named(row)} fails ({how}){since}: {_recent(row)}. "
            f"{OUTCOME_ADVICE.get(row['last_outcome'], OUTCOME_ADVICE['error'])}"
        )
    return texts


def of_flaky(states: pl.DataFrame | None, jobs: pl.DataFrame | None) -> list[str]:
    """Endpoints that answer now, but failed often in their last attempts."""
    return [f"{_named(row)} is flaky: {_recent(row)}." for row in _in_state(states, "flaky", jobs)]


def gone(states: pl.DataFrame | None) -> list[str]:
    """Endpoints without an attempt for long."""
    return [_named(row) for row in _in_state(states, "gone", None)]


def _in_state(states: pl.DataFrame | None, state: str, jobs: pl.DataFrame | None) -> list[dict[str, Any]]:
    if states is None:
        return []
    told = set(jobs.filter(pl.col("state") == "failing")["job"]) if jobs is not None else set()
    return [row for row in states.filter(pl.col("state") == state).to_dicts() if _job_of(row) not in told]


def _job_of(row: Mapping[str, Any]) -> str:
    return f"probe {row['target']} {row['endpoint']}"


def _named(row: Mapping[str, Any]) -> str:
    return f"**{fmt.plain(row['target'])} {fmt.plain(row['endpoint'])}**"


def _recent(row: Mapping[str, Any]) -> str:
    made = fmt.plural(row["recent_attempts"], "recent attempt")
    return f"{fmt.count(row['recent_errors'])} of {made} failed"


def of_hosts(load: pl.DataFrame | None) -> list[str]:
    """Resources whose mean over the last minutes is critical."""
    if load is None:
        return []
    texts = []
    for host, thing, metric, mean in means(load).iter_rows():
        band = BANDS.get(metric)
        if band is None or band.state(mean) != "critical":
            continue
        what = fmt.plain(f"{NAMES[metric]} {thing}".strip())
        texts.append(
            f"**{fmt.plain(host)}**: {what} is critical, {fmt.ratio(mean)} on average over "
            f"{fmt.length(LOAD_SPAN)} (critical from {fmt.ratio(band.critical)}). {LOAD_ADVICE[metric]}"
        )
    return texts


def means(load: pl.DataFrame) -> pl.DataFrame:
    """The mean of each resource over all buckets, each weighing as many samples as it holds."""
    known = load.filter((pl.col("n") > 0) & pl.col("mean").is_not_null())
    weighed = (pl.col("mean") * pl.col("n")).sum() / pl.col("n").sum()
    return known.group_by("host", "object", "metric").agg(weighed).sort("host", "metric", "object")
