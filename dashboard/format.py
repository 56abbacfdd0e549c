"""Numbers, durations and instants for people, and names that cannot pass for markup."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta, tzinfo

from warehouse.visible import visible

NOTHING = "—"
MIN_N = {50: 1, 95: 20, 99: 100}
"""Attempts a percentile needs to have one attempt above it."""

_MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\`*_{}[]()<>#+-.!|~$&=^"}
_JOINER = "\u2060"
"""Shows nothing, and parts what Markdown would take for a directive, an emoji or an address."""

_ARROWS = re.compile("(?<=[-<>~])(?=[-=>])")
"""Amid what Streamlit would draw as a dash, an arrow or a sign, even where it is escaped."""


def duration_ms(value: float | None, *, above: bool = False) -> str:
    """Milliseconds for people; `above` says that the truth lies beyond: a timeout's deadline."""
    if value is None:
        return NOTHING
    return f"> {_duration(value)}" if above else _duration(value)


def _duration(value: float) -> str:
    if value < 0.995:
        return f"{value:.2f} ms"
    if value < 9.95:
        return f"{value:.1f} ms"
    if value < 999.5:
        return f"{value:.0f} ms"
    if value < 59_950:
        return f"{value / 1000:.2f}".rstrip("0").rstrip(".") + " s"
    return _long_duration(value)


def _long_duration(value: float) -> str:
    """In the two largest units that tell it: `2 min 5 s`, `11 d 10 h`."""
    if value < 3_599_500:
        return _in_two(round(value / 1000), "min", "s", 60)
    if value < 86_370_000:
        return _in_two(round(value / 60_000), "h", "min", 60)
    return _in_two(round(value / 3_600_000), "d", "h", 24)


def _in_two(amount: int, large: str, small: str, room: int) -> str:
    whole, rest = divmod(amount, room)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def seconds(value: float | None) -> str:
    """Seconds for people."""
    return NOTHING if value is None else duration_ms(value * 1000)


def ratio(value: float | None) -> str:
    """A share as percent."""
    if value is None:
        return NOTHING
    percent = value * 100
    if percent in (0, 100) or percent >= 10:
        return f"{percent:.0f} %"
    return "< 0.01 %" if percent < 0.01 else f"{percent:.2g} %"


def precise_ratio(value: float | None) -> str:
    """A share as percent, with the digits that tell 99.1 % from 99.9 %."""
    if value is None or not 0.9 < value < 1:
        return ratio(value)
    return f"{min(value * 100, 99.99):.2f}".rstrip("0").rstrip(".") + " %"


def count(value: float | None) -> str:
    """A whole number with its thousands set apart."""
    return NOTHING if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes for people, in powers of 1024."""
    if value is None:
        return NOTHING
    rest = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(rest) < 999.5:
            return f"{rest:.0f} {unit}" if unit == "B" or abs(rest) >= 99.5 else f"{rest:.1f} {unit}"
        rest /= 1024
    return f"{rest:.1f} TiB"


def number(value: float | None) -> str:
    """A plain number with as many digits as say something."""
    return NOTHING if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit, as the warehouse names units."""
    shown = {"ratio": ratio, "bytes": size, "ms": duration_ms, "s": seconds}.get(unit)
    if shown is not None:
        return shown(value)
    return NOTHING if value is None else f"{size(value)}/s" if unit == "bytes/s" else number(value)


def length(span: timedelta) -> str:
    """A span of time in its one or two largest units."""
    left = max(0, round(span.total_seconds()))
    parts = []
    for unit, room in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, room)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2]) or "0 s"


def age(instant: datetime | None, present: datetime) -> str:
    """How long ago, in the largest unit."""
    if instant is None:
        return "never"
    return " ".join(length(present - instant).split()[:2]) + " ago"


def clock(instant: datetime | None, zone: tzinfo = UTC, *, seconds_too: bool = True) -> str:
    """An instant as date and time in the reader's zone."""
    if instant is None:
        return NOTHING
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S" if seconds_too else "%Y-%m-%d %H:%M")


def time_of(instant: datetime | None, present: datetime, zone: tzinfo = UTC) -> str:
    """The time of day in the reader's zone, with the date where it is not that of `present`."""
    if instant is None:
        return "never"
    local = instant.astimezone(zone)
    same_day = local.date() == present.astimezone(zone).date()
    return local.strftime("%H:%M:%S") if same_day else clock(instant, zone)


def window_text(start: datetime, end: datetime, zone: tzinfo) -> str:
    """From when to when, in the reader's zone, the date said once where it is one."""
    ours, theirs = start.astimezone(zone), end.astimezone(zone)
    until = "%H:%M:%S" if ours.date() == theirs.date() else "%Y-%m-%d %H:%M:%S"
    return f"{clock(start, zone)} → {theirs.strftime(until)}"


def plain(text: object) -> str:
    """Data for a place that reads Markdown: every mark stands for itself."""
    flat = option(text)
    for mark in (":", "@", "www"):
        flat = flat.replace(mark, mark + _JOINER)
    flat = _ARROWS.sub(_JOINER, flat)
    return flat.translate(_MARKDOWN)


def chart_text(text: object, limit: int = 48) -> str:
    """Data for Plotly, which reads some HTML: shortened in the middle, every mark stands for itself."""
    flat = option(text)
    if len(flat) > limit:
        flat = f"{flat[: limit // 2]}…{flat[-(limit // 2 - 1) :]}"
    return html.escape(flat, quote=False).replace("%{", "%\u2060{")


def too_few(n: int, percentile: int) -> str:
    """What to say of a percentile that stands on too few attempts; empty when it does not."""
    least = MIN_N[percentile]
    return f"too few for p{percentile}: n = {count(n)}, wants {least}" if 0 < n < least else ""


def plural(amount: int, one: str, many: str | None = None) -> str:
    """`3 endpoints`, `1 endpoint`."""
    return f"{count(amount)} {one if amount == 1 else many or one + 's'}"


def option(text: object) -> str:
    """Data as an entry of a list to choose from."""
    return visible(" ".join(str(text).split()))
