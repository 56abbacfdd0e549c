"""What runs, since when, and how fresh its data is: plain values that `status --json` prints."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from cli.databases import database_lines, database_problems, database_states
from cli.endpoints import endpoint_lines, endpoint_problems, endpoint_states
from cli.parts import answers, dashboard_url, demo_url, has_agent, sends_elsewhere
from cli.presence import present
from warehouse.client import Client
from warehouse.errors import PerfhouseError, WarehouseAwayError
from warehouse.model import now
from warehouse.settings import Settings

WINDOW = timedelta(hours=1)
SPOOL_WINDOW = timedelta(minutes=15)
JUST_STARTED = timedelta(minutes=2)
SPOOL_METRICS = ("spool_batches", "spool_bytes", "spool_dropped_total", "spool_refused_total")
DOES_NOT_ANSWER = "runs, does not answer"
Report = dict[str, Any]


def look(settings: Settings) -> Report:
    """The state of everything; docs/commands.md describes each field.

    `problems` holds a sentence for each thing that is not well; `healthy` says that there is none.
    """
    at = now()
    report: Report = {"at": at, "error": None, "warehouse": None, "collectors": [], "endpoints": []}
    report |= {"databases": [], "failing_jobs": [], "gaps_last_hour": None}
    process = "collect" if sends_elsewhere(settings) else "cli"
    try:
        with Client.for_process(settings, process, retries=0) as client:
            report["warehouse"] = {"url": client.url, **client.health(), "rows": None}
            if process == "cli":
                _ask(client, report)
    except PerfhouseError as error:
        away = isinstance(error, WarehouseAwayError)
        told = {"title": error.title, "message": error.message, "hint": error.hint}
        report["error"] = {"kind": "warehouse_away" if away else "refused", **told}
    report["parts"] = _parts(settings, report["warehouse"])
    report["problems"] = _problems(settings, report)
    report["healthy"] = not report["problems"]
    return report


def _ask(client: Client, report: Report) -> None:
    """Fill in what the warehouse knows."""
    at: datetime = report["at"]
    window = {"start": at - WINDOW, "end": at}
    storage = client.ask("storage")
    report["warehouse"]["rows"] = dict(zip(storage["table_name"], storage["rows"], strict=True))
    report["endpoints"] = endpoint_states(client, **window)
    report["databases"] = database_states(client, **window)
    gaps = client.ask("gaps", **window)
    by_reason = gaps.group_by("reason").agg(pl.col("missed").sum()).sort("reason")
    report["gaps_last_hour"] = {
        "missed": int(gaps["missed"].sum()),
        "by_reason": dict(zip(by_reason["reason"], by_reason["missed"], strict=True)),
    }
    jobs = client.ask("collector_jobs", **window)
    spool = client.ask(
        "samples",
        start=at - SPOOL_WINDOW,
        end=at,
        kind="collector",
        object="daemon",
        metric=SPOOL_METRICS,
    )
    report["collectors"] = _collectors(at, client.ask("freshness"), jobs, spool)
    heard = [each["source"] for each in report["collectors"] if each["state"] == "ok"]
    troubled = jobs.filter(pl.col("state").is_in(["failing", "late"]) & pl.col("source").is_in(heard))
    report["failing_jobs"] = troubled.select(
        "source", "job", "state", "since_at", "text", "last_success_at"
    ).to_dicts()


def _collectors(
    at: datetime, fresh: pl.DataFrame, jobs: pl.DataFrame, spool: pl.DataFrame
) -> list[dict[str, Any]]:
    collectors = []
    for source in sorted({*fresh["source"], *jobs["source"]}):
        newest_at = fresh.filter(pl.col("source") == source)["newest_at"].max()
        own_jobs = jobs.filter(pl.col("source") == source)
        own_spool = spool.filter(pl.col("target") == source).group_by("metric").agg(pl.col("value").last())
        depth = dict(zip(own_spool["metric"], own_spool["value"], strict=True))
        assert newest_at is None or isinstance(newest_at, datetime)
        collectors.append(
            {
                "source": source,
                "state": _state(own_jobs),
                "newest_at": newest_at,
                "age_s": None if newest_at is None else round((at - newest_at).total_seconds(), 3),
                "jobs": own_jobs.height,
                "jobs_ok": own_jobs.filter(pl.col("state") == "ok").height,
                **{metric: _whole(depth.get(metric)) for metric in SPOOL_METRICS},
            }
        )
    return collectors


def _state(jobs: pl.DataFrame) -> str | None:
    """`ok` when a job was heard of lately; None without jobs.

    `waiting` where it sends but nothing new of it is stored, else `silent`, `gone` after a day of silence.
    """
    if not jobs.height:
        return None
    if (~jobs["state"].is_in(["silent", "waiting"])).any():
        return "ok"
    if (jobs["state"] == "waiting").any():
        return "waiting"
    return "gone" if jobs["newest_at"].is_null().all() else "silent"


def _newest(age_s: float | None) -> str:
    return "no sample of it is stored" if age_s is None else f"its newest sample is {age(age_s)} old"


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _parts(settings: Settings, warehouse: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Each part this configuration runs here: whether it runs and answers, since when, in which process.

    `answers` is None for a part without an address. Something else may answer in a part's place.
    """
    doors: dict[str, tuple[str, Callable[[], bool]]] = {}
    if not sends_elsewhere(settings):
        doors["warehouse"] = (settings.warehouse.url, lambda: warehouse is not None)
        if settings.demo.enabled:
            doors["demo"] = (demo_url(settings), answers(f"{demo_url(settings)}/health"))
        doors["dashboard"] = (dashboard_url(settings), answers(f"{dashboard_url(settings)}/_stcore/health"))
    parts = []
    for name in [*doors, "collect", *(["agent"] if has_agent(settings) else [])]:
        presence = present(settings, name)
        url, ask = doors.get(name, (None, None))
        replies = ask() if ask else None
        parts.append(
            {
                "name": name,
                "running": bool(replies) or presence is not None,
                "answers": replies,
                "since_at": presence.since_at if presence else None,
                "pid": presence.pid if presence else None,
                "url": url,
            }
        )
    return parts


