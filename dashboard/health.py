"""What is wrong: failing and silent collectors, failing endpoints, resources beyond their bands."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.resource_charts import BANDS, NAMES

SHOWN = ("cpu_ratio", "memory_used_ratio", "disk_busy_ratio", "disk_used_ratio")
MOST_PROBLEMS = 6

ADVICE = {
    "failing": "Look at what it says; is the target up, its address and expectation right? "
    "`perfhouse.py check` finds mistakes in the configuration.",
    "late": "Its runs take longer than its interval or the machine is busy: raise `interval_s`, "
    "or look at the daemon's loop lag on the Collectors page.",
    "silent": "Start the collectors with `perfhouse.py up` or `perfhouse.py collect`, or read their log.",
}


def failing_endpoints(summary: pl.DataFrame | None) -> pl.DataFrame:
    """Endpoints whose last attempt in the window did not succeed."""
    if summary is None:
        return pl.DataFrame()
    return summary.filter(pl.col("last_outcome") != "ok")


def badges(jobs: pl.DataFrame | None, summary: pl.DataFrame | None) -> None:
    """How many collectors' jobs and endpoints are well."""
    with st.container(horizontal=True, key="badges"):
        if jobs is not None and len(jobs):
            for state in ("failing", "silent", "late"):
                amount = len(jobs.filter(pl.col("state") == state))
                if amount:
                    panels.badge(f"{fmt.plural(amount, 'job')} {state}", state)
            well = len(jobs.filter(pl.col("state") == "ok"))
            panels.badge(f"{well}/{len(jobs)} jobs ok", "ok" if well == len(jobs) else "unknown")
        if summary is not None and len(summary):
            bad = len(failing_endpoints(summary))
            text = f"{len(summary) - bad}/{len(summary)} endpoints answer as expected"
            panels.badge(text, "failing" if bad else "ok")


def problems(scene: Scene, jobs: pl.DataFrame | None, summary: pl.DataFrame | None) -> None:
    """One line a problem, the gravest first, with what to do."""
    found = _job_problems(scene, jobs) + _endpoint_problems(scene, summary, jobs)
    if not found:
        return
    lines = [f"- {text}" for text in found[:MOST_PROBLEMS]]
    if len(found) > MOST_PROBLEMS:
        lines.append(f"- and {len(found) - MOST_PROBLEMS} more, on the Collectors and API latency pages")
    title = fmt.plural(len(found), "problem") + (
        "" if scene.window.follows_now or scene.ends_ahead else " at the end of the window"
    )
    st.error("\n".join(lines), title=title, icon=":material/error:")


def _job_problems(scene: Scene, jobs: pl.DataFrame | None) -> list[str]:
    if jobs is None:
        return []
    order = {"silent": 0, "failing": 1, "late": 2}
    bad = sorted(jobs.filter(pl.col("state") != "ok").to_dicts(), key=lambda job: order.get(job["state"], 3))
    silent = [job for job in bad if job["state"] == "silent"]
    if len(silent) > 2 and len({job["source"] for job in silent}) == 1:
        newest = max((job["newest_at"] for job in silent if job["newest_at"]), default=None)
        source, last = fmt.plain(silent[0]["source"]), fmt.age(newest, scene.now)
        text = f"Collector **{source}** is silent: its last word came {last}"
        return [f"{text}. {ADVICE['silent']}", *(job_text(scene, job) for job in bad if job not in silent)]
    return [job_text(scene, job) for job in bad]


def job_text(scene: Scene, job: dict[str, Any]) -> str:
    """A job that is not well: which, since when, what it says, what to do."""
    since = job["since_at"] or job["newest_at"]
    when = f" since {fmt.clock(since, scene.zone)} ({fmt.age(since, scene.now)})" if since else ""
    said = f": {fmt.plain(job['text'])}" if job["text"] and job["state"] == "failing" else ""
    return f"**{fmt.plain(job['job'])}** is {job['state']}{when}{said}. {ADVICE.get(job['state'], '')}"


def _endpoint_problems(scene: Scene, summary: pl.DataFrame | None, jobs: pl.DataFrame | None) -> list[str]:
    """Failing endpoints whose job does not already tell of it."""
    told = set(jobs.filter(pl.col("state") == "failing")["job"]) if jobs is not None else set()
    texts = []
    for row in failing_endpoints(summary).to_dicts():
        if f"probe {row['target']} {row['endpoint']}" in told:
            continue
        how = str(row["last_outcome"]).replace("_", " ")
        status = (
            f", HTTP {row['last_status']}"
            if row["last_status"] and row["last_outcome"] == "bad_status"
            else ""
        )
        share = f"{fmt.ratio(row['error_ratio'])} of {fmt.plural(row['attempts'], 'attempt')} failed"
        texts.append(
            f"**{fmt.plain(row['target'])} {fmt.plain(row['endpoint'])}** failed "
            f"{fmt.age(row['last_at'], scene.now)} ({how}{status}); {share} in this window."
        )
    return texts


def host_table(now: data.Answer, trend: data.Answer) -> None:
    """Each host's resources: the newest value, its trend and its band's state."""
    newest = panels.rows(now, "Hosts")
    if newest is None:
        return
    known = newest.filter(pl.col("metric").is_in(SHOWN))
    if known.is_empty():
        st.markdown("No host was sampled in this window. Add a `[host]` table to the configuration.")
        return
    lists = _trends(trend)
    listed = [_host_row(row, lists) for row in known.to_dicts()]
    listed.sort(key=lambda row: (row["host"], list(SHOWN).index(row["metric"]), row["resource"]))
    shown = pl.DataFrame(listed, infer_schema_length=None).drop("metric")
    if shown["host"].n_unique() == 1:
        shown = shown.drop("host")
    kinds = st.column_config
    st.dataframe(
        shown,
        key="host_table",
        hide_index=True,
        height="content" if len(shown) <= 12 else 460,
        alt="Resources of the hosts",
        column_config={
            "host": kinds.TextColumn("Host"),
            "resource": kinds.TextColumn("Resource", pinned=True),
            "state": kinds.TextColumn("State"),
            "now": kinds.TextColumn("Now", alignment="right"),
            "trend": kinds.AreaChartColumn("Trend", y_min=0, y_max=1, width="small"),
        },
    )


def _host_row(row: dict[str, Any], lists: dict[tuple[str, str, str], list[float]]) -> dict[str, Any]:
    metric, value = row["metric"], row["value"]
    measurable = row["outcome"] != "not_measurable"
    band = BANDS.get(metric)
    return {
        "host": row["host"],
        "metric": metric,
        "resource": f"{NAMES[metric]} {row['object']}".strip(),
        "state": (band.state(value) if band else "—") if measurable else "—",
        "now": fmt.ratio(value) if measurable else "not measurable here",
        "trend": lists.get((row["host"], row["object"], metric), []),
    }


def _trends(trend: data.Answer) -> dict[tuple[str, str, str], list[float]]:
    if not isinstance(trend, pl.DataFrame) or trend.is_empty():
        return {}
    lists = trend.sort("bucket_at").group_by("host", "object", "metric").agg(pl.col("mean").drop_nulls())
    return {(host, thing, metric): values for host, thing, metric, values in lists.iter_rows()}
