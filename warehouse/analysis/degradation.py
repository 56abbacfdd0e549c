"""When a load test's answers got clearly worse than at low load: windows of time, and the first bad stretch.

A window is bad where its p95 is at least twice, and 20 ms more than, the median p95 of the windows with the
least load; or where a twentieth of its requests fail and a hundredth did not at low load; or where users
rose by half and the throughput of good answers (a mean over five windows) by less than a twentieth. Bad
windows that follow one another, with at most one good one between, are a stretch. The onset is the start of
the first stretch of three windows or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from warehouse.analysis.requests import Bools, Floats, Ints, Requests

WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
MOST_WINDOWS = 240
FEWEST_WINDOWS = 6
ENOUGH = 20
"""Requests that a window's p95 stands on: one in twenty lies above it."""

LOW_SHARE = 0.25
"""Of all windows so many, those with the fewest users, are the low load."""

TIMES_WORSE, MS_WORSE = 2.0, 20.0
BAD_ERRORS, GOOD_ERRORS = 0.05, 0.01
USERS_ROSE, THROUGHPUT_ROSE, SMOOTHED = 1.5, 1.05, 5
SHORTEST_STRETCH = 3


@dataclass(frozen=True)
class Windows:
    """A run in windows of `width_s`; what could not be measured in one is NaN."""

    width_s: float
    from_s: Floats
    n: Ints
    users: Floats
    good_rps: Floats
    mean_ms: Floats
    p95_ms: Floats
    error_ratio: Floats

    def __len__(self) -> int:
        return len(self.from_s)


@dataclass(frozen=True)
class Stretch:
    """The first stretch of bad windows: from `from_s` to `to_s`, in `kind` p95, errors or throughput.

    `low` are the windows of low load before it, `bad` those of the stretch.
    """

    kind: str
    from_s: float
    to_s: float
    low: Bools
    bad: Bools


def windows_of(requests: Requests, length_s: float, users_at_s: Floats, users: Floats) -> Windows:
    """Cut a run into windows wide enough for a p95. `users` are those at some seconds of it.

    With open arrivals, of which users are no measure, their rate stands in for users.
    """
    width_s = _width(requests, length_s)
    count = max(1, int(length_s // width_s))
    starts = np.arange(count, dtype=np.float64) * float(width_s)
    place = (requests.at_s // width_s).astype(np.int64)
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(count + 1))
    told = [_tell(requests.where(order[low:high])) for low, high in pairwise(edges)]
    n, good, mean, p95, errors = (np.array(column, dtype=np.float64) for column in zip(*told, strict=True))
    user_place = np.clip((users_at_s // width_s).astype(np.int64), 0, count - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        told_users = np.bincount(user_place, minlength=count).astype(np.float64)
        summed_users = np.bincount(user_place, weights=users, minlength=count)
        mean_users = np.asarray(summed_users / told_users, dtype=np.float64)
    return Windows(
        float(width_s), starts, n.astype(np.int64), mean_users, good / float(width_s), mean, p95, errors
    )


def _width(requests: Requests, length_s: float) -> int:
    """The narrowest width that gives at most MOST_WINDOWS, most of them with ENOUGH requests."""
    for width_s in WIDTHS_S:
        count = int(length_s // width_s)
        if count > MOST_WINDOWS:
            continue
        if count <= FEWEST_WINDOWS:
            return width_s
        n = np.bincount((requests.at_s // width_s).astype(np.int64).clip(0), minlength=count)
        if np.median(n[:count]) >= ENOUGH:
            return width_s
    return WIDTHS_S[-1]


def _tell(own: Requests) -> tuple[float, float, float, float, float]:
    """n, good answers, mean and p95 of what is ranked (ms), share of failures."""
    ranked = own.corrected_us[own.ranked]
    found = own.percentile(95)
    return (
        len(own),
        float((~own.is_failed).sum()),
        float(ranked.mean()) / 1000 if len(ranked) else np.nan,
        found.value if found.value is not None and found.n >= ENOUGH else np.nan,
        float(own.is_failed.mean()) if len(own) else np.nan,
    )


def first_stretch(windows: Windows) -> Stretch | None:
    """The first stretch of bad windows; None where nothing got clearly worse."""
    low = low_load(windows)
    found = []
    for kind, bad in _badness(windows, low).items():
        for first, last in _stretches(bad):
            marked = np.zeros(len(windows), dtype=np.bool_)
            marked[first : last + 1] = True
            start, end = float(windows.from_s[first]), float(windows.from_s[last] + windows.width_s)
            found.append(Stretch(kind, start, end, low & ~marked & (windows.from_s < end), marked))
    return min(found, key=lambda stretch: stretch.from_s, default=None)


def low_load(windows: Windows) -> Bools:
    """The windows with the fewest users; among equals the first ones."""
    judged = np.flatnonzero(np.isfinite(windows.p95_ms))
    count = max(2, round(len(windows) * LOW_SHARE))
    order = judged[np.lexsort((judged, np.nan_to_num(np.round(windows.users[judged]), nan=np.inf)))]
    low = np.zeros(len(windows), dtype=np.bool_)
    low[order[:count]] = True
    return low


def _badness(windows: Windows, low: Bools) -> dict[str, Bools]:
    if not low.any():
        return {}
    level = float(np.median(windows.p95_ms[low]))
    errors = float(np.nanmedian(windows.error_ratio[low]))
    with np.errstate(invalid="ignore"):
        return {
            "p95": windows.p95_ms >= max(TIMES_WORSE * level, level + MS_WORSE),
            "errors": (windows.error_ratio >= BAD_ERRORS) & (errors <= GOOD_ERRORS),
            "throughput": _flat(windows),
        }


def _flat(windows: Windows) -> Bools:
    """Where users rose since an earlier window, and good answers per second did not."""
    flat = np.zeros(len(windows), dtype=np.bool_)
    rps = _smooth(windows.good_rps)
    for place in range(1, len(windows)):
        fewer = np.flatnonzero(windows.users[:place] * USERS_ROSE <= windows.users[place])
        fewer = fewer[windows.users[fewer] > 0]
        if len(fewer):
            flat[place] = 0 < rps[place] <= float(rps[fewer].max()) * THROUGHPUT_ROSE
    return flat


def _smooth(values: Floats) -> Floats:
    """Each value's mean with its neighbours, of fewer at the ends."""
    ones = np.ones(min(SMOOTHED, len(values)))
    smooth: Floats = np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")
    return smooth


def _stretches(bad: Bools) -> Sequence[tuple[int, int]]:
    """First and last window of each stretch that is long enough, forgiving single good ones."""
    places = np.flatnonzero(bad)
    if not len(places):
        return []
    parts = np.split(places, np.flatnonzero(np.diff(places) > 2) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts if len(part) >= SHORTEST_STRETCH]
