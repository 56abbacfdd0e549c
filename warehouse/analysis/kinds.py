"""One fixed setting for each kind of series; chosen on made-up and public series, never on single ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from warehouse.analysis.changes import Setting
from warehouse.analysis.levels import Belief
from warehouse.analysis.pieces import Pieces
from warehouse.analysis.season import Season
from warehouse.analysis.steps import Rules
from warehouse.analysis.watch import Alertness, Watch

LATENCY_RULES = Rules(gain=34, pair_gain=60, widths=(16, 24, 36, 54, 80, 120), shortest=12, smallest=0.05)

LATENCY = Setting(
    rules=LATENCY_RULES,
    season=Season(day=288, drift=0.08),
    spike=21,
    fewest=96,
    vary=True,
    ramp=48,
    shown=25,
)
"""Percentiles of 5 minutes, which have a day and a week."""

RUNS = Belief(rate=0.0025, smallest=0.05, typical=0.3, astray=0.15, far=0.8, sure=0.5, within=2, shortest=4)

LOAD_RUN = Setting(rules=RUNS, spike=9, reach=2.5, firm=2.5, correlated=False)
"""One value of each load test: few, each a run of its own."""

CI = Setting(
    rules=Rules(gain=26, pair_gain=47, widths=(10, 14, 20, 30, 45), shortest=8, smallest=0.03),
    spike=15,
    reach=2.5,
    rounds=4,
)
"""Benchmarks of commits: heavy tails, neighbours alike."""

OTHER = Setting(rules=Pieces(most=5, shortest=5, share=0.05), spike=5, rounds=3)
"""Any other series without a season: it may have a trend, and values of any sign."""

KINDS: Mapping[str, Setting] = {"p95": LATENCY, "nab": LATENCY, "loadrun": LOAD_RUN, "ci": CI}


def setting_of(kind: str) -> Setting:
    """The setting of a kind of series."""
    return KINDS.get(kind, OTHER)


LIVE_LATENCY_RULES = Rules(gain=42, pair_gain=70, widths=(24, 36, 54, 80, 120), shortest=6, smallest=0.08)

LIVE_LATENCY = Alertness(
    rules=LIVE_LATENCY_RULES,
    spike=17,
    memory=4032,
    frozen=36,
    hot=14,
    pause=3,
    recent=60,
    apart=12,
    steady=10,
    ahead=6,
    settled=48,
    late=864,
    shown=30,
)
"""Bursts are of up to four points; a new level has more than two of them together. What is weak is settled in
four hours; a step on the eve of a rest day is told from the rest once that is over.
"""

COUNTED, BUSY = 0.5, 0.1
"""Scatter (logarithmic) of points that tell a share of a few dozen attempts, and of a few dozen samples."""


def setting_by_clock(day: int, first_weekday: int, noise: float, *, counted: bool) -> Setting:
    """How a live series is judged of which `day` points make a day and the first lies on a midnight (UTC).

    Where memory holds no two days there is no season to be learned. `noise` is the least scatter of its
    points; those that are `counted` are alike because most of them are nothing.
    """
    known = 2 * day <= LIVE_LATENCY.memory
    season = replace(LATENCY.season, day=day, first_weekday=first_weekday) if known else Season()
    return replace(LATENCY, season=season, least=noise, correlated=not counted)


LIVE_RUNS = Alertness(
    rules=replace(RUNS, rate=0.002, sure=0.65, shortest=3, early=6, sure_early=0.85),
    spike=7,
    memory=160,
    frozen=0,
    hot=0,
    pause=1,
    recent=24,
    apart=4,
)

LIVE_CI = Alertness(
    rules=Rules(gain=30, pair_gain=50, widths=(10, 14, 20, 30, 45), shortest=5, smallest=0.05),
    spike=9,
    memory=160,
    frozen=0,
    hot=0,
    pause=1,
    recent=20,
    apart=6,
)

LIVE: Mapping[str, Alertness] = {"p95": LIVE_LATENCY, "loadrun": LIVE_RUNS}


def watch_of(kind: str) -> Watch:
    """A new watch over a live series of a kind."""
    return Watch(setting_of(kind), LIVE.get(kind, LIVE_CI))
