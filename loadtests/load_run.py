"""What all users of one Locust process share: plan, requests, spool, cap, and what the beats tell."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.asker import Asker
from loadtests.cap import Cap
from loadtests.prepared import Prepared, prepare
from loadtests.rundir import read_plan, read_values
from loadtests.site import Site
from loadtests.spool import Spool
from warehouse.plan import Plan


@dataclass
class LoadRun:
    """One process's part of a run. `share` is the part of the whole load that it may send."""

    plan: Plan
    site: Site
    prepared: Mapping[int, Prepared]
    spool: Spool
    cap: Cap
    worker: int
    values: dict[str, Any]
    _users: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def open(cls, run_dir: Path, worker: int, workers: int) -> LoadRun:
        """Read the plan and open the spool. Raises PerfhouseError or OSError."""
        plan = read_plan(run_dir)
        site, prepared = prepare(plan)
        share = plan.max_requests_per_s / max(workers, 1)
        return cls(plan, site, prepared, Spool(run_dir, worker), Cap(share), worker, read_values(run_dir))

    def __post_init__(self) -> None:
        self.requests = [self.prepared[request.endpoint] for request in self.plan.requests]
        self._weights = list(itertools.accumulate(request.weight for request in self.plan.requests))

    def next_user(self) -> Asker:
        """A user of its own, with a number that no other of this process has."""
        return Asker(self.site, self.spool, self.cap, next(self._users), self.values)

    def draw(self) -> Prepared:
        """One request by weight."""
        drawn = random.random() * self._weights[-1]
        return self.requests[bisect.bisect_right(self._weights, drawn)]

    def think_s(self) -> float:
        """How long a user thinks now."""
        low, high = self.plan.think_s
        return low if low == high else random.uniform(low, high)
