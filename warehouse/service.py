"""The open warehouse: store, writer, reader and tokens, and the work it does by itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import duckdb

from warehouse import audit, compact, export, footprint, objectives, retention, tokens
from warehouse.answers import Answers
from warehouse.clock import Clock
from warehouse.compact import Compaction, Step
from warehouse.errors import BusyError, StorageError
from warehouse.exchange import exchange
from warehouse.exports import Exports
from warehouse.freezer import Freezer
from warehouse.judge import Judge
from warehouse.keeper import Keeper
from warehouse.lookout import Lookout
from warehouse.model import JobState, now
from warehouse.notes import event
from warehouse.reader import Reader
from warehouse.refusals import MINUTE_S, Refusals, Refused
from warehouse.run_orders import Agents
from warehouse.schedule import Schedule
from warehouse.settings import Settings
from warehouse.staged import Standing
from warehouse.store import Store
from warehouse.tokens import Keyring, Scope
from warehouse.upkeep import Upkeep
from warehouse.writer import Writer

log = logging.getLogger(__name__)

RETENTION_EVERY_S = 3600
MEASURE_EVERY_S = 600
"""How often it is looked what the tables take."""

JUDGE_EVERY_S = 30
"""How often it is looked for runs that were not judged when their last rows came."""

UPKEEP_EVERY_S = 30
"""How often cells are sealed and dirty ones computed again."""

LOOK_EVERY_S, LOOK_AT_LEAST_S = 30.0, 2.0
"""How often it is looked for regressions, and where points are shorter, once a point."""

CLOCK_JOB = "clock"
PRELOAD_AFTER_S = 1.0
"""When the code of exports is loaded: a start and its first answers come before."""


class Warehouse:
    """The open store with its writer, reader and tokens: what the API stands on."""

    def __init__(self, settings: Settings) -> None:
        """Open everything. Raises the errors of Store."""
        self.settings = settings
        self.started_at = now()
        self.store = Store(settings)
        if self.store.writable:
            compact.clear_away(settings)
        _ensure_local_tokens(settings)
        self.keyring = Keyring(settings.token_dir)
        self.keeper = Keeper(self.store)
        self.writer = Writer(self.keeper)
        self.reader = Reader(
            self.store,
            deadline_s=settings.warehouse.deadline_s,
            row_cap=settings.warehouse.row_cap,
            standing=Standing(self.store.stand),
        )
        self.answers = Answers(self.store, self.reader)
        self.exports = Exports()
        self.agents = Agents()
        self.refusals = Refusals(self._audit_refusal)
        self.judge = Judge(self.store, self.writer)
        self._take_objectives()
        self.upkeep = Upkeep(self.store, self.writer)
        self.lookout = Lookout(self.store, self.writer, settings)
        self.freezer = Freezer(self.store, self.writer)
        self.clock = Clock(settings.data_dir / "warehouse.clock")
        self._held = False
        self._rewriting = threading.Lock()
        self._schedule = Schedule(self._look_at_clock)
        self._schedule.every(RETENTION_EVERY_S, self.expire)
        self._schedule.every(MEASURE_EVERY_S, self.measure)
        self._schedule.every(JUDGE_EVERY_S, self.judge.judge_due)
        self._schedule.every(MINUTE_S, self.refusals.flush)
        self._schedule.every(UPKEEP_EVERY_S, self.upkeep.keep_up)
        point_s = settings.regressions.point_s
        self._schedule.every(max(LOOK_AT_LEAST_S, min(LOOK_EVERY_S, point_s)), self.lookout.look)
        self._preload = threading.Timer(PRELOAD_AFTER_S, export.preload)
        self._preload.daemon = True

    def _take_objectives(self) -> None:
        """Count attempts against the limits that are configured now."""
        try:
            self.writer.submit(lambda held: objectives.configure(held, self.settings)).result()
        except StorageError as error:
            log.warning("attempts are counted against the limits of before: %s", error)

    def start(self) -> None:
        """Begin the work the warehouse does by itself."""
        self._schedule.start()
        self._preload.start()

    def expire(self) -> dict[str, int]:
        """Let old days go cold, delete what is older than the configuration keeps; rows deleted per table.

        Nothing is deleted while the clock may be wrong, or nothing can be written.
        """
        if self.clock.held_s:
            log.warning(
                "%s; nothing is deleted for %.1f more hours", self.clock.why, self.clock.held_s / 3600
            )
            return {}
        if not self._rewriting.acquire(blocking=False):
            return {}
        kept = self.settings.retention
        try:
            if self.settings.cold.after_days is not None:
                with self.upkeep.hold():
                    self.freezer.work()
            cell_days = max(kept.cell_days, kept.raw_days)
            return self.writer.submit(
                lambda connection: retention.expire(
                    connection, now().replace(tzinfo=None), kept.raw_days, cell_days, kept.fine_cell_days
                )
            ).result()
        except StorageError as error:
            log.warning("nothing was deleted: %s", error)
            return {}
        finally:
            self._rewriting.release()

    def _audit_refusal(self, refused: Refused) -> None:
        """Have a row written; nobody waits for it, since whoever was refused is not worth a wait."""
        row = (refused.who, refused.via, refused.action, refused.subject, audit.REFUSED, refused.text)
        try:
            written = self.writer.submit(lambda connection: audit.note(connection, *row))
        except BusyError as error:
            log.warning("a refusal is missing from the audit log: %s", error)
            return
        written.add_done_callback(_log_failure)

    def _look_at_clock(self) -> timedelta:
        step = self.clock.look()
        held = bool(self.clock.held_s)
        if held and not self._held:
            self.keeper.tell(
                [event(CLOCK_JOB, JobState.FAILING, f"{self.clock.why}; nothing is deleted for a day")]
            )
        elif self._held and not held:
            self.keeper.tell([event(CLOCK_JOB, JobState.OK, "what is old is deleted again")])
        self._held = held
        return step

    def exchange(self, *, replace: bool) -> Path | None:
        """Make the restored file the warehouse's; where the file it replaces is kept. See `exchange`."""
        return self.writer.apart(
            lambda: exchange(self.store, self.keeper, replace=replace), "a backup takes the place of its file"
        ).result()

    def measure(self) -> None:
        """Look what each table takes on the disk."""
        try:
            with self.store.lend() as lease, lease.busy() as connection:
                self.store.footprint = footprint.measure(connection, now().replace(tzinfo=None))
        except (StorageError, duckdb.Error) as error:
            log.warning("what the tables take is not known: %s", error)

    def compact(self) -> Iterator[Step]:
        """Give freed room back; nothing is deleted or sealed meanwhile. See `Compaction.steps`."""
        with self._rewriting, self.upkeep.hold():
            yield from Compaction(
                self.store,
                self.keeper,
                lambda work: self.writer.apart(
                    work, "the compacted file takes the place of its file"
                ).result(),
            ).steps()
        self.measure()

    def rebuild(self) -> Iterator[Step]:
        """Compute all cells anew and tell the differences; nothing is deleted or sealed meanwhile."""
        with self._rewriting:
            yield from self.upkeep.rebuild()

    def close(self) -> None:
        """Store what waits, then close the file."""
        self._schedule.stop()
        self._preload.cancel()
        self.upkeep.stop()
        self.lookout.stop()
        self.clock.save()
        self.refusals.flush(all_of_them=True)
        self.writer.close()
        self.store.close()


def _log_failure(written: Future[None]) -> None:
    error = written.exception()
    if error is not None:
        log.warning("a refusal is missing from the audit log: %s", error)


def _ensure_local_tokens(settings: Settings) -> None:
    tokens.ensure_local(settings.token_dir, "collect", [Scope.INGEST], [settings.collectors.name])
    tokens.ensure_local(settings.token_dir, "dashboard", [Scope.READ, Scope.ACT])
    tokens.ensure_local(settings.token_dir, "cli", [Scope.READ, Scope.ACT])
    tokens.ensure_local(settings.token_dir, "agent", [Scope.LOAD, Scope.INGEST], [settings.agent_name])
