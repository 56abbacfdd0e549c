"""Which resource saturated first in a load test: named with its evidence in numbers, or unknown and why.

The onset is when answers got clearly worse (`degradation`). A resource counts when it reached its limit not
later than its sampling interval after the onset and stayed there: four in five of its samples from then to
the end of the bad stretch. The limits:

- the generator: 90 % of a core in one of its processes, or arrivals that it dropped. It comes before
  everything else, since then the run tells more of the generator than of the target;
- a process: 95 % of one core for each process of its name, and not more than 110 %: what runs on one core
  can do no more, whatever else is free. The generator's own processes are left out where they can be told;
- a host: 95 % of all its cores, of a disk's time, or of memory;
- a database: 95 % of the connections there are; as many sessions waiting for locks as half of those active;
- queries: so many sessions busy with queries as do not grow any more while requests wait, and query time
  that explains at least half of the rise in latency, or that already was at least half of it at low load.
  Only while no CPU is exhausted: a slow CPU makes slow queries.

The first to reach its limit during the run is named; what was there before the run already was not brought
there by it, and is named only where nothing else is. Within one sampling interval the more specific one is
named: the generator, a process, a host's CPU, memory, a disk, locks, connections, queries. What was not
watched cannot be named.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from warehouse.analysis.degradation import FEWEST_WINDOWS, Windows, first_stretch
from warehouse.analysis.query_bound import query_bound
from warehouse.analysis.requests import Floats
from warehouse.analysis.resources import (
    UNKNOWN,
    Candidate,
    Case,
    Finding,
    Resources,
    Track,
    clock,
    level,
    reached,
    worse,
)

GENERATOR_LIMIT = 0.9
CORE_LIMIT, CORE_MOST = 0.95, 1.10
FULL = 0.95
LOCKED_SHARE = 0.5


def saturated_first(windows: Windows, resources: Resources) -> Finding:
    """The first resource at its limit, or unknown with the reason."""
    if len(windows) < FEWEST_WINDOWS or not np.isfinite(windows.p95_ms).any():
        return unknown(
            f"too few requests or too short: {int(windows.n.sum())} requests in "
            f"{len(windows) * windows.width_s:.0f} s"
        )
    stretch = first_stretch(windows)
    if stretch is None:
        low, high = np.nanmin(windows.p95_ms), np.nanmax(windows.p95_ms)
        return unknown(f"nothing got clearly worse: p95 lay between {low:.3g} and {high:.3g} ms")
    case = Case(windows, stretch, resources)
    candidates = [found for rule in RULES for found in rule(case)]
    if not any(found.resource.startswith("CPU") or found.resource == "generator" for found in candidates):
        candidates += query_bound(case)
    if not candidates:
        return unknown(f"{worse(case)}, and {_seen(case)}")
    return _named(case, candidates)


def _named(case: Case, candidates: Sequence[Candidate]) -> Finding:
    generator = [found for found in candidates if found.resource == "generator"]
    before = [found for found in candidates if found.at_s <= 0]
    during = [found for found in candidates if found.at_s > 0] or before
    earliest = min(found.at_s for found in during)
    close = [found for found in during if found.at_s <= earliest + found.interval_s]
    first = min(generator or close, key=lambda found: (found.rank, found.at_s))
    others = [found for found in close if found is not first and found.rank != first.rank]
    text = f"{first.text}, {worse(case)}"
    if others:
        text += "; at the same time: " + "; ".join(found.text for found in others)
    if before and first not in before:
        text += "; before the run already: " + "; ".join(found.text for found in before)
    sure = not others and not before and first.samples > 1
    at_s = max(0.0, first.at_s)
    return Finding(first.resource, first.object, text, at_s, "high" if sure else "low")


def _generator(case: Case) -> list[Candidate]:
    found = []
    for track in case.resources.of("generator_cpu_ratio"):
        hit = reached(case, track, GENERATOR_LIMIT)
        if hit:
            text = (
                f"CPU of the generator: {level(case, track, hit[0]):.2f} of one core from {clock(hit[0])} on"
            )
            found.append(Candidate("generator", track.object, text, hit[0], track.interval_s, 0, hit[1]))
    for track in case.resources.of("generator_dropped_total"):
        growing = Track(track.kind, track.object, track.metric, track.at_s[1:], np.diff(track.values))
        first = np.flatnonzero((growing.values > 0) & (growing.at_s <= case.onset_s + growing.interval_s))
        if len(first):
            at_s, dropped = float(growing.at_s[first[0]]), float(track.values.max())
            text = f"the generator dropped {dropped:.0f} arrivals from {clock(at_s)} on"
            found.append(Candidate("generator", track.object, text, at_s, growing.interval_s, 0))
    return found


def _processes(case: Case) -> list[Candidate]:
    counts = {(track.kind, track.object): track for track in case.resources.of("process_count")}
    found = []
    for track in case.resources.of("process_cpu_ratio"):
        host, _, name = track.object.partition("/")
        if name in case.resources.generator_processes:
            continue
        count = counts.get((track.kind, track.object))
        processes = max(1.0, level(case, count, case.stretch.from_s)) if count is not None else 1.0
        hit = reached(case, track, CORE_LIMIT * processes)
        if hit is None or level(case, track, hit[0]) > CORE_MOST * processes:
            continue
        cores = "one core" if processes == 1 else f"{processes:.0f} processes' cores"
        text = f"CPU of {name} on {host}: {level(case, track, hit[0]):.2f} of {cores} from {clock(hit[0])} on"
        found.append(Candidate("CPU of a process", name, text, hit[0], track.interval_s, 1, hit[1]))
    return found


def _hosts(case: Case) -> list[Candidate]:
    limits = {
        "cpu_ratio": ("CPU", "CPU of {}: {:.2f} of all its cores", 2),
        "memory_used_ratio": ("memory", "memory of {}: {:.2f} of it used", 3),
        "disk_busy_ratio": ("disk", "disk {}: busy {:.2f} of the time", 4),
    }
    found = []
    for metric, (resource, words, rank) in limits.items():
        for track in case.resources.of(metric):
            hit = reached(case, track, FULL)
            if hit and track.kind == "host":
                text = f"{words.format(track.object, level(case, track, hit[0]))} from {clock(hit[0])} on"
                if metric == "cpu_ratio":
                    text += _hungriest(case, track.object, hit[0])
                found.append(Candidate(resource, track.object, text, hit[0], track.interval_s, rank, hit[1]))
    return found


def _hungriest(case: Case, host: str, since_s: float) -> str:
    used = {
        track.object.partition("/")[2]: level(case, track, since_s)
        for track in case.resources.of("process_cpu_ratio")
        if track.object.startswith(f"{host}/")
    }
    known = {name: value for name, value in used.items() if np.isfinite(value)}
    if not known:
        return ""
    name = max(known, key=lambda each: known[each])
    return f", most by {name}: {known[name]:.2f} cores"


def _connections(case: Case) -> list[Candidate]:
    found = []
    for track in case.resources.of("connections_used_ratio"):
        hit = reached(case, track, FULL)
        if hit:
            share = level(case, track, hit[0])
            text = f"connections of {track.object}: {share:.0%} of them in use from {clock(hit[0])} on"
            found.append(Candidate("connections", track.object, text, hit[0], track.interval_s, 6, hit[1]))
    return found


def _locks(case: Case) -> list[Candidate]:
    active = {track.object: track for track in case.resources.of("connections_active")}
    found = []
    for track in case.resources.of("lock_waits"):
        busy = active.get(track.object)
        shared = _on(busy, track) if busy is not None else np.ones(len(track.at_s))
        share = Track(
            track.kind, track.object, track.metric, track.at_s, track.values / np.maximum(shared, 1)
        )
        hit = reached(case, share, LOCKED_SHARE)
        if hit:
            waits = level(case, track, hit[0])
            text = f"locks in {track.object}: {waits:.0f} sessions waiting for others from {clock(hit[0])} on"
            found.append(Candidate("locks", track.object, text, hit[0], track.interval_s, 5, hit[1]))
    return found


def _on(track: Track, other: Track) -> Floats:
    """A track's values at another's instants."""
    values: Floats = np.interp(other.at_s, track.at_s, track.values)
    return values


def unknown(why: str) -> Finding:
    """That it is not known, and why."""
    return Finding(UNKNOWN, "", why, None, "none")


def _seen(case: Case) -> str:
    """How far the resources that were watched came."""
    names = {
        "generator_cpu_ratio": "CPU of the generator",
        "cpu_ratio": "CPU",
        "memory_used_ratio": "memory",
        "disk_busy_ratio": "disk",
        "connections_used_ratio": "connections",
    }
    told = []
    for metric, name in names.items():
        levels = [level(case, track, case.stretch.from_s) for track in case.resources.of(metric)]
        known = [value for value in levels if np.isfinite(value)]
        if known:
            told.append(f"{name} {max(known):.2f}")
    if not told:
        return "no resource was watched meanwhile"
    return f"no watched resource reached its limit in time: {', '.join(told)}"


RULES = (_generator, _processes, _hosts, _connections, _locks)
