"""Streamlit's own command line, kept from asking the internet, and with a door before every route."""

from __future__ import annotations

import importlib

from starlette.middleware import Middleware
from streamlit import config, net_util
from streamlit.web import cli
from streamlit.web.server.starlette import starlette_app

from dashboard.forget import forget_widgets
from warehouse.doors import Doors


def stay_home() -> None:
    """Streamlit looks up the machine's outside address to judge a foreign Origin; ours has none."""
    net_util.get_external_ip = lambda: None


def guard_every_route() -> None:
    """Streamlit judges Host and Origin of its web socket alone; here nothing answers a foreign one."""
    theirs = starlette_app.create_streamlit_middleware

    def ours() -> list[Middleware]:
        return [Middleware(Doors, allowed_hosts=config.get_option("server.allowedHosts")), *theirs()]

    starlette_app.create_streamlit_middleware = ours


def load_first() -> None:
    """Load what Streamlit would load for the first table: a chart of another session fails on half of it."""
    importlib.import_module("pandas")


if __name__ == "__main__":
    load_first()
    stay_home()
    guard_every_route()
    forget_widgets()
    cli.main(prog_name="streamlit")
