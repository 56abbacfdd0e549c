"""What Locust runs: users and stages of the plan in PERFHOUSE_RUN_DIR. Started by the launcher alone."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import gevent
import locust.runners
from locust import argument_parser, events
from locust.env import Environment
from locust.runners import Runner

from loadtests.arrivals import Arrivals
from loadtests.guard import Guard
from loadtests.lifecycle import Life
from loadtests.load_run import LoadRun
from loadtests.planned_shape import PlannedShape, SmoothDispatcher
from loadtests.rundir import LAUNCHER, RUN_DIR, WORKER, WORKERS
from loadtests.scenario_user import ScenarioUser
from loadtests.tie import tie_to

MASTER_SILENCE_S = 10
"""A worker ends by itself when its master says nothing for so long."""

tie_to(int(os.environ[LAUNCHER]))
run_dir = Path(os.environ[RUN_DIR])
run = LoadRun.open(run_dir, int(os.environ[WORKER]), int(os.environ[WORKERS]))
locust.runners.MASTER_HEARTBEAT_TIMEOUT = MASTER_SILENCE_S
# Locust 2.47 builds its argument parser anew for each of some 90 options in every message that changes the
# number of users: a worker stands still for 0.3 s each time, and everything it measures with it.
argument_parser.default_args_dict = functools.cache(argument_parser.default_args_dict)


class LoadUser(ScenarioUser):
    """The plan's user."""

    abstract = False
    host = run.plan.url


class LoadShape(PlannedShape):
    """The plan's stages."""

    abstract = False
    plan = run.plan


ScenarioUser.run_of = run
ScenarioUser.arrivals = (
    None
    if run.plan.arrivals == "users" or run.plan.rate_per_s is None
    else Arrivals(run.plan.arrivals, min(run.plan.rate_per_s, run.plan.max_requests_per_s), run.plan.users)
)


@events.init.add_listener
def begin(environment: Environment, runner: Runner, **_: Any) -> None:
    """Wire this process up. gevent's clock is brought up to date, or the first second would be shorter."""
    gevent.get_hub().loop.update_now()
    environment.dispatcher_class = SmoothDispatcher
    guard = Guard(run.plan.addresses)
    guard.install()
    life = Life(run, run_dir, runner, guard)
    environment.events.test_start.add_listener(life.start)
    environment.events.test_stopping.add_listener(life.stopping)
    environment.events.test_stop.add_listener(life.stop)
    environment.events.quit.add_listener(life.quit)
    life.begin()
