"""Tables about the collectors and the store: jobs, gaps, events, room."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import format as fmt
from dashboard.controls import Scene

MOST_ROWS = 500
TALL = 380


def _table(rows: list[dict[str, Any]], key: str, alt: str, right: tuple[str, ...] = ()) -> None:
    kinds = st.column_config
    st.dataframe(
        pl.DataFrame(rows, infer_schema_length=None),
        key=key,
        hide_index=True,
        height="content" if len(rows) <= 10 else TALL,
        alt=alt,
        column_config={name: kinds.TextColumn(name, alignment="right") for name in right},
    )


def jobs(scene: Scene, rows: pl.DataFrame) -> None:
    """Each job with its state, and what it did in the window."""
    if rows.is_empty():
        st.markdown("No collector has reported in this window. Start them with `perfhouse.py collect`.")
        return
    several = rows["source"].n_unique() > 1
    listed = []
    order = {"silent": 0, "failing": 1, "waiting": 2, "late": 3}
    for row in sorted(
        rows.to_dicts(), key=lambda row: (order.get(row["state"], 4), row["source"], row["job"])
    ):
        last = row["last_success_at"]
        source = {"Collector": row["source"]} if several else {}
        listed.append(
            {
                "Job": row["job"],
                "State": row["state"],
                **source,
                "Since": fmt.clock(row["since_at"], scene.zone),
                "Last success": fmt.age(last, scene.now) if last else fmt.NOTHING,
                "Interval": fmt.seconds(row["interval_s"]),
                "Runs": fmt.count(row["runs"]),
                "Errors": fmt.count(row["errors"]),
                "Missed": fmt.count(row["missed"]),
                "Lag, most": fmt.duration_ms(row["lag_max_ms"]),
                "Run, longest": fmt.duration_ms(row["run_max_ms"]),
                "Says": row["text"] or "",
            }
        )
    _table(
        listed,
        "jobs",
        "Jobs of the collectors",
        ("Interval", "Runs", "Errors", "Missed", "Lag, most", "Run, longest"),
    )


def gaps(scene: Scene, rows: pl.DataFrame | None) -> None:
    """What was due and does not exist, the newest first."""
    if rows is None:
        return
    if rows.is_empty():
        st.markdown("Nothing that was due is missing.")
        return
    listed = [
        {
            "From": fmt.clock(row["at"], scene.zone),
            "For": fmt.length(row["until"] - row["at"]),
            "Job": row["job"],
            "Why": str(row["reason"]).replace("_", " "),
            "Missed": fmt.count(row["missed"]),
        }
        for row in rows.sort("at", descending=True).head(MOST_ROWS).to_dicts()
    ]
    missed = int(rows["missed"].sum())
    st.caption(f"{fmt.plural(missed, 'sample')} missed in {fmt.plural(len(rows), 'gap')}.{_cut(rows)}")
    _table(listed, "gaps", "Gaps", ("Missed",))


def events(scene: Scene, rows: pl.DataFrame | None) -> None:
    """Changes of state, the newest first."""
    if rows is None:
        return
    if rows.is_empty():
        st.markdown("No job changed its state in this window.")
        return
    listed = [
        {
            "At": fmt.clock(row["at"], scene.zone),
            "Job": row["job"],
            "State": row["state"],
            "Says": row["text"],
        }
        for row in rows.sort("at", descending=True).head(MOST_ROWS).to_dicts()
    ]
    st.caption(f"{fmt.plural(len(rows), 'change')} of state.{_cut(rows)}")
    _table(listed, "events", "Events")


def _cut(rows: pl.DataFrame) -> str:
    return f" The newest {MOST_ROWS} are shown." if len(rows) > MOST_ROWS else ""


def storage(scene: Scene, rows: pl.DataFrame | None) -> None:
    """Rows, age and room of each table, and when the disk will be full."""
    if rows is None or rows.is_empty():
        return
    sizes = rows.row(0, named=True)
    st.caption(_room(scene, sizes))
    listed = [
        {
            "Table": row["table_name"],
            "Rows": fmt.count(row["rows"]),
            "Rows a day": fmt.count(row["rows_per_day"]),
            "On disk": fmt.size(row["bytes"]),
            "Bytes a row": fmt.number(row["bytes_per_row"]),
            "Oldest": fmt.clock(row["oldest_at"], scene.zone),
            "Newest": fmt.clock(row["newest_at"], scene.zone),
        }
        for row in rows.sort("rows", descending=True).to_dicts()
    ]
    _table(listed, "storage", "Tables of the warehouse", ("Rows", "Rows a day", "On disk", "Bytes a row"))


def _room(scene: Scene, sizes: dict[str, Any]) -> str:
    """The file, how it grows, and when the disk will be full at that pace."""
    text = f"Database file {fmt.size(sizes['file_bytes'])}, log {fmt.size(sizes['wal_bytes'])}."
    if sizes["measured_at"] is None or sizes["free_bytes"] is None:
        return text
    free = f"{fmt.size(sizes['free_bytes'])} are free"
    text += f" It grows by {fmt.size(sizes['file_bytes_per_day'])} a day; {free}"
    if sizes["fills_at"] is None:
        return f"{text}, and will not be used up as far as can be foreseen."
    return f"{text}, and used up on {fmt.clock(sizes['fills_at'], scene.zone)} at this pace."
