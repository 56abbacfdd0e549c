"""Tells the warehouse of this machine's runs: what was measured, how they do, and when that was all."""

from __future__ import annotations

import functools
import logging
import platform
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from loadtests.door import Door
from loadtests.folder import RunState
from loadtests.roster import LocalRun, Roster
from loadtests.shipping import Block
from warehouse import VERSION
from warehouse.errors import NotAllowedError, PerfhouseError, RefusedError
from warehouse.visible import visible

log = logging.getLogger(__name__)

REPORT_EVERY_S = 1.0
HOPELESS = frozenset({400, 409, 413, 415, 422})
"""Statuses after which sending the same bytes again cannot succeed."""

UNKNOWN = 404
LONGEST_REASON = 2000
STARTING = RunState(state="starting")


class Delivery:
    """Carries words and measurements of the runs. `once` is called by one thread."""

    def __init__(self, roster: Roster, door: Door, agent: str, clock: Callable[[], float] = time.monotonic):
        self._roster = roster
        self._door = door
        self._agent = agent
        self._clock = clock
        self._told: dict[str, tuple[object, float]] = {}
        self._notes: dict[str, str] = {}
        self._noting = threading.Lock()

    def note_failure(self, run_id: str, reason: str) -> None:
        """Remember to tell that a run could not even begin here."""
        with self._noting:
            self._notes[run_id] = reason

    def once(self) -> bool:
        """Ship a block of each file of each run and report; whether there is more to ship at once.

        Trouble with one run holds up no other. Raises WarehouseAwayError, and what else there was at the end.
        """
        self._tell_notes()
        more = False
        trouble: Exception | None = None
        for run in self._roster.runs:
            try:
                more = self._ship(run) or more
                self._report(run)
            except (RefusedError, OSError) as error:
                if isinstance(error, RefusedError) and error.status == UNKNOWN:
                    self._forget(run, error)
                else:
                    trouble = error
        if trouble is not None:
            raise trouble
        return more

    def _ship(self, run: LocalRun) -> bool:
        if run.shipment.is_lost:
            run.shipment.recover(self._door.stored_spool(run.run_id))
        shipped = 0
        for block in run.shipment.blocks():
            self._send(run, block)
            shipped += len(block.body)
        return shipped > 0 and not run.shipment.has_all

    def _send(self, run: LocalRun, block: Block) -> None:
        send = self._door.send_rows if block.file.is_rows else self._door.send_events
        try:
            send(run.run_id, block.file.worker, block.file.name, block.offset, block.body)
        except RefusedError as error:
            if error.status not in HOPELESS or isinstance(error, NotAllowedError):
                raise
            log.warning(
                "%s: %s at %d was refused: %s", run.run_id, block.file.name, block.offset, error.message
            )
            run.shipment.refuse(block, error.message)
        else:
            run.shipment.acknowledge(block)

    def _report(self, run: LocalRun) -> None:
        # Whether it is over is asked first: what is written afterwards cannot escape `has_all`.
        is_over = run.watch.is_over
        state = run.folder.state or STARTING
        complete = is_over and state.has_ended and run.shipment.has_all
        if state.has_ended and not is_over:
            state = state.model_copy(update={"state": "stopping"})
        said, said_at = self._told.get(run.run_id, (None, 0.0))
        word = (state.model_copy(update={"heartbeat_at_us": None}), complete)
        if word == said and self._clock() - said_at < REPORT_EVERY_S:
            return
        self._door.report_run(
            run.run_id,
            **report_of(state, self._agent, run.folder.seat, run.shipment.refusal, complete=complete),
        )
        self._told[run.run_id] = (word, self._clock())
        if complete:
            self._roster.finish(run)
            self._told.pop(run.run_id, None)
            log.info("%s %s; the warehouse has all of it", run.run_id, state.state)

    def _forget(self, run: LocalRun, error: PerfhouseError) -> None:
        """The warehouse does not know the run: nobody may attack for nobody, and nobody wants its rows."""
        run.folder.cancel("the warehouse does not know the run")
        if run.watch.is_over:
            log.warning("%s is known to nobody (%s); it is kept for a day", run.run_id, error.message)
            self._roster.finish(run)

    def _tell_notes(self) -> None:
        with self._noting:
            notes = dict(self._notes)
        for run_id, reason in notes.items():
            state = RunState(state="failed", reason=reason)
            report = report_of(state, self._agent, None, "", complete=True)
            try:
                self._door.report_run(run_id, **report)
            except RefusedError as error:
                if isinstance(error, NotAllowedError):
                    raise
                log.warning("%s: %s; the warehouse would not hear it: %s", run_id, reason, error.message)
            with self._noting:
                self._notes.pop(run_id, None)


def report_of(
    state: RunState, agent: str, seat: Mapping[str, Any] | None, refusal: str, *, complete: bool
) -> dict[str, Any]:
    """What the warehouse is told of a run."""
    told = {
        "started_at_us": state.started_at_us,
        "ended_at_us": state.ended_at_us if state.has_ended else None,
        "target_version": state.target_version,
    }
    if seat is not None and "advertise" in seat:
        told |= {"master_host": seat["advertise"], "master_port": seat["port"]}
    return {
        "agent": agent,
        "state": state.state,
        "reason": visible("; ".join(filter(None, (state.reason, refusal))))[:LONGEST_REASON],
        "is_partial": state.is_partial or bool(refusal),
        "complete": complete,
        "versions": dict(versions()),
        **{name: value for name, value in told.items() if value is not None},
    }


@functools.cache
def versions() -> Mapping[str, str]:
    """What a run was made with."""
    return {"perfhouse": VERSION, "locust": version("locust"), "python": platform.python_version()}