def _problems(settings: Settings, report: Report) -> list[str]:
    """A sentence for each thing that is not well."""
    problems = [
        f"{part['name']} {DOES_NOT_ANSWER} (process {part['pid']})"
        if part["running"]
        else f"{part['name']} is not running"
        for part in report["parts"]
        if not part["running"] or part["answers"] is False
    ]
    if report["error"] and (report["error"]["kind"] != "warehouse_away" or sends_elsewhere(settings)):
        problems.append(f"{report['error']['title']}: {report['error']['message']}")
    problems += _storage_problems(report["warehouse"])
    problems += [
        f"collector {each['source']} is silent, {_newest(each['age_s'])}"
        for each in report["collectors"]
        if each["state"] == "silent"
    ]
    problems += [
        f"rows of collector {each['source']} wait in its spool, {_newest(each['age_s'])}"
        for each in report["collectors"]
        if each["state"] == "waiting"
    ]
    for job in report["failing_jobs"]:
        since = f" since {job['since_at']:%Y-%m-%d %H:%M:%S} UTC" if job["since_at"] else ""
        problems.append(
            f"{job['job']} is {job['state']}{since}" + (f": {job['text']}" if job["text"] else "")
        )
    problems += endpoint_problems(report["endpoints"], report["at"] - WINDOW)
    problems += database_problems(report["databases"])
    name = settings.collectors.name
    own = next(part for part in report["parts"] if part["name"] == "collect")
    long_up = own["since_at"] is not None and report["at"] - own["since_at"] > JUST_STARTED
    known = [each["source"] for each in report["collectors"]]
    if long_up and report["error"] is None and not sends_elsewhere(settings) and name not in known:
        problems.append(f"collector {name} runs and has sent nothing")
    return problems


def _storage_problems(warehouse: dict[str, Any] | None) -> list[str]:
    """That nothing is stored, since when, and why."""
    if warehouse is None or warehouse["storage"]["state"] in ("ok", "catching_up"):
        return []
    storage = warehouse["storage"]
    since = f"{storage['since_at']:%Y-%m-%d %H:%M:%S} UTC"
    return [f"storage is {storage['state']} since {since}: {storage['reason']}"]


def age(seconds: float) -> str:
    """A length of time for people."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= length * 2:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def lines(report: Report) -> list[str]:
    """The report for people."""
    text = []
    for part in report["parts"]:
        address = f"  {part['url']}" if part["url"] else ""
        text.append(f"{part['name']:<10} {_part_words(part)}{address}")
    if report["warehouse"]:
        text += ["", *_warehouse_lines(report)]
    for each in report["collectors"]:
        fresh = "nothing measured yet" if each["age_s"] is None else f"newest sample {age(each['age_s'])} ago"
        waiting = each["spool_batches"]
        spool = "" if waiting is None else f", {waiting:,} batches wait in the spool"
        state = f"{each['jobs_ok']} of {each['jobs']} jobs ok, " if each["state"] == "ok" else ""
        text.append(f"collector  {each['source']}: {state}{fresh}{spool}")
    text += endpoint_lines(report["endpoints"]) + database_lines(report["databases"])
    text += ["", *(f"! {problem}" for problem in report["problems"])] if report["problems"] else []
    return [*text, report["error"]["hint"]] if report["error"] else text


def _part_words(part: dict[str, Any]) -> str:
    if not part["running"]:
        return "NOT RUNNING"
    if part["answers"] is False:
        return f"{DOES_NOT_ANSWER} (process {part['pid']})"
    since = f" since {part['since_at']:%Y-%m-%d %H:%M:%S} UTC" if part["since_at"] else ""
    return f"running{since}" + (f", process {part['pid']}" if part["pid"] else "")


def _warehouse_lines(report: Report) -> list[str]:
    health = report["warehouse"]
    text = [f"version    {health['version']}, up since {health['started_at']:%Y-%m-%d %H:%M:%S} UTC"]
    storage = health["storage"]
    if storage["state"] == "catching_up":
        since = f"{storage['since_at']:%H:%M:%S} UTC"
        text.append(f"storage    catching up: batches wait since {since}, {storage['reason']}")
    if health["rows"] is not None:
        text.append("rows       " + ", ".join(f"{rows:,} {name}" for name, rows in health["rows"].items()))
        if health["simulated"]:
            text.append("SIMULATED  nothing here was measured: `perfhouse simulate` made it up")
        text.append(f"file       {(health['file_bytes'] + health['wal_bytes']) / 1e6:,.1f} MB")
    gaps = report["gaps_last_hour"]
    if gaps is not None:
        reasons = ", ".join(f"{missed:,} {reason}" for reason, missed in gaps["by_reason"].items())
        text.append(
            f"gaps       {gaps['missed']:,} samples missed in the last hour"
            + (f" ({reasons})" if reasons else "")
        )
    return text
