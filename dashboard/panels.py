"""Pieces every page is built of: cards, badges, empty states, errors, the footer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl
import streamlit as st

from dashboard import controls, data
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.window import absolute
from warehouse.errors import ConfigurationError, DeadlineError, PerfhouseError, TooManyRowsError

KINDS = {"probe": "probe", "host": "host sample", "database": "database sample", "collector": "own health"}
STALE = timedelta(minutes=2)
STATE_COLOUR: Mapping[str, Literal["green", "orange", "red", "gray"]] = {
    "ok": "green",
    "late": "orange",
    "flaky": "orange",
    "warning": "orange",
    "failing": "red",
    "critical": "red",
    "silent": "red",
    "waiting": "orange",
}
STATE_ICON = {
    "ok": ":material/check_circle:",
    "late": ":material/schedule:",
    "flaky": ":material/warning:",
    "warning": ":material/warning:",
    "failing": ":material/error:",
    "critical": ":material/error:",
    "silent": ":material/volume_off:",
    "waiting": ":material/hourglass_top:",
}


def badge(text: str, state: str) -> None:
    """A small coloured word; the colour is never its only sign."""
    colour = STATE_COLOUR.get(state, "gray")
    st.badge(fmt.plain(text), color=colour, icon=STATE_ICON.get(state, ":material/help:"))


def rows(answer: data.Answer, what: str) -> pl.DataFrame | None:
    """The rows of an answer; where there is an error instead, it is shown in their place."""
    if isinstance(answer, pl.DataFrame):
        return answer
    fault(answer, what)
    return None


def fault(error: PerfhouseError, what: str) -> None:
    """What went wrong with one panel, and what to do."""
    hint = error.hint
    if not hint and isinstance(error, DeadlineError | TooManyRowsError):
        hint = "Choose a shorter range or fewer endpoints."
    body = f"{fmt.plain(what)}: {fmt.plain(error.message)}."
    st.error(f"{body} {fmt.plain(hint)}".strip(), title=error.title, icon=":material/error:")


def away(error: PerfhouseError, scene_now: datetime) -> None:
    """The warehouse does not answer: since when, and what to do. Tries again by itself."""
    link = data.contact()
    since, last = link.away_since, link.answered_at
    known = (
        f"It last answered at {fmt.clock(last, controls.reader_zone())} ({fmt.age(last, scene_now)})."
        if last
        else f"It has not answered this dashboard yet (first tried {fmt.age(since, scene_now)})."
    )
    with st.container(border=True, key="away"):
        st.header("The warehouse is away", anchor=False)
        st.markdown(f"{fmt.plain(error.message)}. {known}")
        st.markdown(
            "**What to do:** start it with `perfhouse.py up` (everything) or `perfhouse.py warehouse`, "
            "or read its log. Collectors keep their measurements meanwhile and send them later."
        )
        st.caption(f"This page tries again every {controls.LIVE_S} seconds.")
    controls.tick()


def misconfigured(error: ConfigurationError) -> None:
    """Every problem of the configuration."""
    listed = "\n".join(f"- {fmt.plain(line)}" for line in error.problems)
    st.error(f"{listed}\n\n{fmt.plain(error.hint)}", title=error.title, icon=":material/error:")


def nothing_measured() -> None:
    """There is no data at all."""
    file = fmt.plain(data.configuration().path)
    with st.container(border=True):
        st.header("Nothing has been measured yet", anchor=False)
        st.markdown(
            "The warehouse answers, but holds no samples.\n\n"
            "1. Start the collectors: `perfhouse.py up`, or `perfhouse.py collect` for them alone.\n"
            f"2. Name what to watch in {file}: a `[[target]]` with its endpoints, a `[[database]]`, "
            "a `[host]`.\n"
            "3. `perfhouse.py check` finds mistakes in it, `perfhouse.py status` tells what runs.\n\n"
            "The first samples are here a few seconds after the collectors start."
        )


def nothing_here(scene: Scene, what: str, newest: datetime | None) -> None:
    """There is data, but none in this window."""
    with st.container(border=True):
        st.header(f"No {what} in this window", anchor=False)
        if newest is None:
            st.markdown("None was ever stored. The Collectors page tells what runs and what fails.")
            return
        when = f"{fmt.clock(newest, scene.zone)} ({fmt.age(newest, scene.now)})"
        st.markdown(f"The newest is from {when}. Choose another range, or see the Collectors page.")
        begin, end = newest - timedelta(minutes=59), newest + timedelta(minutes=1)
        st.button(
            "Show the newest data",
            icon=":material/history:",
            on_click=controls.remember,
            args=(controls.RANGE, absolute(begin, end)),
            key=f"newest_{what}",
        )


def note(text: str) -> None:
    """A line of small print."""
    st.caption(text)


@dataclass(frozen=True)
class Card:
    """One number with its comparison. `better` says which direction is good."""

    label: str
    value: str
    delta: float | None = None
    delta_text: str = ""
    compared: str = ""
    better: Literal["lower", "higher", "neither"] = "lower"
    trend: Sequence[Any] = ()
    help: str = ""


def cards(shown: Sequence[Card], most: int = 8) -> None:
    """Cards in rows of at most `most` that wrap."""
    with st.grid(min(most, max(len(shown), 1)), min_column_width=150, gap="small"):
        for card in shown:
            colour: Literal["normal", "inverse", "off"] = (
                "off" if card.better == "neither" else "inverse" if card.better == "lower" else "normal"
            )
            # A delta that rounds to nothing is no change: Streamlit colours it grey only as the number 0.
            delta = 0 if card.delta == 0 else card.delta_text or None
            st.metric(
                card.label,
                card.value,
                delta if card.delta is not None else None,
                delta_color=colour if card.delta is not None else "off",
                delta_description=card.compared or None,
                chart_data=list(card.trend) if len(card.trend) > 1 else None,
                chart_type="line",
                border=True,
                height="stretch",
                help=card.help or None,
            )


def footer(scene: Scene, freshness: data.Answer, *, timeless: bool = False) -> None:
    """The window with its zone, and when each collector's newest sample was taken.

    Clock times, which stay true on a page that is not drawn again.
    """
    zone = fmt.plain(scene.zone.key)
    window = fmt.window_text(scene.window.start, scene.window.end, scene.zone)
    told = [f"Times in {zone}" if timeless else f"Window {window} ({zone}), {fmt.length(scene.window.span)}"]
    if scene.previous is not None and not timeless:
        before = scene.previous
        told.append(f"compared with {fmt.window_text(before.start, before.end, scene.zone)}")
    if isinstance(freshness, pl.DataFrame):
        told += _newest(freshness, scene)
    told.append(f"as of {fmt.time_of(scene.now, scene.now, scene.zone)}")
    st.caption(" · ".join(told))


def _newest(freshness: pl.DataFrame, scene: Scene) -> list[str]:
    """`local: newest probe 15:28:48, host sample 15:28:46`, one text a collector."""
    if freshness.is_empty():
        return ["no collector has sent anything yet"]
    texts = []
    for (source,), own in freshness.partition_by("source", as_dict=True, maintain_order=True).items():
        kinds = [
            f"{KINDS.get(kind) or fmt.plain(kind)} {fmt.time_of(newest, scene.now, scene.zone)}"
            + (" :material/warning:" if newest is None or scene.now - newest > STALE else "")
            for kind, newest in own.select("kind", "newest_at").iter_rows()
        ]
        texts.append(f"{fmt.plain(source)}: newest {', '.join(kinds)}")
    return texts


def share_column(label: str, help_: str = "") -> Any:
    """A table's column of shares, as bars."""
    return st.column_config.ProgressColumn(
        label, format="percent", min_value=0, max_value=1, width=100, help=help_ or None
    )
