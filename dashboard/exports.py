"""The export menu of every page, and the progress of what was begun from it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import streamlit as st
from streamlit import config

from dashboard import catalogue, data
from dashboard import format as fmt
from dashboard.catalogue import Entry
from dashboard.data import Question
from dashboard.tickets import TICKETS, Download
from warehouse.errors import BusyError
from warehouse.model import now

FORMS = {"csv": "CSV", "parquet": "Parquet"}
LOOK_EVERY = timedelta(seconds=1)
LINK_AFTER_S = 4.0
SHOWN = 4
MENU, CHOICE, BEGUN, CLOSE = "export_menu", "export_choice", "export_begun", "export_close"
LIST, ACTIVE = "downloads", "downloads_active"

# A frame, not a link: what the route answers instead of a file must not replace the page. Each ticket
# starts once, however often Streamlit draws this.
START = """<script>(() => {
const begun = window.perfhouseDownloads ??= new Set(), path = %s;
if (begun.has(path)) return;
begun.add(path);
const frame = document.createElement("iframe");
frame.hidden = true; frame.title = "download"; frame.src = path;
document.body.append(frame);
setTimeout(() => frame.remove(), 120000);
})()</script>"""


def menu(asked: Mapping[str, Question]) -> None:
    """A popover that lists the page's questions in words, each as CSV or Parquet."""
    if st.session_state.pop(CLOSE, False):
        st.session_state[MENU] = False
    _menu(catalogue.entries_of(asked))


@st.fragment
def _menu(entries: Sequence[Entry]) -> None:
    """Opening it draws nothing else again; what was begun in it is shown by the whole page."""
    if st.session_state.pop(BEGUN, False):
        st.rerun()
    popover = st.popover("Export", icon=":material/download:", type="tertiary", key=MENU, on_change="rerun")
    if not popover.open:
        return
    with popover:
        chosen = st.radio("Export the rows of", [entry.title for entry in entries], key=CHOICE)
        entry = next(entry for entry in entries if entry.title == chosen)
        buttons(entry, "menu", _begin_from_menu)
        st.caption("CSV: UTC, no live formulas. Parquet: exact types. Filters and a preview: the Data page.")


def buttons(entry: Entry, place: str, begin: Callable[[Entry, str], None] | None = None) -> None:
    """One button a format."""
    with st.container(horizontal=True, key=f"{place}_forms"):
        for form, name in FORMS.items():
            st.button(
                name,
                icon=":material/download:",
                key=f"{place}_{form}",
                on_click=begin or _begin,
                args=(entry, form),
            )


def _begin(entry: Entry, form: str) -> None:
    """Make a ticket; the page then has the browser use it."""
    kept = [download for download in _downloads() if download.is_active]
    kept.append(
        TICKETS.issue(
            Download(
                question=entry.asked.name,
                parameters=dict(entry.asked.parameters),
                form=form,
                title=entry.title,
                filename=catalogue.filename(entry.asked, form, now()),
                client=data.contact().client,
            )
        )
    )
    st.session_state[LIST] = kept[-SHOWN:]


def _begin_from_menu(entry: Entry, form: str) -> None:
    """Have the whole page drawn, with the menu closed."""
    _begin(entry, form)
    st.session_state[BEGUN] = st.session_state[CLOSE] = True


def progress() -> None:
    """What was begun in this session: how far it has come, and how it ended."""
    if not _downloads():
        return
    active = any(download.is_active for download in _downloads())
    st.session_state[ACTIVE] = active
    st.fragment(_progress, run_every=LOOK_EVERY if active else None)()


def _progress() -> None:
    downloads = _downloads()
    if any(download.is_active for download in downloads) != st.session_state[ACTIVE]:
        st.rerun()  # so that what is done asks no more, and what was begun again does
    for place, download in enumerate(downloads):
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"download_{place}"):
            _told(download)
            if download.is_active:
                st.button("Cancel", key=f"stop_{place}", on_click=download.stop, width="content")
            else:
                _ended(download, place)


def _ended(download: Download, place: int) -> None:
    if download.state != "done":
        st.button("Try again", key=f"again_{place}", on_click=_again, args=(download,), width="content")
    st.button("Dismiss", key=f"dismiss_{place}", on_click=_dismiss, args=(download,), width="content")


def _told(download: Download) -> None:
    """Where one download stands, in words and as a bar where the whole is known."""
    name = f"**{fmt.plain(download.title)}** as {FORMS[download.form]}"
    if download.state == "waiting" and not download.is_expired:
        path = _path(download)
        st.html(START % json.dumps(path), unsafe_allow_javascript=True)
        waited = time.monotonic() - download.made_at > LINK_AFTER_S
        by_hand = f" If nothing happens, [start it by hand]({path})." if waited else ""
        st.markdown(f"{name}: asking the browser to save it.{by_hand}")
    elif download.state == "running":
        share = download.rows / download.total if download.total else 0.0
        rows = (
            f"{fmt.count(download.rows)} of {fmt.count(download.total)} rows"
            if download.total
            else (f"{fmt.plural(download.rows, 'row')}")
        )
        st.progress(min(share, 1.0), f"{name}: {rows}, {fmt.size(download.sent)} so far")
    elif download.state == "done":
        rows = fmt.plural(download.rows, "row")
        st.markdown(
            f":material/check_circle: {name}: {rows}, {fmt.size(download.sent)}, handed to the browser as "
            f"`{download.filename}`"
        )
    else:
        st.markdown(f":material/error: {name}: {_trouble(download)}")


def _trouble(download: Download) -> str:
    error = download.error
    if isinstance(error, BusyError):
        return f"{fmt.plain(error.message)}. Wait until one of them has ended, then try again."
    if error is not None and download.sent:
        return (
            "it broke off midway, so the browser has no whole file. "
            f"{fmt.plain(error.message)}. {fmt.plain(error.hint)}"
        )
    if error is not None:
        return f"{error.title}. {fmt.plain(error.message)}. {fmt.plain(error.hint)}"
    if download.state == "stopped":
        return "stopped. What the browser got is not whole."
    return "the browser did not start it within a minute. Does it block downloads from this page?"


def _path(download: Download) -> str:
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"{'/' + base if base else ''}/download/{download.ticket}"


def _again(download: Download) -> None:
    asked = Question(download.question, tuple(sorted(download.parameters.items())))
    _dismiss(download)
    _begin(Entry(download.title, asked), download.form)


def _dismiss(download: Download) -> None:
    st.session_state[LIST] = [other for other in _downloads() if other is not download]


def _downloads() -> list[Download]:
    found: list[Download] = st.session_state.get(LIST, [])
    return found
