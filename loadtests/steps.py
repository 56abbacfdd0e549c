"""Runs a plan's setup or teardown once, in a process of its own: `python -m loadtests.steps RUN_DIR PART`.

Its own process, so that the teardown runs however the load ended. Requests are recorded as worker 0's.
Prints why it failed; exit code 0 when every request was answered as expected, else 1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from loadtests.asker import Asker
from loadtests.folder import write_whole
from loadtests.guard import Guard
from loadtests.prepared import prepare
from loadtests.rundir import VALUES, read_plan, read_values
from loadtests.spool import Spool
from warehouse.errors import PerfhouseError
from warehouse.model import Outcome

SETUP, TEARDOWN = "setup", "teardown"


def perform(run_dir: Path, part: str) -> str:
    """Ask the part's requests in their order, the setup only until one fails; why it failed, or nothing.

    What the setup extracts is there for all users, and for the teardown.
    """
    plan = read_plan(run_dir)
    site, prepared = prepare(plan)
    Guard(plan.addresses).install()
    spool = Spool(run_dir, 0)
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


def main(arguments: list[str]) -> int:
    """Perform the part named on the command line."""
    try:
        failure = perform(Path(arguments[0]), arguments[1])
    except (PerfhouseError, OSError) as error:
        failure = str(error)
    if failure:
        print(failure, flush=True)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
