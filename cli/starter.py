"""The commented configuration that `init` writes for one's own system."""

from __future__ import annotations

import json
from collections.abc import Sequence

TEMPLATE = """\
# Perfhouse watches what this file names. `perfhouse.py check` tells what is wrong with it;
# docs/configuration.md explains every key.

data_dir = "data"              # the warehouse, its tokens and the spool; relative to this file

# [warehouse]
# port = 8620                  # the HTTP API, on this machine only
# deadline_s = 10              # the longest a question may take
# memory_limit_mb = 2048

# [dashboard]
# port = 8501

# [retention]
# raw_days = 30                # how long every single attempt and sample is kept

[host]
name = "this machine"          # CPU, memory, disks, network and the hungriest processes
interval_s = 5
processes = []                 # names to watch in any case, such as ["postgres", "nginx"]

[[target]]
name = {name}
url = {url}
interval_s = 10                # how often each endpoint is probed
deadline_s = 3                 # an answer that takes longer is a timeout
# Secrets are never written here, only where to find them:
# headers = {{ Authorization = {{ env = "API_AUTHORIZATION" }} }}
{endpoints}"""

ENDPOINT = """
[[target.endpoint]]
path = {path}
# method = "GET"
# expect_status = [200]
# expect_text = "welcome"      # must be in the answer
# expect_json = {{ status = "ok" }}
"""


def starter(name: str, url: str, paths: Sequence[str]) -> str:
    """TOML that passes `check`: one target with an endpoint for each path."""
    endpoints = "".join(ENDPOINT.format(path=json.dumps(path)) for path in paths)
    return TEMPLATE.format(name=json.dumps(name), url=json.dumps(url), endpoints=endpoints)
