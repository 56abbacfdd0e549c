"""What a target is held against from now on: the window of the page, or some of its load tests."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import access, actions, panels
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.baseline_parts import then
from dashboard.baseline_words import Row
from dashboard.controls import Scene

LONGEST_NAME = 100
MOST_OFFERED = 200
MOST_RUNS = 30
"""As many as the warehouse takes for one baseline."""
NOT_PINNED = "It was not pinned"


def window_form(scene: Scene, target: str) -> None:
    """Pin the window of this page under a name."""
    until = min(scene.window.end, scene.now)
    with st.container(border=True, key="pin_baseline"):
        st.header("This window as a baseline", anchor=False)
        window = fmt.window_text(scene.window.start, until, scene.zone)
        st.markdown(f"{fmt.plain(target)}, {window}")
        name, is_pinned = _name_and_pin("pin", "release 1.4")
        panels.note(
            "Later windows are held against it. Its single attempts are kept until it is removed. A day or "
            "a week tells more than an hour: it is cut into stretches as long as the window compared."
        )
        if is_pinned:
            then(lambda: actions.pin_baseline(target, name, scene.window.start, until), NOT_PINNED)


def runs_form(scene: Scene, target: str, finished: pl.DataFrame) -> None:
    """Pin load tests of this target under a name; nothing where none has finished."""
    if finished.is_empty():
        return
    offered = {str(row["run_id"]): _option(scene, row) for row in finished.head(MOST_OFFERED).to_dicts()}
    with st.container(border=True, key="pin_runs"):
        st.header("Load tests as a baseline", anchor=False)
        chosen = st.multiselect(
            "Load tests",
            list(offered),
            format_func=lambda run_id: offered.get(run_id, run_id),
            key="pin_runs_chosen",
            max_selections=MOST_RUNS,
            placeholder="Choose three or more of one preset",
        )
        name, is_pinned = _name_and_pin("pin_runs", "nightly, July", is_ready=bool(chosen))
        panels.note(
            "Later load tests are held against them, and their requests are kept until the baseline is "
            "removed. Three tell how much load tests differ when nothing has changed; one cannot."
        )
        if is_pinned:
            then(lambda: actions.pin_runs(target, name, chosen), NOT_PINNED)


def _name_and_pin(key: str, example: str, *, is_ready: bool = True) -> tuple[str, bool]:
    """A name, and whether the button beneath it was pressed just now."""
    mine = access.mine()
    name = st.text_input("Name", placeholder=example, max_chars=LONGEST_NAME, key=f"{key}_name", width=320)
    is_pinned = st.button(
        "Pin",
        icon=":material/keep:",
        disabled=not mine.allowed or not is_ready,
        help=None if mine.allowed else fmt.plain(mine.why),
        key=f"{key}_now",
    )
    return name, is_pinned


def _option(scene: Scene, row: Row) -> str:
    began = fmt.clock(words.began(row), scene.zone, seconds_too=False)
    version = f" · {row['target_version']}" if row["target_version"] else ""
    return fmt.option(f"{began} · {row['preset']}{version}")
