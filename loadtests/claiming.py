"""Asks the warehouse for run requests, and does what it answers: start, take a seat, cancel."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from loadtests.delivery import Delivery
from loadtests.door import Door
from loadtests.folder import RUN_ID
from loadtests.roster import Roster, Taken
from loadtests.seats import guest_seat, host_seat
from warehouse import VERSION
from warehouse.errors import RefusedError
from warehouse.settings import Settings

log = logging.getLogger(__name__)

MOST_BUSY = 100
"""How many of its runs an agent tells of in a claim: the newest."""


class Claims:
    """One claim after another."""

    def __init__(self, settings: Settings, door: Door, roster: Roster, delivery: Delivery) -> None:
        self._name = settings.agent_name
        self._bind = settings.agent.bind
        self._advertise = settings.agent.advertise or settings.agent.bind
        self._door = door
        self._roster = roster
        self._delivery = delivery

    def once(self) -> None:
        """Claim, and do what the answer says. Raises PerfhouseError."""
        busy = [run.run_id for run in self._roster.runs][-MOST_BUSY:]
        answer = self._door.claim(self._name, version=VERSION, advertise=self._advertise, busy=busy)
        for order in answer.get("cancel", ()):
            self._cancel(str(order["run_id"]), str(order.get("by") or ""))
        given = answer.get("run")
        if given is not None:
            plan = _plan_of(given)
            self._begin(given["run_id"], plan, partial(host_seat, plan, self._bind, self._advertise))
        for offer in answer.get("seats", ()):
            self._begin(offer["run_id"], _plan_of(offer), partial(guest_seat, offer))

    def _begin(self, run_id: str, plan: dict[str, Any], seat: Callable[[], dict[str, Any] | None]) -> None:
        if not RUN_ID.fullmatch(run_id):
            raise RefusedError(f"the warehouse offered a run with an impossible name: {run_id[:40]!r}")
        try:
            taken = self._roster.take(run_id, json.dumps(plan), seat())
            if taken is Taken.STARTED:
                log.info("%s: %s at %s begins", run_id, plan.get("preset"), plan.get("target"))
            elif taken is Taken.OVER:
                self._delivery.note_failure(run_id, "this agent ran it before; a run is run once")
        except (OSError, RefusedError) as error:
            words = error.message if isinstance(error, RefusedError) else error.strerror or str(error)
            log.warning("%s cannot begin here: %s", run_id, words)
            self._delivery.note_failure(run_id, f"the launcher could not be started: {words}")

    def _cancel(self, run_id: str, by: str) -> None:
        run = self._roster.find(run_id)
        if run is None:
            self._delivery.note_failure(run_id, "the agent holds nothing of the run")
        elif not run.folder.is_cancelled:
            log.info("%s is cancelled by %s", run_id, by or "nobody in particular")
            run.folder.cancel(by)


def _plan_of(given: dict[str, Any]) -> dict[str, Any]:
    plan = given["plan"]
    found: dict[str, Any] = json.loads(plan) if isinstance(plan, str) else plan
    return found
