"""Starts Streamlit on our configuration, whether or not it finds the file by itself."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dashboard.theme import streamlit_config
from warehouse.allocator import ARENAS
from warehouse.errors import ConfigurationError
from warehouse.settings import ENVIRONMENT_PREFIX, Settings
from warehouse.signin import refuse_unusable

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "streamlit_app.py"
CONFIG_LINK = ROOT / ".streamlit" / "config.toml"
BY_ENVIRONMENT = "command-line argument or environment variable"
"""What Streamlit calls the origin of an option that we passed."""


def run(settings: Settings) -> int:
    """Become the dashboard's process. Returns only when that fails.

    Raises ConfigurationError where people are to sign in by a file that cannot be used.
    """
    environment = {
        **os.environ,
        **environment_of(streamlit_config()),
        "STREAMLIT_SERVER_PORT": str(settings.dashboard.port),
        f"{ENVIRONMENT_PREFIX}CONFIG": str(settings.path),
        # uvicorn would tell X-Forwarded-For for the peer, which decides whether a proxy is believed.
        "FORWARDED_ALLOW_IPS": "",
        "MALLOC_ARENA_MAX": str(ARENAS),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    command = [sys.executable, "-m", "dashboard.serve", "run", str(SCRIPT), *_sign_in(settings)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted


def _sign_in(settings: Settings) -> list[str]:
    """Where Streamlit reads how people sign in: one file that we looked at, or nowhere.

    By itself it would take any `.streamlit/secrets.toml` of the folder it is started in or of the home.
    """
    file = settings.access.sign_in_file
    if file is not None:
        try:
            refuse_unusable(file)
        except ValueError as error:
            raise ConfigurationError([f"access.sign_in_file: {error}"]) from None
    return ["--secrets.files", str(file or settings.data_dir / "no-sign-in.toml")]


def environment_of(tables: Mapping[str, Any]) -> dict[str, str]:
    """Every key of Streamlit's configuration as the variable it reads.

    Hosts are parted by spaces, as Streamlit takes them from its command line (measured: JSON or commas
    make it refuse every host); other lists are JSON.
    """
    return dict(_variables("STREAMLIT", tables))


def _variables(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{prefix}_{re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', key).upper()}"
        if isinstance(value, Mapping):
            yield from _variables(name, value)
        elif key == "allowedHosts":
            yield name, " ".join(value)
        else:
            yield name, value if isinstance(value, str) else json.dumps(value)


def configured_by_us(origin: str) -> bool:
    """Whether an option that came from `origin` was set by our file or by `run`."""
    if origin == BY_ENVIRONMENT:
        return True
    return CONFIG_LINK.exists() and Path(origin).absolute() == CONFIG_LINK
