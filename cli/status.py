"""What runs, since when, and how fresh its data is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from cli.parts import parts_of
from warehouse.client import Client
from warehouse.errors import PerfhouseError, WarehouseAwayError
from warehouse.model import now
from warehouse.settings import Settings

WINDOW = timedelta(hours=1)


def look(settings: Settings) -> dict[str, Any]:
    """The state of everything as plain values: what `status --json` prints.

    `healthy` is False while a part is away, a job is not ok, or batches wait in the spool unsent.
    """
    report: dict[str, Any] = {"at": now(), "parts": _parts(settings), "warehouse": None, "error": None}
    try:
        with Client.for_process(settings, "cli", retries=0) as client:
            report |= _ask(client)
    except WarehouseAwayError as error:
        report["error"] = {"title": error.title, "message": error.message, "hint": error.hint}
    except PerfhouseError as error:
        report["error"] = {"title": error.title, "message": error.message, "hint": error.hint}
    jobs_well = all(job["state"] == "ok" for job in report.get("jobs", []))
    parts_well = all(part["running"] is not False for part in report["parts"])
    report["healthy"] = report["error"] is None and jobs_well and parts_well
    return report


def _parts(settings: Settings) -> list[dict[str, Any]]:
    """Whether each part answers; None where it has no door to knock at."""
    return [
        {"name": part.name, "port": part.port, "running": part.ready() if part.ready else None}
        for part in parts_of(settings)
    ]


def _ask(client: Client) -> dict[str, Any]:
    health = client.health()
    at = now()
    window = {"start": at - WINDOW, "end": at}
    jobs = client.ask("collector_jobs", **window)
    gaps = client.ask("gaps", **window)
    storage = client.ask("storage")
    spool = client.ask("collector_health", metric=["spool_batches"], buckets=60, **window)
    return {
        "warehouse": health,
        "rows": dict(zip(storage["table_name"], storage["rows"], strict=True)),
        "fresh": client.ask("freshness").to_dicts(),
        "jobs": jobs.select("source", "job", "state", "since_at", "text", "last_success_at").to_dicts(),
        "gaps_last_hour": int(gaps["missed"].sum()),
        "spool_batches": _newest(spool),
    }


def _newest(trend: pl.DataFrame) -> float | None:
    return float(trend["mean"][-1]) if trend.height else None


def age(instant: datetime | None) -> str:
    """How long ago, for people."""
    if instant is None:
        return "never"
    seconds = max(0.0, (now() - instant).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length * 2:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    words = {True: "running", False: "NOT RUNNING", None: "see its jobs below"}
    text = [
        f"{part['name']:<10} {words[part['running']]}" + (f" (port {part['port']})" if part["port"] else "")
        for part in report["parts"]
    ]
    if report["error"]:
        return [*text, "", report["error"]["title"], report["error"]["message"], report["error"]["hint"]]
    health = report["warehouse"]
    text += [
        "",
        f"Perfhouse {health['version']}, up since {health['started_at']:%Y-%m-%d %H:%M:%S} UTC",
        "rows       " + ", ".join(f"{rows:,} {name}" for name, rows in report["rows"].items()),
        f"file       {health['file_bytes'] / 1e6:,.1f} MB",
        "newest     "
        + (", ".join(f"{row['kind']} {age(row['newest_at'])}" for row in report["fresh"]) or "nothing yet"),
        f"gaps       {report['gaps_last_hour']:,} samples missed in the last hour",
    ]
    waiting = report["spool_batches"]
    text.append("spool      " + ("not reported yet" if waiting is None else f"{waiting:.0f} batches wait"))
    troubled = [job for job in report["jobs"] if job["state"] != "ok"]
    text.append(f"jobs       {len(report['jobs']) - len(troubled)} of {len(report['jobs'])} ok")
    text += [
        f"  {job['job']}: {job['state']} since {age(job['since_at'])}. {job['text'] or ''}"
        for job in troubled
    ]
    return text
