"""Regressions in words: what changed, by how much, where, how surely, and what state it is in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from dashboard import format as fmt
from dashboard.run_words import Mark

Row = Mapping[str, Any]

METRICS: Mapping[str, str] = {
    "p50_ms": "p50",
    "p95_ms": "p95",
    "p99_ms": "p99",
    "error_ratio": "error share",
    "query_mean_ms": "mean time",
    "query_load": "load",
    "cpu_ratio": "CPU",
    "memory_used_ratio": "memory",
    "cache_miss_ratio": "cache misses",
    "rps": "requests a second",
    "dns_ms": "DNS",
    "connect_ms": "connect",
    "tls_ms": "TLS",
    "first_byte_ms": "first byte",
    "download_ms": "download",
}
KINDS: Mapping[str, str] = {
    "probe": "endpoint",
    "query": "query",
    "host": "host",
    "database": "database",
    "loadtest": "load test",
    "phase": "phase",
}
STATE_MARKS: Mapping[str, Mark] = {
    "open": Mark("open", "red", ":material/trending_up:", "Nobody has said anything about it yet."),
    "acknowledged": Mark("acknowledged", "orange", ":material/visibility:", "Somebody looks after it."),
    "resolved": Mark("resolved", "green", ":material/check_circle:", "It is over, or is accepted."),
    "told": Mark("improvement", "green", ":material/trending_down:", "It got better."),
}
ACTIONS: Mapping[str, str] = {
    "found": "found",
    "acknowledge": "acknowledged",
    "resolve": "resolved",
    "reopen": "reopened",
}
LONGEST_QUERY = 90


def value(amount: float, unit: str) -> str:
    """A level with its unit."""
    if unit == "ms":
        return fmt.duration_ms(amount)
    return fmt.precise_ratio(amount) if unit == "ratio" else fmt.number(amount)


def name(row: Row) -> str:
    """`p95 of GET /cart (shop)`; a query by its text, a host by its name. Not escaped."""
    metric = METRICS.get(row["metric"], row["metric"])
    what = row.get("query") or row["object"]
    if row["kind"] == "phase":
        return f"{metric} of {what} ({row['target']})"
    if row["kind"] == "query":
        return f"{metric} of {_shortened(what)} ({row['target']})"
    return f"{metric} of {what} ({row['target']})" if what else f"{metric} of {row['target']}"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_QUERY else f"{text[: LONGEST_QUERY - 1]}…"


def levels(row: Row) -> str:
    """`41 ms to 72 ms`."""
    return f"{value(row['before'], row['unit'])} to {value(row['after'], row['unit'])}"


def size(row: Row) -> str:
    """`+75 % (+68 % to +81 %)`, with the 95 % interval; from nothing there is no ratio.

    Of shares of errors the interval is that of the difference: `+400 %, +4.0 points (+2.9 to +5.3 points)`.
    """
    ratio, low, high = row["size_ratio"], row["low_ratio"], row["high_ratio"]
    between = "" if low is None else f" ({_percent(low)} to {_percent(high)})"
    relative = "from nothing" if ratio is None else f"{_percent(ratio)}{between}"
    low, high = row.get("low_difference"), row.get("high_difference")
    if low is None or high is None:
        return relative
    difference = row["after"] - row["before"]
    return f"{relative}, {_points(difference)} points ({_points(low)} to {_points(high)} points)"


def _points(share: float) -> str:
    """A difference of shares in percentage points: two digits where it is small."""
    return f"{100 * share:+.1f}" if abs(share) >= 0.001 else f"{100 * share:+.2f}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:+.0f} %" if abs(ratio) < 10 else f"{ratio + 1:,.0f}x"


def sureness(row: Row) -> str:
    """How sure it is, and by how many points after it that is told: of a young one, by more and more."""
    sure = "over 99.9 %" if row["confidence"] > 0.999 else f"{row['confidence']:.1%}"
    points = fmt.plural(row["points_after"], "run" if row["kind"] == "loadtest" else "point")
    step = "" if row["point_s"] is None else f" of {fmt.length(timedelta(seconds=row['point_s']))}"
    back = "found looking back, " if row["looked_back"] else ""
    return f"confidence {sure}, {back}told by {points}{step}"


def moved(row: Row) -> str:
    """What else is part of it."""
    others = row["series"] - 1
    return f"{fmt.plural(others, 'other series', 'other series')} moved at the same time" if others else ""


def since(row: Row, present: datetime, zone: tzinfo) -> str:
    """When it changed."""
    return f"{fmt.time_of(row['changed_at'], present, zone)} ({fmt.age(row['changed_at'], present)})"


def sentence(row: Row, present: datetime, zone: tzinfo) -> str:
    """All of it in one line of Markdown."""
    told = f"**{fmt.plain(name(row))}**: {levels(row)}, {size(row)}, since {since(row, present, zone)}"
    others = moved(row)
    return f"{told}; {others}" if others else told


def part(row: Row) -> str:
    """`+38 ms of +45 ms (84 %)`, where times add up."""
    if row["share"] is None:
        return ""
    own = fmt.duration_ms(abs(row["after"] - row["before"]))
    whole = fmt.duration_ms(abs(row["of_ms"]))
    sign, of = ("+" if row["after"] >= row["before"] else "-"), ("+" if row["of_ms"] >= 0 else "-")
    return f"{sign}{own} of {of}{whole} ({100 * row['share']:.0f} %)"
