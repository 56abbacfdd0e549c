"""Criteria of load tests: read from text, judged against what was measured, never passed without data.

`[endpoint:] METRIC OP NUMBER UNIT [for Ns] [, stop]`, in the spirit of Taurus' pass/fail criteria:

    p95 < 500ms
    GET /api/v1/invoices: p99 < 1.5s
    errors > 5% for 10s, stop
    rps >= 40/s

For metrics of which less is better `<` and `<=` say what must hold, `>` and `>=` what must not; for `rps`
it is the other way round. Both may be written: `errors < 5%` and `errors >= 5%` mean the same.
`for 10s` looks at every 10 seconds of the run instead of at all of it; `, stop` ends the run when it is
broken.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

LONGEST_TEXT = 300
LONGEST_WINDOW_S = 3600

SHAPE = "[endpoint:] METRIC OP NUMBER UNIT [for Ns] [, stop], as `p95 < 500ms` or `errors > 5% for 10s, stop`"


class Metric(StrEnum):
    """What a criterion may be about. Times are corrected ones: from when a request was due to its end."""

    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"
    MEAN = "mean"
    MAX = "max"
    ERRORS = "errors"
    RPS = "rps"
    DROPPED = "dropped"


PERCENTILES = {Metric.P50: 50, Metric.P90: 90, Metric.P95: 95, Metric.P99: 99}
"""Metrics that are percentiles, with their percent."""

TIME_UNITS = {"ms": 1.0, "s": 1000.0}
UNITS: Mapping[Metric, Mapping[str, float]] = {
    **dict.fromkeys((*PERCENTILES, Metric.MEAN, Metric.MAX), TIME_UNITS),
    Metric.ERRORS: {"%": 0.01},
    Metric.RPS: {"/s": 1.0},
    Metric.DROPPED: {"": 1.0, "%": 0.01},
}
"""The units each metric may be told in, with what makes them ms, a ratio, 1/s or a count."""

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

GRAMMAR = re.compile(
    r"(?:(?P<endpoint>[^\x00-\x1f\x7f]+?)\s*:\s*)?"
    r"(?P<metric>[a-z][a-z0-9]*)\s*(?P<operator><=|>=|<|>)\s*"
    r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(?P<unit>[a-z%/]*?)"
    r"(?:\s+for\s+(?P<window>[0-9]+)\s*s)?(?P<stop>\s*,\s*stop)?"
)


class Verdict(StrEnum):
    """What is said of a criterion, or of all of them."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    NO_DATA = "no_data"


@dataclass(frozen=True)
class Reading:
    """What was measured of a metric: in ms, a ratio, 1/s or a count, over `n` requests.

    `value` is None where nothing was measured. `is_above`: the true value lies above it (a timeout).
    `at_s` is the end of a window, in seconds since the run's start.
    """

    value: float | None
    n: int
    is_above: bool = False
    at_s: float | None = None
    why: str = ""
    """Why there is no value."""


@dataclass(frozen=True)
class Criterion:
    """One criterion, as it was read. `number` is in `unit`, `limit` in ms, a ratio, 1/s or a count."""

    endpoint: str
    metric: Metric
    operator: str
    number: float
    unit: str
    window_s: int | None = None
    """Seconds of each window it looks at; None: the whole run."""
    stops: bool = False

    @property
    def limit(self) -> float:
        return self.number * UNITS[self.metric][self.unit]

    @property
    def requires(self) -> bool:
        """Whether it says what must hold, and not what must not."""
        return (self.operator in {">", ">="}) == (self.metric is Metric.RPS)

    @property
    def text(self) -> str:
        """The criterion as `parse` reads it."""
        endpoint = f"{self.endpoint}: " if self.endpoint else ""
        window = f" for {self.window_s}s" if self.window_s else ""
        stop = ", stop" if self.stops else ""
        return f"{endpoint}{self.metric} {self.operator} {_plain(self.number)}{self.unit}{window}{stop}"

    @property
    def enough(self) -> int:
        """Requests a verdict needs: a percentile p stands on 10 beyond it, n >= 10 / (1 - p).

        A share of errors or dropped arrivals is fine enough when one of them is not more than the limit.
        """
        if self.metric in PERCENTILES:
            return 1000 // (100 - PERCENTILES[self.metric])
        if self.metric is Metric.MEAN:
            return 20
        if self.unit == "%" and self.number > 0:
            return math.ceil(round(100 / self.number, 9))
        return 0 if self.metric in {Metric.RPS, Metric.DROPPED} else 1

    def broken(self, value: float) -> bool:
        """Whether the measured value breaks it. In ms, a ratio, 1/s or a count; infinite for a timeout."""
        held = OPERATORS[self.operator](value, self.limit)
        return held != self.requires

    def verdict(self, reading: Reading) -> Verdict:
        """What one reading says. Too few requests say nothing, unless the failures alone are too many."""
        if reading.value is None:
            return Verdict.NO_DATA
        if reading.n < self.enough:
            too_many = self.unit == "%" and self.broken(reading.value * reading.n / self.enough)
            return Verdict.FAIL if too_many else Verdict.NO_DATA
        value = math.inf if reading.is_above else reading.value
        return Verdict.FAIL if self.broken(value) else Verdict.PASS


