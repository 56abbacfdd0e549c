"""The range of time a page shows: its form in the address, and what it means at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType

PRESETS: Mapping[str, timedelta] = MappingProxyType(
    {
        "15m": timedelta(minutes=15),
        "1h": timedelta(hours=1),
        "6h": timedelta(hours=6),
        "24h": timedelta(hours=24),
        "7d": timedelta(days=7),
        "30d": timedelta(days=30),
        "1y": timedelta(days=365),
    }
)
"""Ranges that end now."""

WHOLE: Mapping[str, timedelta] = MappingProxyType(
    {"7d": timedelta(hours=1), "30d": timedelta(hours=1), "1y": timedelta(days=1)}
)
"""Long ranges begin with a whole hour or day (UTC): before it, single rows would be read for a sliver."""

DEFAULT = "1h"
YOUNG = "15m"
"""The default while all data is younger than this."""

STEP_S = 2
"""Windows that end now end on multiples of this, so that reruns within it ask the same again."""

SHORTEST = timedelta(seconds=10)
LONGEST = timedelta(days=400)
FUTURE = timedelta(days=1)
_FORM = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Window:
    """From `start` to before `end`; `text` is its form in the address."""

    start: datetime
    end: datetime
    text: str

    @property
    def follows_now(self) -> bool:
        """Whether the window moves with the clock."""
        return self.text in PRESETS

    @property
    def span(self) -> timedelta:
        """Its length."""
        return self.end - self.start

    @property
    def previous(self) -> Window:
        """The window of the same length right before."""
        start, end = self.start - self.span, self.start
        return Window(start, end, absolute(start, end))


def default_range(oldest: datetime | None, present: datetime) -> str:
    """The range to show when none is chosen: shorter while there are only minutes of data."""
    young = oldest is not None and present - oldest < PRESETS[YOUNG]
    return YOUNG if young else DEFAULT


def absolute(start: datetime, end: datetime) -> str:
    """A fixed window's form in the address: UTC, whole seconds, rounded outwards."""
    until = end.astimezone(UTC)
    if until.microsecond:
        until += timedelta(seconds=1)
    return f"{start.astimezone(UTC).strftime(_FORM)}-{until.strftime(_FORM)}"


def resolve(text: str, present: datetime) -> Window | None:
    """What a range means now; None for one that means nothing."""
    if text in PRESETS:
        seconds = -(-present.timestamp() // STEP_S) * STEP_S
        end = datetime.fromtimestamp(seconds, UTC)
        return Window(_whole(end - PRESETS[text], WHOLE.get(text)), end, text)
    begin, _, until = text.partition("-")
    try:
        start, end = (datetime.strptime(part, _FORM).replace(tzinfo=UTC) for part in (begin, until))
    except ValueError:
        return None
    return None if problem(start, end, present) else Window(start, end, text)


def _whole(start: datetime, step: timedelta | None) -> datetime:
    """The start, or the last multiple of a step that is not after it."""
    return start - (start - datetime.fromtimestamp(0, UTC)) % step if step else start


def problem(start: datetime, end: datetime, present: datetime) -> str:
    """Why a window cannot be shown; empty when it can."""
    if end <= start:
        return "The end must be after the start."
    if end - start < SHORTEST:
        return f"The shortest range is {SHORTEST.seconds} seconds."
    if end - start > LONGEST:
        return f"The longest range is {LONGEST.days} days."
    if start > present:
        return "The start lies in the future."
    if end > present + FUTURE:
        return "The end lies more than a day in the future."
    return ""


def drawn(edges: tuple[object, object], zone: tzinfo, present: datetime) -> str | None:
    """The range of a box drawn on a chart, whose times are the reader's; None when it is unusable."""
    try:
        instants = sorted(
            datetime.fromisoformat(_padded(str(edge))).replace(tzinfo=zone).astimezone(UTC) for edge in edges
        )
    except ValueError:
        return None
    start, end = instants[0], max(instants[1], instants[0] + SHORTEST)
    start, end = start.replace(microsecond=0), min(end, present + timedelta(seconds=STEP_S))
    return None if problem(start, end, present) else absolute(start, end)


def _padded(edge: str) -> str:
    """Plotly writes `2026-01-01 00:14:37.4003`, and `2026-01-01 00:14` or a bare date at round times."""
    whole, dot, fraction = edge.replace(" ", "T").partition(".")
    return f"{whole}{dot}{fraction[:6].ljust(6, '0')}" if dot else whole
