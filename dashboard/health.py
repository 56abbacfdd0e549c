"""How everything does: badges, the list of problems, the hosts' resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from dashboard import controls, data, panels, problems
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.database_problems import Found
from dashboard.resource_charts import BANDS, NAMES

SHOWN = ("cpu_ratio", "memory_used_ratio", "disk_busy_ratio", "disk_used_ratio")
MOST_PROBLEMS = 6


STORAGE_TITLES = {
    "paused": "Storage is paused: the disk is nearly full",
    "failing": "Storage fails: the disk cannot be written",
}


def storage_banner(scene: Scene, storage: Mapping[str, Any] | None) -> None:
    """That nothing is stored, where so; gone by itself when it is over."""
    if storage is None or storage["state"] == "ok":
        return
    if storage["state"] == "catching_up":
        st.info(
            problems.of_catching_up(scene, storage),
            title="Storing is catching up",
            icon=":material/hourglass_top:",
        )
    else:
        st.error(
            problems.of_storage(scene, storage),
            title=STORAGE_TITLES[storage["state"]],
            icon=":material/hard_drive:",
        )
    controls.tick()


def simulated_banner(*, simulated: bool) -> None:
    """That nothing on the page was measured, where so."""
    if simulated:
        st.warning(
            "Nothing on this page was measured: `perfhouse simulate` made it up.",
            title="Simulated data",
            icon=":material/science:",
        )


def badges(jobs: pl.DataFrame | None, states: pl.DataFrame | None) -> None:
    """How many collectors' jobs and endpoints are well."""
    with st.container(horizontal=True, key="badges"):
        if jobs is not None and len(jobs):
            for state in ("failing", "silent", "waiting", "late"):
                amount = len(jobs.filter(pl.col("state") == state))
                if amount:
                    panels.badge(f"{fmt.plural(amount, 'job')} {state}", state)
            well = len(jobs.filter(pl.col("state") == "ok"))
            panels.badge(f"{well}/{len(jobs)} jobs ok", "ok" if well == len(jobs) else "unknown")
        if states is not None:
            _endpoint_badges(states)


def _endpoint_badges(states: pl.DataFrame) -> None:
    """Endpoints that are still probed: how many fail, are flaky, are well."""
    probed = states.filter(pl.col("state") != "gone")["state"].to_list()
    for state in ("failing", "flaky"):
        amount = probed.count(state)
        if amount:
            panels.badge(f"{fmt.plural(amount, 'endpoint')} {state}", state)
    if probed:
        well = probed.count("ok")
        panels.badge(f"{well}/{len(probed)} endpoints ok", "ok" if well == len(probed) else "unknown")


def show_problems(
    scene: Scene,
    jobs: pl.DataFrame | None,
    states: pl.DataFrame | None = None,
    load: pl.DataFrame | None = None,
    of_databases: Found | None = None,
    regressions: pl.DataFrame | None = None,
) -> None:
    """One line a problem, the gravest first, with what to do; then what is only worth a warning."""
    found = problems.of_jobs(scene, jobs, states)
    found += problems.of_endpoints(scene, states, jobs) + problems.of_hosts(load)
    found += of_databases.problems if of_databases else []
    at_end = "" if scene.window.follows_now or scene.ends_ahead else " at the end of the window"
    if found:
        title = fmt.plural(len(found), "problem") + at_end
        st.error(_listed(found), title=title, icon=":material/error:")
    minor = problems.of_flaky(states, jobs) + (of_databases.warnings if of_databases else [])
    minor += problems.of_regressions(scene, regressions)
    if minor:
        title = fmt.plural(len(minor), "warning") + at_end
        st.warning(_listed(minor), title=title, icon=":material/warning:")
    gone = problems.gone(states)
    if gone:
        rest = f" and {len(gone) - MOST_PROBLEMS} more" if len(gone) > MOST_PROBLEMS else ""
        names = ", ".join(gone[:MOST_PROBLEMS])
        panels.note(f"No attempt for long, probably no longer configured: {names}{rest}.")


def _listed(texts: Sequence[str]) -> str:
    lines = [f"- {text}" for text in texts[:MOST_PROBLEMS]]
    if len(texts) > MOST_PROBLEMS:
        lines.append(f"- and {len(texts) - MOST_PROBLEMS} more, on the other pages")
    return "\n".join(lines)


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