@dataclass(frozen=True)
class Result:
    """How one criterion came out: `value` in ms, a ratio, 1/s or a count, over `n` requests, and why."""

    text: str
    verdict: Verdict
    value: float | None
    n: int
    why: str
    is_above: bool = False


Measured = Callable[[Criterion], Sequence[Reading]]
"""What was measured for a criterion: one reading of the whole run, or one of each window."""


def parse(text: str) -> Criterion:
    """Read one criterion. Raises ValueError saying what was expected."""
    found = GRAMMAR.fullmatch(text.strip()) if len(text) <= LONGEST_TEXT else None
    if found is None:
        raise ValueError(f"expected {SHAPE}")
    if found["metric"] not in list(Metric):
        raise ValueError(f"expected a metric of {', '.join(Metric)}, not {found['metric']}")
    metric = Metric(found["metric"])
    units = UNITS[metric]
    if found["unit"] not in units:
        told = " or ".join(unit or "no unit" for unit in units)
        raise ValueError(f"expected {told} after the number of {metric}, not {found['unit'] or 'nothing'}")
    number = float(found["number"])
    if found["unit"] == "%" and number > 100:
        raise ValueError("expected at most 100%")
    window_s = int(found["window"]) if found["window"] else None
    if window_s is not None and not 1 <= window_s <= LONGEST_WINDOW_S:
        raise ValueError(f"expected `for` 1s to {LONGEST_WINDOW_S}s")
    endpoint = (found["endpoint"] or "").strip()
    return Criterion(
        endpoint, metric, found["operator"], number, found["unit"], window_s, found["stop"] is not None
    )


def judge(criteria: Sequence[Criterion], measured: Measured) -> list[Result]:
    """How each criterion came out, in their order."""
    return [_judge_one(criterion, measured(criterion)) for criterion in criteria]


def overall(results: Sequence[Result]) -> Verdict | None:
    """The verdict of a run: the worst of its criteria, no data being worse than a pass; None: no criteria."""
    for verdict in (Verdict.FAIL, Verdict.NO_DATA, Verdict.PASS):
        if any(result.verdict is verdict for result in results):
            return verdict
    return None


def _judge_one(criterion: Criterion, readings: Sequence[Reading]) -> Result:
    """One that looks at windows fails with the worst, and passes when most of them could be judged."""
    if not readings:
        return Result(criterion.text, Verdict.NO_DATA, None, 0, "nothing was measured")
    verdicts = [criterion.verdict(reading) for reading in readings]
    for verdict in (Verdict.FAIL, Verdict.PASS, Verdict.NO_DATA):
        told = [reading for reading, own in zip(readings, verdicts, strict=True) if own is verdict]
        if not told:
            continue
        worst = _worst(criterion, told)
        if verdict is Verdict.PASS and len(told) * 2 < len(readings):
            why = f"not enough samples: only {len(told)} of {len(readings)} windows could be judged"
            return Result(criterion.text, Verdict.NO_DATA, worst.value, worst.n, why, worst.is_above)
        why = _why(criterion, verdict, worst)
        if criterion.window_s and verdict is not Verdict.NO_DATA:
            why += (
                f" in the {criterion.window_s} s to {worst.at_s or 0:.0f} s; {len(told)} of {len(readings)}"
            )
            why += " windows broke it" if verdict is Verdict.FAIL else " windows were judged, none broke it"
        return Result(criterion.text, verdict, worst.value, worst.n, why, worst.is_above)
    raise AssertionError("unreachable")


def _worst(criterion: Criterion, readings: Sequence[Reading]) -> Reading:
    def badness(reading: Reading) -> tuple[float, int]:
        if reading.value is None:
            return (-math.inf, reading.n)
        value = math.inf if reading.is_above else reading.value
        return (-value if criterion.metric is Metric.RPS else value, reading.n)

    return max(readings, key=badness)


def _why(criterion: Criterion, verdict: Verdict, reading: Reading) -> str:
    if reading.value is None:
        return reading.why or "nothing was measured"
    if verdict is Verdict.NO_DATA:
        return f"not enough samples: {reading.n} of the {criterion.enough} that {criterion.metric} needs"
    return f"{criterion.metric} was {told(criterion, reading)}, n = {reading.n}"


def told(criterion: Criterion, reading: Reading | Result) -> str:
    """The measured value in the criterion's own unit, as `> 3 s`, for people.

    Three digits, or as many more as tell it from the limit.
    """
    if reading.value is None:
        return "unknown"
    above = "> " if reading.is_above else ""
    value = reading.value / UNITS[criterion.metric][criterion.unit]
    rounded = (float(f"{value:.{digits}g}") for digits in (3, 4, 6, 9))
    side = _side(value, criterion.number)
    shown = next((each for each in rounded if _side(each, criterion.number) == side), value)
    space = "" if criterion.unit in ("", "/s") else " "
    return f"{above}{_plain(shown)}{space}{criterion.unit}"


def _side(value: float, limit: float) -> int:
    """Below, at or above the limit."""
    return (value > limit) - (value < limit)


def _plain(number: float) -> str:
    """The shortest decimal that reads back as the same number, without an exponent."""
    text = f"{Decimal(repr(number)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
