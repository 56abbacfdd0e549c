"""The header of every page and the state it keeps, all of it in the address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from time import monotonic
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import data, theme
from dashboard.axes import Stage
from dashboard.window import DEFAULT, PRESETS, Window, absolute, default_range, drawn, problem, resolve
from warehouse.model import now

CUSTOM = "Custom"
LIVE_S = 5
SHORT_BUCKETS, LONG_BUCKETS = 121, 200
RANGE, PREVIOUS, LIVE = "range", "prev", "live"
CARRIED = (RANGE, PREVIOUS, LIVE)
"""What of the address a link to another page carries along."""

CHART_CONFIG = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False, "showTips": False}


@dataclass(frozen=True)
class Scene:
    """What the header says: the window, the one before when it is compared, and how to draw."""

    stage: Stage
    previous: Window | None
    live: bool
    now: datetime
    corner: DeltaGenerator | None = None
    """Where in the header the page puts its export menu."""

    @property
    def window(self) -> Window:
        """The window shown."""
        return self.stage.window

    @property
    def past(self) -> Window:
        """The part of the window that has happened: a state is asked of its end, never of the future."""
        return replace(self.window, end=min(self.window.end, self.now)) if self.ends_ahead else self.window

    @property
    def ends_ahead(self) -> bool:
        """Whether a window that does not follow the clock reaches beyond this moment."""
        return not self.window.follows_now and self.window.start < self.now < self.window.end

    @property
    def zone(self) -> ZoneInfo:
        """The reader's time zone."""
        return self.stage.zone

    @property
    def buckets(self) -> int:
        """How finely to cut trends: not below half a minute up to an hour, so that a bucket holds some."""
        hours = self.window.span.total_seconds() / 3600
        return max(31, min(SHORT_BUCKETS, round(hours * 120) + 1)) if hours <= 1 else LONG_BUCKETS


def parameter(name: str) -> str | None:
    """One value of the address."""
    return st.query_params.get(name)


def parameters(name: str) -> list[str]:
    """All values of a repeated parameter of the address."""
    return st.query_params.get_all(name)


def remember(name: str, value: str | Iterable[str] | None) -> None:
    """Put a value into the address, which makes one step that Back undoes; None takes it out."""
    if value:
        st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


def carried() -> dict[str, str]:
    """The part of the address that links to other pages keep."""
    return {name: st.query_params[name] for name in CARRIED if name in st.query_params}


def reader_zone() -> ZoneInfo:
    """The browser's time zone; UTC while it is unknown."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def header(title: str, *, timeless: bool = False) -> Scene:
    """Draw the header; what it is set to. A timeless page has no range, for it shows no window of time."""
    present, zone = now(), reader_zone()
    oldest = data.oldest(data.ask({name: data.question(name) for name in ("endpoints", "hosts")}))
    asked = parameter(RANGE)
    shown = resolve(asked, present) if asked else None
    window = shown or resolve(default_range(oldest, present), present) or resolve(DEFAULT, present)
    assert window is not None
    live = parameter(LIVE) == "1"
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="header"
    ):
        st.title(title, anchor=False, width="content")
        corner = _bar(window, live=live, timeless=timeless)
    if asked and shown is None and not timeless:
        st.warning(f"The range in the address cannot be shown, so this is {window.text}.")
    if not window.follows_now and not timeless:
        _custom(window, zone)
    if live and window.follows_now and not timeless:
        tick()
    mode = st.context.theme.type
    phone = "Mobi" in (st.context.headers.get("User-Agent") or "")
    stage = Stage(window, zone, theme.palette(mode), draggable=not phone)
    compared = window.previous if parameter(PREVIOUS) == "1" else None
    return Scene(stage, compared, live, present, corner)


def _bar(window: Window, *, live: bool, timeless: bool) -> DeltaGenerator:
    """Range, comparison, live and refresh, each seeded from the address; then room for the page's own."""
    with st.container(horizontal=True, vertical_alignment="center", width="content", key="bar"):
        if not timeless:
            _window_controls(window, live=live)
        st.button(
            "Refresh",
            icon=":material/refresh:",
            type="tertiary",
            shortcut="U",
            on_click=data.forget,
            key="refresh",
        )
        return st.container(width="content", key="corner")


