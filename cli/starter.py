"""The commented configuration that `init` writes for one's own system."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

HEAD = """\
# Perfhouse watches what this file names. `perfhouse check` tells everything that is wrong with it;
# docs/configuration.md explains every key.

data_dir = "data"              # the database, the tokens and the spool; relative to this file

# [warehouse]
# port = 8620                  # the HTTP API, on this machine only
# deadline_s = 10              # the longest a question may take
# memory_limit_mb = 2048

# [dashboard]
# port = 8501

# [retention]
# raw_days = 30                # how long every single attempt and sample is kept

[host]
name = "this machine"          # CPU, memory, disks, network and the busiest processes
interval_s = 5
processes = []                 # names to record in any case, such as ["postgres", "nginx"]
"""

DATABASE = """
# [[database]]
# name = "main"
# engine = "postgres"            # postgres, mysql (MariaDB too) or redis
# url = { env = "DATABASE_URL" } # with user and password; docs/databases.md says what to grant
# interval_s = 10
# sample_activity_ms = 90        # postgres: look at running queries so often, for their p95
"""

TARGET = """
[[target]]
name = {name}
url = {url}
interval_s = 10                # how often each endpoint is probed
deadline_s = 3                 # an answer that takes longer is a timeout; keep it below interval_s
# Secrets are never written here, only where to find them:
# headers = {{ Authorization = {{ env = "API_AUTHORIZATION" }} }}
"""

ENDPOINT = """
[[target.endpoint]]
path = {path}
# method = "GET"
# expect_status = [200]
# expect_text = "welcome"      # must be in the answer
# expect_json = {{ status = "ok" }}
"""


def starter(url: str | None, name: str | None, paths: Sequence[str]) -> str:
    """TOML that passes `check`: this host, and where `url` is given one target with these endpoints.

    Without `url` the target is there as a comment.
    """
    if url is None:
        example = _target("my api", "https://api.example.com", ["/"])
        target = "".join(f"# {line}".rstrip() + "\n" for line in example.splitlines())
    else:
        target = _target(name or urlsplit(url).hostname or url, url, paths or ["/"])
    return HEAD + DATABASE + target


def _target(name: str, url: str, paths: Sequence[str]) -> str:
    endpoints = "".join(ENDPOINT.format(path=_text(path)) for path in paths)
    return TARGET.format(name=_text(name), url=_text(url)) + endpoints


def _text(value: str) -> str:
    """A TOML string: JSON's escapes are TOML's too, but for pairs of surrogates."""
    return json.dumps(value, ensure_ascii=False)
