"""What to do about each state of each part of a database's watch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "ok": "ok",
        "down": "server down",
        "starting": "server starting",
        "timeout": "no answer in time",
        "wrong_password": "wrong password",
        "no_database": "no such database",
        "no_privilege": "missing privilege",
        "not_loaded": "extension not loaded",
        "missing_extension": "extension missing",
        "full": "too many connections",
        "tls": "TLS fails",
        "incomplete": "incomplete",
        "not_measurable": "not measurable here",
        "error": "error",
    }
)
"""How a state is called on a page."""

QUIET = frozenset({"ok", "not_measurable"})
"""States nobody has to do anything about."""

WARNINGS = frozenset({"starting", "incomplete", "no_privilege", "not_loaded", "missing_extension"})
"""States in which something is measured all the same, or soon will be."""

_SHARED: Mapping[str, str] = MappingProxyType(
    {
        "down": "Nothing answers at the address: start the server, or correct host and port in the "
        "database's `url`.",
        "starting": "The server is starting, stopping or recovering. It is asked again by itself; if that "
        "lasts, read the server's log.",
        "timeout": "The server did not answer within `deadline_s`: look for what keeps it busy, or raise "
        "`deadline_s`.",
        "wrong_password": "The server refuses the role or its password: correct the `url` that the "
        "configuration refers to.",
        "no_database": "The server has no database of that name: correct the end of the `url`.",
        "no_privilege": "The role may not read what is needed: grant it the privilege the text names.",
        "not_loaded": "Load the statistics module in the server's configuration and restart the server.",
        "missing_extension": "Install the statistics extension in the database that the `url` names.",
        "full": "Every connection is taken: find who holds them, lower the pools' sizes, or raise the "
        "server's limit.",
        "tls": "The TLS handshake fails: check the certificate, its name and expiry, and the `url`.",
        "incomplete": "Some statements are not counted, so loads and shares are lower than the truth.",
        "not_measurable": "This server does not tell it.",
        "error": "Read what it says and the collectors' log.",
    }
)

_OF_ENGINE: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("postgres", "no_privilege"): "Run `GRANT pg_monitor TO` the role, as a superuser: it may then read "
        "the statistics of all roles.",
        ("postgres", "not_loaded"): "Add `pg_stat_statements` to `shared_preload_libraries` in "
        "`postgresql.conf` and restart the server.",
        ("postgres", "missing_extension"): "Run `CREATE EXTENSION pg_stat_statements` in the database that "
        "the `url` names.",
        ("postgres", "full"): "Every usable connection is taken: find who holds them in `pg_stat_activity`, "
        "lower the pools' sizes, or raise `max_connections` (restart).",
        ("postgres", "incomplete"): "The server evicts statements to make room: raise "
        "`pg_stat_statements.max` (restart). Until then loads and shares are lower than the truth.",
        ("mysql", "no_privilege"): "Run `GRANT PROCESS ON *.* TO` the user, and `GRANT SELECT ON "
        "performance_schema.* TO` and `sys.* TO` it: docs/databases.md has them all.",
        (
            "mysql",
            "not_loaded",
        ): "Set `performance_schema = ON` in the server's configuration and restart it.",
        (
            "mysql",
            "full",
        ): "Every connection is taken: look at `SHOW PROCESSLIST`, lower the pools' sizes, or "
        "raise `max_connections`.",
        (
            "mysql",
            "incomplete",
        ): "The digest table is full: raise `performance_schema_digests_size` (restart). "
        "Until then loads and shares are lower than the truth.",
        ("redis", "no_privilege"): "Give the user `+ping +info +slowlog|get` with `ACL SETUSER`.",
        ("redis", "wrong_password"): "The server refuses the password: correct it in the `url`, or see "
        "`requirepass` and `ACL LIST`.",
        ("redis", "full"): "Every client place is taken: look at `CLIENT LIST`, or raise `maxclients`.",
        ("redis", "starting"): "The server is loading its data from disk. It is asked again by itself.",
    }
)

_OF_PART: Mapping[tuple[str, str, str], str] = MappingProxyType(
    {
        ("postgres", "activity", "no_privilege"): "Run `GRANT pg_read_all_stats TO` the role: without it the "
        "sessions of other roles are hidden.",
        ("postgres", "activity", "timeout"): "Sampling `pg_stat_activity` takes too long: raise "
        "`sample_activity_ms`, or leave it out.",
        (
            "postgres",
            "activity",
            "not_measurable",
        ): "Set `sample_activity_ms = 90` to know the p95 better than "
        "as a wide bracket; `compute_query_id` must be on.",
        ("postgres", "tables", "timeout"): "Reading the tables' statistics takes too long: lower `tables`.",
        ("postgres", "tables", "no_privilege"): "Tables the role may not see are left out: grant it "
        "`pg_monitor`, and `pg_stat_scan_tables` for free space.",
    }
)


def engine_family(engine: str) -> str:
    """The engine whose advice fits: MariaDB takes MySQL's."""
    return "mysql" if engine == "mariadb" else engine


def advice(engine: str, part: str, state: str) -> str:
    """What to do; the closest known of part, engine and state. Empty where nothing is wrong."""
    if state == "ok":
        return ""
    family = engine_family(engine)
    told = _OF_PART.get((family, part, state)) or _OF_ENGINE.get((family, state))
    return told or _SHARED.get(state, _SHARED["error"])


def gravity(part: str, state: str) -> str:
    """`ok`, `warning` or `critical`; a part that fails beside a sound connection is a warning."""
    if state in QUIET:
        return "ok" if state == "ok" else "unknown"
    return "critical" if part == "connection" and state not in WARNINGS else "warning"
