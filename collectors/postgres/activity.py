"""Looks at running queries many times a second, in a thread and over a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from collectors.names import clean_name
from collectors.postgres.looks import Execution, Looks, Seen, bucket
from collectors.postgres.refusals import failed
from collectors.postgres.session import Session
from collectors.postgres.shapes import ShapeBook
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition, LatencyMethod, QueryCategory, QueryLatency
from warehouse.settings import DatabaseSettings

LONGEST_PAUSE_S = 30.0
PATIENCE_S = 330.0
"""How long an execution waits for its statement's category: texts are read now and then."""

MOST_WAITING = 50_000
OVERRUN = "more queries ended between two samples than are kept: sample more often"

COUNTED = frozenset({QueryCategory.READ, QueryCategory.WRITE, QueryCategory.UNKNOWN})
"""Categories whose executions are told; transaction control and utility are not queries to an objective."""

FLUSH_SINCE = 150_000
FLUSH_EVERY_S = 1.0
FLUSH = "(SELECT pg_stat_force_next_flush()::text FROM pg_am LIMIT 1)"
"""Has the server count the looks so far among its transactions, so that they can be left out of them.

From 15 on it would count those of a session that reads no table much later, or at once at its end.
"""

LOOK = """
    SELECT (extract(epoch FROM statement_timestamp()) * 1e6)::int8,
        (extract(epoch FROM clock_timestamp()) * 1e6)::int8, pid, datid::int8, query_id,
        (extract(epoch FROM query_start) * 1e6)::int8, state = 'active',
        (extract(epoch FROM state_change) * 1e6)::int8, {flush}
    FROM (VALUES (1)) AS one LEFT JOIN pg_stat_get_activity(NULL) ON
        backend_type = 'client backend' AND query_start IS NOT NULL AND datid IS NOT NULL
        AND usesysid <> ALL($1::oid[])
        AND (state = 'active' OR state_change > statement_timestamp() - interval '5 s')
"""

PLAIN_LOOK, FLUSHING_LOOK = LOOK.replace("{flush}", "NULL"), LOOK.replace("{flush}", FLUSH)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An execution that was not told yet, and since when it waits (monotonic)."""

    execution: Execution
    since_s: float


class Pauses:
    """The longest time between two looks: what took as long or longer cannot have been missed."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._longest_s = 0.0
        self._is_whole = False

    def looked(self, began_s: float, ended_s: float) -> None:
        """Another look, from before it was asked for until it was answered (monotonic)."""
        if self._began_s is not None:
            self._longest_s = max(self._longest_s, ended_s - self._began_s)
        self._began_s = began_s

    def broke(self) -> None:
        """Looking has ended for now."""
        self._began_s = None
        self._is_whole = False

    def spoil(self) -> None:
        """Something that was seen is lost."""
        self._is_whole = False

    def take_s(self, present_s: float) -> float | None:
        """The longest since this was asked before; None where something may have been missed meanwhile."""
        longest_s, was_whole = self._longest_s, self._is_whole
        self._longest_s, self._is_whole = 0.0, self._began_s is not None
        if not was_whole or self._began_s is None:
            return None
        return max(longest_s, present_s - self._began_s)


