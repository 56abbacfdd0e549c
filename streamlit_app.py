"""The dashboard's entry: the server's app, page config, the guard of its configuration, the navigation.

Streamlit imports this file once for the server, and runs it as `__main__` for each page it draws.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit import config

from dashboard.download import Downloads, ending_with_the_process
from dashboard.launch import configured_by_us
from warehouse.errors import ConfigurationError

ROOT = Path(__file__).parent
ICON = ROOT / "dashboard" / "icon.svg"
VIEWS = "dashboard/views"

PAGES = {
    "Monitor": (
        ("overview.py", "Overview", ":material/dashboard:", "What is wrong now, and how everything does."),
        (
            "regressions.py",
            "Regressions",
            ":material/trending_up:",
            "What got slower or better, since when, and what moved with it.",
        ),
        ("latency.py", "API latency", ":material/speed:", "Percentiles, errors and phases of each endpoint."),
        ("baseline.py", "Baseline", ":material/flag:", "How a window compares with a pinned one."),
        (
            "database.py",
            "Database",
            ":material/database:",
            "Queries, connections, locks and cache of a database.",
        ),
        ("hosts.py", "Hosts", ":material/memory:", "CPU, memory, disks, network and processes."),
    ),
    "Load": (
        ("loadtests.py", "Load tests", ":material/rocket_launch:", "Start, watch and find load tests."),
        ("run.py", "Load test", ":material/monitoring:", "One load test: live, and what came of it."),
        ("compare.py", "Compare runs", ":material/compare_arrows:", "What differs between two load tests."),
    ),
    "System": (
        ("collectors.py", "Collectors", ":material/sensors:", "What measures, what fails, what is stored."),
        ("data.py", "Data", ":material/table_view:", "Any rows, filtered, looked at and exported."),
    ),
}


def ours() -> bool:
    """Whether Streamlit runs on our configuration: else it might listen on every interface."""
    origin = config.get_where_defined("server.address")
    return config.get_option("server.address") == "127.0.0.1" and configured_by_us(origin)


def navigate() -> None:
    """Links that keep the range, and the page that is open."""
    from dashboard import controls

    pages = {
        section: [
            st.Page(f"{VIEWS}/{file}", title=title, icon=icon, help=help_, default=file == "overview.py")
            for file, title, icon, help_ in listed
        ]
        for section, listed in PAGES.items()
    }
    current = st.navigation(pages, position="hidden")
    with st.sidebar:
        st.markdown("**Perfhouse**")
        for section, listed in pages.items():
            st.caption(section)
            for page in listed:
                st.page_link(page, query_params=controls.carried(), width="stretch")
    current.run()


def draw() -> None:
    """The page, or why there is none."""
    from dashboard import data, panels  # caches must not be made before the server runs

    st.set_page_config(page_title="Perfhouse", page_icon=str(ICON), layout="wide")
    if not ours():
        st.error(
            "Streamlit did not read `streamlit_config.toml`, so it may be open to the network. "
            "Stop it and start the dashboard with `perfhouse.py dashboard`.",
            title="This dashboard was started without its configuration",
        )
        st.stop()
    try:
        data.configuration()
    except ConfigurationError as error:
        panels.misconfigured(error)
        st.stop()
    navigate()


if __name__ == "__main__":
    draw()
else:
    app = st.App(
        __file__,
        middleware=[
            Middleware(
                Downloads,
                allowed_hosts=config.get_option("server.allowedHosts"),
                base_path=config.get_option("server.baseUrlPath") or "",
            )
        ],
        lifespan=ending_with_the_process,
    )
