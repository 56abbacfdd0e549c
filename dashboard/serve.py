"""Streamlit's own command line, kept from asking the internet for this machine's address."""

from __future__ import annotations

from streamlit import net_util
from streamlit.web import cli


def stay_home() -> None:
    """Streamlit looks up the machine's outside address to judge a foreign Origin; ours has none."""
    net_util.get_external_ip = lambda: None


if __name__ == "__main__":
    stay_home()
    cli.main(prog_name="streamlit")
