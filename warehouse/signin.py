"""The file that says how people sign in: secrets for Streamlit's login, readable by their owner alone."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHARED = ("redirect_uri", "cookie_secret")
OF_A_PROVIDER = ("client_id", "client_secret", "server_metadata_url")
CALLBACK = "/oauth2callback"
LEAST_SECRET = 32
"""Characters of a `cookie_secret`: whoever guesses it signs in as anybody."""


def refuse_unusable(file: Path) -> None:
    """Raise ValueError unless this file can be used to sign people in. Never quotes what is in it."""
    try:
        with file.open("rb") as stream:
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                raise ValueError(f"{file}: others can read it; run: chmod 600 {file}")
            tables = tomllib.load(stream)
    except OSError as error:
        raise ValueError(f"{file}: expected a readable file, {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ValueError(f"{file}: expected TOML") from None
    auth = tables.get("auth")
    if not isinstance(auth, dict):
        raise ValueError(f"{file}: expected a table [auth]")  # noqa: TRY004 - it is a value that is wrong
    problems = _problems(auth)
    if problems:
        raise ValueError(f"{file}: [auth]: {'; '.join(problems)}")


def _problems(auth: Mapping[str, Any]) -> list[str]:
    wanted = [*SHARED, *OF_A_PROVIDER]
    missing = [key for key in wanted if not (isinstance(auth.get(key), str) and auth[key])]
    if missing:
        return [f"expected a text for {key}" for key in missing]
    problems = []
    if not auth["redirect_uri"].endswith(CALLBACK):
        problems.append(f"redirect_uri: expected the dashboard's own address and {CALLBACK}")
    if len(auth["cookie_secret"]) < LEAST_SECRET:
        problems.append(f"cookie_secret: expected at least {LEAST_SECRET} characters chosen by chance")
    return problems
