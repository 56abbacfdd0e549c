"""Whether a load test waited for queries: query time against what requests took, from query statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warehouse.analysis.requests import Bools, Floats
from warehouse.analysis.resources import Candidate, Case, Queries, clock

EXPLAINED = 0.5
"""Of the rise in latency, or of a request at low load, so much must be query time."""

PLATEAU_WITHIN = 0.25
"""By how much the busy sessions of the stretch's halves may differ."""

BUSY_SESSIONS = 0.8
"""So many sessions busy at least: less than one that is never free limits nothing."""

RANK = 7
LONGEST_TEXT = 120


@dataclass(frozen=True)
class _Period:
    """Some intervals of a database's statistics, with the requests of the same time."""

    sessions: float
    query_ms: float
    """Of one request."""
    request_ms: float


def query_bound(case: Case) -> list[Candidate]:
    """A candidate for each database whose queries held the requests up."""
    targets = dict.fromkeys(queries.target for queries in case.resources.queries)
    found = [_of_target(case, target) for target in targets]
    return [candidate for candidate in found if candidate is not None]


def _of_target(case: Case, target: str) -> Candidate | None:
    own = [queries for queries in case.resources.queries if queries.target == target]
    edges = sorted({(low, high) for each in own for low, high in zip(each.from_s, each.to_s, strict=True)})
    from_s, to_s = (np.array(side) for side in zip(*edges, strict=True))
    total_ms = _summed(own, from_s)
    low, bad = (
        _share_of(case, from_s, to_s, case.stretch.low),
        _share_of(case, from_s, to_s, case.stretch.bad),
    )
    before, during = (_period(case, from_s, to_s, total_ms, chosen) for chosen in (low, bad))
    if during is None or during.sessions < BUSY_SESSIONS or not _is_level(total_ms / (to_s - from_s), bad):
        return None
    why = _explained(before, during)
    sessions = total_ms / (to_s - from_s) / 1000
    full = np.flatnonzero(bad & (sessions >= 0.9 * float(np.median(sessions[bad]))))
    interval_s = float(np.median(to_s - from_s))
    if not why or not len(full) or from_s[full[0]] > case.onset_s + interval_s:
        return None
    at_s = float(max(0.0, from_s[full[0]]))
    text = (
        f"queries of {target}: {during.sessions:.1f} sessions busy from {clock(at_s)} on, "
        f"{_foremost(own, low, bad, from_s)}; {why}"
    )
    return Candidate("queries", target, text, at_s, interval_s, RANK, int(bad.sum()))


def _summed(own: Sequence[Queries], from_s: Floats) -> Floats:
    """Query time of all shapes, interval by interval."""
    total = np.zeros(len(from_s))
    for queries in own:
        np.add.at(total, np.searchsorted(from_s, queries.from_s), queries.total_ms)
    return total


def _share_of(case: Case, from_s: Floats, to_s: Floats, marked: Bools) -> Bools:
    """Intervals of which at least half lies in the marked windows."""
    windows = case.windows
    covered = np.zeros(len(from_s))
    for start in windows.from_s[marked]:
        covered += np.clip(np.minimum(to_s, start + windows.width_s) - np.maximum(from_s, start), 0, None)
    share: Bools = covered >= (to_s - from_s) / 2
    return share


def _period(case: Case, from_s: Floats, to_s: Floats, total_ms: Floats, chosen: Bools) -> _Period | None:
    """What the chosen intervals tell together; None where there are none, or no requests in them."""
    if not chosen.any():
        return None
    windows = case.windows
    times = np.append(windows.from_s, windows.from_s[-1] + windows.width_s)

    def during(values: Floats) -> float:
        upto = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
        parts = np.interp(to_s[chosen], times, upto) - np.interp(from_s[chosen], times, upto)
        return float(parts.sum())

    n = during(windows.n.astype(np.float64))
    if n <= 0:
        return None
    query_ms, length_s = float(total_ms[chosen].sum()), float((to_s - from_s)[chosen].sum())
    return _Period(query_ms / length_s / 1000, query_ms / n, during(windows.mean_ms * windows.n) / n)


def _is_level(load: Floats, bad: Bools) -> bool:
    """Whether as much ran at once in the second half of the stretch as in its first."""
    values = load[bad]
    if len(values) < 2:
        return True
    first, second = float(values[: len(values) // 2].mean()), float(values[len(values) // 2 :].mean())
    return abs(second - first) <= PLATEAU_WITHIN * max(first, second)


def _explained(before: _Period | None, during: _Period) -> str:
    """Why queries are what requests waited for, in numbers; empty where they are not."""
    if before is None:
        share = during.query_ms / during.request_ms
        return f"query time was {min(1.0, share):.0%} of a request" if share >= EXPLAINED else ""
    rise = during.request_ms - before.request_ms
    share = (during.query_ms - before.query_ms) / rise if rise > 0 else 0.0
    if share >= EXPLAINED:
        return (
            f"query time of a request rose from {before.query_ms:.3g} to {during.query_ms:.3g} ms, "
            f"{min(1.0, share):.0%} of the rise in its mean latency"
        )
    share = before.query_ms / before.request_ms if before.request_ms > 0 else 0.0
    if share >= EXPLAINED:
        return (
            f"query time was {min(1.0, share):.0%} of a request at low load, and no more sessions ran at once"
        )
    return ""


def _foremost(own: Sequence[Queries], low: Bools, bad: Bools, from_s: Floats) -> str:
    """The shape that most of the stretch's query time went to, and what a call of it took."""

    def within(queries: Queries, chosen: Bools) -> Bools:
        inside: Bools = chosen[np.searchsorted(from_s, queries.from_s)]
        return inside

    totals = [float(queries.total_ms[within(queries, bad)].sum()) for queries in own]
    foremost = own[int(np.argmax(totals))]
    means = []
    for chosen in (low, bad):
        inside = within(foremost, chosen)
        calls = float(foremost.calls[inside].sum())
        if calls:
            means.append(f"{float(foremost.total_ms[inside].sum()) / calls:.3g}")
    text = " ".join(foremost.text.split())
    short = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return f"{max(totals) / sum(totals):.0%} of it with {short} ({' then '.join(means)} ms a call)"
