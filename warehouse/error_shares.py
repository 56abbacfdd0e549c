"""A change of an endpoint's share of errors as it was counted: levels, difference and its interval."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa

from warehouse.analysis.two_shares import Counted, difference
from warehouse.change_points import Found
from warehouse.questions.asking import MAX_BUCKETS
from warehouse.questions.judge_again import ERRORS
from warehouse.questions.percentiles import PercentileTrend, percentile_trend
from warehouse.watched import Ask, trend_of

BEFORE = timedelta(days=1)
"""So much before the change is counted at most."""


def as_counted(ask: Ask, found: Found, step_s: int) -> Found:
    """The change with what was counted in the day before it, at its own level, and since.

    The watch looks at shares that are drawn in, so that none is a number too. Where nothing was counted on
    a side any more, it is left as it was watched. Raises what asking raises.
    """
    until = found.at + timedelta(seconds=step_s * found.points_after)
    begin = max(found.at - BEFORE, found.since or found.at - BEFORE)
    before = _counted(ask, found, begin, found.at, step_s)
    after = _counted(ask, found, found.at, until, step_s)
    told = difference(before, after)
    if told is None:
        return found
    return replace(
        found,
        before=before.share,
        after=after.share,
        size=after.share / before.share - 1 if before.share else None,
        low=None,
        high=None,
        low_difference=told.low,
        high_difference=told.high,
    )


def is_enough(found: Found) -> bool:
    """Whether a share of errors changed by enough as it was counted; of all else that is known before."""
    return found.metric.name != ERRORS or abs(found.after - found.before) >= found.metric.floor


def _counted(ask: Ask, found: Found, start: datetime, end: datetime, step_s: int) -> Counted:
    """Failures and attempts in points of a window, wider ones than were watched where those are many."""
    trend = trend_of(start, end, step_s)
    asked = PercentileTrend(
        **{**trend, "buckets": min(trend["buckets"], MAX_BUCKETS)},
        target=(found.series.target,),
        endpoint=(found.series.object,),
    )
    rows = ask(percentile_trend(asked))
    return Counted(*(rows[name].cast(pa.float64()).to_numpy() for name in ("errors", "attempts")))