def _window_controls(window: Window, *, live: bool) -> None:
    st.session_state["range_choice"] = window.text if window.follows_now else CUSTOM
    st.session_state["previous_choice"] = parameter(PREVIOUS) == "1"
    st.session_state["live_choice"] = live
    st.segmented_control(
        "Range",
        [*PRESETS, CUSTOM],
        key="range_choice",
        required=True,
        on_change=_choose_range,
        args=(window,),
        label_visibility="collapsed",
        wrap=True,
    )
    st.toggle("vs previous", key="previous_choice", on_change=_switch, args=(PREVIOUS, "previous_choice"))
    st.toggle(
        "Live",
        key="live_choice",
        on_change=_switch,
        args=(LIVE, "live_choice"),
        disabled=not window.follows_now,
        help=f"Asks anew every {LIVE_S} seconds. A custom range does not move.",
    )


def _choose_range(shown: Window) -> None:
    choice = st.session_state["range_choice"]
    remember(RANGE, absolute(shown.start, shown.end) if choice == CUSTOM else choice)


def _switch(name: str, key: str) -> None:
    remember(name, "1" if st.session_state[key] else None)


def _custom(window: Window, zone: ZoneInfo) -> None:
    """Date and time, to the second, of a window that does not follow the clock."""
    start, end = window.start.astimezone(zone), window.end.astimezone(zone)
    with st.form("custom_range", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        for name, label, edge in (("from", "From", start), ("to", "To", end)):
            st.date_input(f"{label}, date", edge.date(), key=f"{name}_date_{window.text}", width=130)
            st.time_input(f"{label}, time", edge.time(), step=1, key=f"{name}_time_{window.text}", width=130)
        st.form_submit_button("Apply", on_click=_apply_custom, args=(window.text, zone))
    trouble = st.session_state.pop("custom_problem", "")
    if trouble:
        st.error(trouble)


def _apply_custom(text: str, zone: ZoneInfo) -> None:
    """Take the typed window into the address, or say why not."""
    edges = []
    for name in ("from", "to"):
        day, hour = st.session_state[f"{name}_date_{text}"], st.session_state[f"{name}_time_{text}"]
        if not isinstance(day, date) or not isinstance(hour, time):
            st.session_state["custom_problem"] = "Both ends need a date and a time."
            return
        edges.append(datetime.combine(day, hour, tzinfo=zone))
    trouble = problem(edges[0], edges[1], now())
    if trouble:
        st.session_state["custom_problem"] = trouble
    else:
        remember(RANGE, absolute(edges[0], edges[1]))


def chart(scene: Scene, figure: go.Figure, key: str, alt: str) -> None:
    """Show a chart on which dragging sets the range."""
    own = f"{key}_{scene.window.text}"
    st.plotly_chart(
        figure,
        key=own,
        on_select=lambda: _zoom(own, scene.zone),
        selection_mode="box",
        config=CHART_CONFIG,
        alt=alt,
    )


def _zoom(key: str, zone: ZoneInfo) -> None:
    boxes = st.session_state[key].get("selection", {}).get("box", [])
    edges = boxes[0].get("x", []) if boxes else []
    text = drawn((edges[0], edges[-1]), zone, now()) if edges else None
    if text:
        remember(RANGE, text)


def tick() -> None:
    """Run the page again every few seconds."""
    st.session_state["tick_due"] = monotonic() + LIVE_S * 0.8
    _beat()


@st.fragment(run_every=LIVE_S)
def _beat() -> None:
    if monotonic() >= st.session_state.get("tick_due", 0.0):
        st.rerun()
