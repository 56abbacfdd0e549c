"""Resources of a host over time, and what uses them."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import (
    choices,
    controls,
    data,
    host_parts,
    meanwhile,
    page,
    panels,
    processes,
    resource_charts,
)
from dashboard import format as fmt
from dashboard.axes import gaps_of
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.resource_charts import BANDS

PANELS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("CPU", ("cpu_ratio", "cpu_user_ratio", "cpu_system_ratio", "cpu_iowait_ratio"), "cpu_ratio"),
    ("Memory used", ("memory_used_ratio",), "memory_used_ratio"),
    ("Disk busy", ("disk_busy_ratio",), "disk_busy_ratio"),
    ("Disk space used", ("disk_used_ratio",), ""),
    ("Disk reads and writes", ("disk_read_bytes_per_s", "disk_write_bytes_per_s"), ""),
    ("Network", ("net_received_bytes_per_s", "net_sent_bytes_per_s"), ""),
    ("Swap used", ("swap_used_ratio",), ""),
    ("Load (runnable processes)", ("load1", "load5", "load15", "cores"), ""),
)
"""Title, metrics, and the metric whose bands lie behind them."""

METRICS = [metric for _, metrics, _ in PANELS for metric in metrics]


def chosen_host(known: data.Answer) -> str | None:
    """The host the address names, or the one with the newest samples."""
    if not isinstance(known, pl.DataFrame) or known.is_empty():
        return None
    asked = controls.parameter("host")
    if asked in known["host"].to_list():
        return asked
    return str(known.sort("newest_at", descending=True, nulls_last=True)["host"][0])


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks, about one host."""
    host = chosen_host(data.ask({"hosts": data.question("hosts")})["hosts"])
    named = [host] if host else []
    window = scene.window
    return {
        "trend": question("host_trend", window, host=named, metric=METRICS, buckets=scene.buckets),
        "now": question("host_now", window, host=named),
        "top": question("top_processes", window, host=named),
        "gaps": question("gaps", window),
        **meanwhile.asked(scene),
    }


def body(scene: Scene, answers: page.Answers) -> None:
    """The choice, then a chart a resource, then processes."""
    known = panels.rows(answers["hosts"], "Hosts")
    if known is None:
        return
    if known.is_empty():
        panels.nothing_here(scene, "host samples", None)
        return
    names, asked = known["host"].to_list(), controls.parameter("host")
    host = choices.one("Host", "host", names, default=chosen_host(known))
    if asked and asked not in names:
        st.warning(f"No host is called {fmt.plain(asked)}, so this is {fmt.plain(host)}.")
    trend, now = panels.rows(answers["trend"], "Resources"), panels.rows(answers["now"], "Newest samples")
    if now is not None and now.is_empty():
        panels.nothing_here(scene, "host samples", page.newest(known.filter(pl.col("host") == host)))
        return
    if now is not None:
        host_parts.summary(host, now, scene.past.end)
    if trend is not None and now is not None:
        meanwhile.listed(scene, answers)
        gaps = gaps_of(page.frame(answers["gaps"]), [f"host {host}"])
        with st.grid(2, min_column_width=320, gap="small"):
            for title, metrics, banded in PANELS:
                with st.container(border=True, height="stretch"):
                    resource(scene, answers, gaps, trend, now, title, metrics, banded)
    processes.show(answers["top"], now, host)


def resource(
    scene: Scene,
    answers: page.Answers,
    gaps: pl.DataFrame | None,
    trend: pl.DataFrame,
    now: pl.DataFrame,
    title: str,
    metrics: tuple[str, ...],
    banded: str,
) -> None:
    """One resource: its chart, or why there is none."""
    band = BANDS.get(banded)
    st.markdown(
        f"**{title}**"
        + (f" · warning {fmt.ratio(band.warning)}, critical {fmt.ratio(band.critical)}" if band else "")
    )
    rows = trend.filter(pl.col("metric").is_in(metrics) & (pl.col("n") > 0))
    absent = now.filter(pl.col("metric").is_in(metrics) & (pl.col("outcome") == "not_measurable"))
    if "swap_used_ratio" in metrics and host_parts.without_swap(now):
        panels.note("This host has no swap.")
    elif not absent.is_empty():
        panels.note("Not measurable here: " + ", ".join(_words(row) for row in absent.to_dicts()))
    if rows.is_empty():
        if absent.is_empty():
            panels.note("No samples in this window.")
        return
    # Averages hide spikes, so the maximum of each bucket lies beside them where there is one line to tell.
    spikes = rows.select("object").n_unique() == 1 and banded in metrics
    drawn = resource_charts.resource(
        scene.stage, rows, band=band, spikes_of=banded if spikes else "", gaps=gaps
    )
    meanwhile.shown(scene, drawn, answers)
    controls.chart(scene, drawn, f"host_{metrics[0]}", f"{title} over time")
    hidden = rows["object"].n_unique() - resource_charts.MOST_OBJECTS
    if hidden > 0:
        panels.note(f"{fmt.plural(hidden, 'object')} with lower values not drawn.")


def _words(row: dict[str, str]) -> str:
    name = resource_charts.NAMES.get(row["metric"], row["metric"])
    return fmt.plain(f"{row['object']} {name}".strip())


page.show("Hosts", questions, body)
