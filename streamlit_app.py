"""The dashboard's entry: page config, the guard of its own configuration, and the navigation."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit import config

from dashboard import controls, data, panels
from dashboard.launch import configured_by_us
from warehouse.errors import ConfigurationError

ROOT = Path(__file__).parent
ICON = ROOT / "dashboard" / "icon.svg"
VIEWS = "dashboard/views"

PAGES = {
    "Monitor": (
        ("overview.py", "Overview", ":material/dashboard:", "What is wrong now, and how everything does."),
        ("latency.py", "API latency", ":material/speed:", "Percentiles, errors and phases of each endpoint."),
        (
            "database.py",
            "Database",
            ":material/database:",
            "Queries, connections, locks and cache of a database.",
        ),
        ("hosts.py", "Hosts", ":material/memory:", "CPU, memory, disks, network and processes."),
    ),
    "System": (
        ("collectors.py", "Collectors", ":material/sensors:", "What measures, what fails, what is stored."),
    ),
}


def ours() -> bool:
    """Whether Streamlit runs on our configuration: else it might listen on every interface."""
    origin = config.get_where_defined("server.address")
    return config.get_option("server.address") == "127.0.0.1" and configured_by_us(origin)


def navigate() -> None:
    """Links that keep the range, and the page that is open."""
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
