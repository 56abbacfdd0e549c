"""What baselines and comparisons with them say, in words. Free of Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dashboard import format as fmt

Row = Mapping[str, Any]

MEASURES = {"p50": "p50", "p95": "p95", "p99": "p99", "errors": "Errors", "throughput": "Requests/s"}


@dataclass(frozen=True)
class Word:
    """A verdict for people; the colour is never its only sign."""

    text: str
    colour: Literal["red", "green", "gray", "blue"]
    icon: str


VERDICTS = {
    "regressed": Word("▼ regressed", "red", ":material/trending_down:"),
    "improved": Word("▲ improved", "green", ":material/trending_up:"),
    "no_change": Word("no change", "blue", ":material/check_circle:"),
    "not_enough_data": Word("not enough data", "gray", ":material/help:"),
}
"""In the order in which they are shown."""


def counted(rows: Sequence[Row]) -> list[tuple[Word, str]]:
    """How many findings of each verdict there are: `2 regressed`."""
    found = []
    for verdict, word in VERDICTS.items():
        n = sum(row["verdict"] == verdict for row in rows)
        if n:
            found.append((word, f"{fmt.count(n)} {word.text.lstrip('▼▲ ')}"))
    return found


def by_verdict(rows: Sequence[Row]) -> list[Row]:
    """The findings, regressions first and the largest of them first."""
    order = list(VERDICTS)
    return sorted(rows, key=lambda row: (order.index(row["verdict"]), -abs(row["size"] or 0.0)))


def value(number: float | None, unit: str, *, above: bool = False) -> str:
    """A level: a time, a share, or requests per second."""
    if number is None:
        return fmt.NOTHING
    if unit == "ms":
        return fmt.duration_ms(number, above=above)
    return fmt.ratio(number) if unit == "ratio" else f"{number:,.1f}/s"


def size(row: Row) -> str:
    """The change: percent, of shares of errors points."""
    return fmt.NOTHING if row["size"] is None else _signed(row["size"], row["unit"])


def interval(row: Row) -> str:
    """The 95 % interval of the change."""
    if row["size"] is None:
        return fmt.NOTHING
    high = "more" if row["high"] is None else _signed(row["high"], row["unit"])
    return f"{_signed(row['low'], row['unit'])} to {high}"


def _signed(share: float, unit: str) -> str:
    return f"{100 * share:+.1f} {'points' if unit == 'ratio' else '%'}"


def where(row: Row) -> str:
    """Which endpoint a finding is about."""
    if row["endpoint"]:
        return str(row["endpoint"])
    return "all endpoints" if row["measure"] == "throughput" else "median over endpoints"
