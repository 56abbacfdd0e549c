"""Runs a plan's setup or teardown once, in a process of its own: `python -m loadtests.steps RUN_DIR PART`.

Its own process, so that the teardown runs however the load ended. Requests are recorded as worker 0's.
Prints why it failed; exit code 0 when every request was answered as expected, else 1.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

from loadtests.asker import Asker
from loadtests.folder import write_whole
from loadtests.guard import Guard
from loadtests.prepared import prepare
from loadtests.rundir import LAUNCHER, SETUP, VALUES, read_plan, read_values
from loadtests.spool import Spool
from loadtests.tie import is_orphan
from warehouse.errors import PerfhouseError
from warehouse.model import Outcome
from warehouse.plan import Plan


def perform(plan: Plan, run_dir: Path, part: str) -> str:
    """Ask the part's requests in their order, the setup only until one fails; why it failed, or nothing.

    What the setup extracts is there for all users, and for the teardown. Raises PerfhouseError.
    """
    with closing(Spool(run_dir, 0)) as spool:
        return _ask_all(plan, run_dir, part, spool)


def _ask_all(plan: Plan, run_dir: Path, part: str, spool: Spool) -> str:
    site, prepared = prepare(plan)
    asker = Asker(site, spool, None, 0, read_values(run_dir))
    if plan.token is not None and not asker.obtain_token(plan.token, prepared[plan.token.request.endpoint]):
        return f"{plan.token.request.label}: no token"
    failures = []
    for request in plan.setup if part == SETUP else plan.teardown:
        for _ in range(request.repeat):
            ended = asker.ask(prepared[request.endpoint])
            outcome, text = ended or (Outcome.ERROR, "a value it needs was not extracted")
            if outcome is not Outcome.OK:
                failures.append(f"{request.label}: {text}")
                break
        if failures and part == SETUP:
            break
    if part == SETUP:
        write_whole(run_dir / VALUES, json.dumps(asker.values))
    asker.close()
    return "; ".join(failures) or spool.failure


def main(run_dir: Path, part: str) -> int:
    """Perform the part; when the launcher is gone meanwhile, end the run in its place."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is bounded, and must not be left half done
    plan = read_plan(run_dir)
    guard = Guard(plan.addresses)
    guard.install()
    try:
        failure = perform(plan, run_dir, part)
    except (PerfhouseError, OSError) as error:
        failure = str(error)
    if failure:
        print(failure, flush=True)
    if is_orphan(int(os.environ[LAUNCHER])):
        guard.may_start = True
        command = (sys.executable, "-m", "loadtests.orphaned", str(run_dir), part)
        os.execv(sys.executable, command)  # noqa: S606 - a program of ours
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