class ActivitySampler:
    """Runs while it is told to; what it saw is drained with each sample of statistics."""

    def __init__(self, settings: DatabaseSettings, period_ms: int, target: str) -> None:
        self.period_ms = period_ms
        self._deadline_s = settings.deadline_s
        self._target = target
        self._session = Session(settings)
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._ended: list[Execution] = []
        self._waiting: list[_Waiting] = []
        self._pauses = Pauses()
        self._excluded = "{}"
        self._trouble: TroubleError | None = None
        self._overrun: TroubleError | None = None
        self._answered_s = time.monotonic()
        self._thread: threading.Thread | None = None
        self._lost = 0
        self.counted = 0
        """How many of its looks the server has counted as transactions."""

    def watch(self, excluded: Sequence[int]) -> None:
        """Begin, or go on, without these roles."""
        self._excluded = f"{{{','.join(map(str, excluded))}}}"
        if self._thread is None:
            self._answered_s = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
            self._thread.start()

    def shut(self) -> None:
        """End for good."""
        self._stop.set()
        self._session.shut()

    def trouble(self) -> TroubleError | None:
        """Why it sees nothing now; cuts a connection that has not answered for longer than the deadline."""
        if self._session.is_open and time.monotonic() - self._answered_s > self._deadline_s:
            self._session.abort()
            return TroubleError(DatabaseCondition.TIMEOUT, "the server did not answer within the deadline")
        return self._trouble or self._overrun

    def longest_pause_ms(self) -> float | None:
        """The longest time between two looks since this was asked before; None where some are missing."""
        with self._guard:
            pause_s = self._pauses.take_s(time.monotonic())
        return None if pause_s is None else pause_s * 1000

    def drain(
        self,
        since: datetime,
        at: datetime,
        book: ShapeBook,
        databases: Mapping[int, str],
        *,
        is_counting: bool,
    ) -> list[QueryLatency]:
        """What ended since this was asked before. `is_counting`: statements' categories will be known."""
        present = time.monotonic()
        with self._guard:
            ended, self._ended = self._ended, []
            lost, self._lost = self._lost, 0
        self._overrun = TroubleError(DatabaseCondition.INCOMPLETE, OVERRUN) if lost else None
        candidates = [*self._waiting, *(_Waiting(execution, present) for execution in ended)]
        self._waiting = []
        told: dict[int, list[Execution]] = {}
        for each in candidates:
            execution = each.execution
            category = None
            if execution.query_id is not None:
                category = book.category((execution.database, execution.query_id))
                if category is None and is_counting and present - each.since_s < PATIENCE_S:
                    self._waiting.append(each)
                    continue
            if category is None or category in COUNTED:
                told.setdefault(execution.database, []).append(execution)
        return [
            QueryLatency(
                at=at,
                since=min(since, at),
                target=self._target,
                database=name and clean_name(name),
                method=LatencyMethod.ACTIVITY,
                low_us=low,
                high_us=high,
                calls=calls,
            )
            for database, executions in told.items()
            for name in [databases.get(database, "")]
            for (low, high), calls in bucket(executions).items()
        ]

    def _run(self) -> None:
        """Look until told to stop; after a failure wait longer and longer before the next connection."""
        pause_s = 1.0
        while not self._stop.is_set():
            try:
                self._session.open()
                self._answered_s = time.monotonic()
                self._trouble = None
                pause_s = 1.0
                self._keep_looking()
            except TroubleError as trouble:
                self._trouble = trouble
            except psycopg.Error as error:
                self._trouble = failed(error)
            self._session.close()
            with self._guard:
                self._pauses.broke()
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _keep_looking(self) -> None:
        looks = Looks()
        due = flushed_s = time.monotonic()
        while not self._stop.is_set():
            began_s = time.monotonic()
            flushes = due - flushed_s >= FLUSH_EVERY_S
            is_told = flushes and self._session.facts.version >= FLUSH_SINCE
            rows = self._session.numbers(FLUSHING_LOOK if is_told else PLAIN_LOOK, self._excluded)
            self._answered_s = time.monotonic()
            if flushes:
                flushed_s, self.counted = due, self._session.queries
            sessions = {
                pid: Seen(database, query_id, started, bool(is_active), None if is_active else changed)
                for _, _, pid, database, query_id, started, is_active, changed, _ in rows
                if pid is not None
            }
            self._keep(looks.look(rows[0][0], rows[-1][1], sessions), began_s, self._answered_s)
            due = max(due + self.period_ms / 1000, time.monotonic())
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _keep(self, ended: Sequence[Execution], began_s: float, ended_s: float) -> None:
        with self._guard:
            self._pauses.looked(began_s, ended_s)
            room = MOST_WAITING - len(self._ended)
            self._ended += ended[:room]
            if len(ended) > room:
                self._lost += len(ended) - room
                self._pauses.spoil()
