"""What is watched of one server over one connection, part by part, each failing for itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import psycopg

from collectors.names import clean_name
from collectors.numbers import Numbers
from collectors.parts import Parts
from collectors.postgres.activity import ActivitySampler
from collectors.postgres.locks import read_waits
from collectors.postgres.metrics import METRICS
from collectors.postgres.refusals import failed
from collectors.postgres.server import Activity, Server
from collectors.postgres.session import Extension, Session
from collectors.postgres.shapes import ShapeBook
from collectors.postgres.statements import STATEMENTS, Statements
from collectors.postgres.tables import PGSTATTUPLE, Tables
from collectors.record import Row
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition, now
from warehouse.settings import DatabaseSettings

LONGEST_PAUSE_S = 60.0
EXTENSIONS_EVERY_S = 60.0
EVICTED_FOR_S = 600.0
"""For so long after statements were evicted their statistics are called incomplete."""

NO_PRIVILEGE = "the role may not read what other roles do: grant it pg_monitor"
NO_USAGE = "the role may not use pg_stat_statements: grant it USAGE on the schema of the extension"
NOT_LOADED = "pg_stat_statements is not in the server's shared_preload_libraries"
EVICTED = "the server forgets statements because there are too many: raise its pg_stat_statements.max"


class Watch:
    """What is kept from one sample to the next. One thread samples at a time; any may abort or shut."""

    def __init__(self, settings: DatabaseSettings, parts: Parts) -> None:
        self._parts = parts
        self._target = clean_name(settings.name)
        self._session = Session(settings)
        self._book = ShapeBook(self._target)
        self._statements = Statements(self._target, self._book)
        self._server = Server(settings.exclude_users)
        self._tables = Tables(settings.tables)
        self._sampler = None
        if settings.sample_activity_ms is not None:
            self._sampler = ActivitySampler(settings, settings.sample_activity_ms, self._target)
        self._rows: list[Row] = []
        self._identity: object = None
        self._extensions: Mapping[str, Extension] = {}
        self._extensions_at = float("-inf")
        self._databases: Mapping[int, str] = {}
        self._drained_at: datetime | None = None
        self._evicted_at = float("-inf")
        self._failed = 0
        self._next_try_s = float("-inf")
        self._is_cut = False

    @property
    def own_queries(self) -> int:
        """How many queries it has run that the server has counted as transactions."""
        return self._session.queries + (self._sampler.counted if self._sampler else 0)

    def arm(self) -> None:
        """Another sample is about to begin."""
        self._is_cut = False

    def abort(self) -> None:
        """Cut the connection that does not answer."""
        self._is_cut = True
        self._session.abort()

    def shut(self) -> None:
        """End for good."""
        self._is_cut = True
        self._session.shut()
        if self._sampler is not None:
            self._sampler.shut()

    def sample(self) -> Sequence[Row]:
        """Everything that is due; a connection that turns out broken is made anew once."""
        is_old = self._session.is_open
        trouble = self._try()
        if trouble is not None and is_old and not self._session.is_open and not self._is_cut:
            trouble = self._try()
        if trouble is not None:
            self._session.close()
            self._failed += 1
            self._next_try_s = time.monotonic() + min(2.0 ** min(self._failed, 6), LONGEST_PAUSE_S)
            self._parts.say("connection", trouble.condition, trouble.text)
        rows, self._rows = self._rows, []
        return rows

    def _try(self) -> TroubleError | None:
        try:
            if self._connect():
                self._measure()
        except TroubleError as trouble:
            return trouble
        except psycopg.Error as error:
            return failed(error)
        return None

    def _connect(self) -> bool:
        """Have a connection. False while it is too early to try again. Raises TroubleError."""
        if self._session.is_open:
            return True
        if time.monotonic() < self._next_try_s:
            return False
        self._session.open()
        self._extensions_at = float("-inf")
        if self._session.facts.identity != self._identity:
            self._identity = self._session.facts.identity
            self._book.forget()
            self._statements.forget()
            self._server.forget()
            self._tables.forget()
        return True

    def _measure(self) -> None:
        """All parts. Raises psycopg.Error where the connection broke."""
        at = now()
        numbers = Numbers(self._target, METRICS, at)
        try:
            activity = self._server.read_activity(self._session, numbers)
            self._databases = self._server.read_databases(self._session, numbers, self.own_queries)
            self._server.read_wide(self._session, numbers)
            self._failed = 0
            version = self._session.facts.version
            text = f"PostgreSQL {version // 10_000}.{version % 10_000}"
            self._parts.say("connection", DatabaseCondition.OK, text)
            self._find_extensions()
            self._part("statements", lambda: self._read_statements(activity, numbers))
            self._part("activity", lambda: self._read_sessions(activity, at))
            if self._tables.is_due():
                self._part("tables", lambda: self._read_tables(numbers))
        finally:
            self._rows += numbers.samples

    def _part(self, name: str, read: Callable[[], str]) -> None:
        """Read one part, and say how it does. Raises psycopg.Error where the connection broke."""
        try:
            text = read()
        except TroubleError as trouble:
            self._parts.say(name, trouble.condition, trouble.text)
        except psycopg.Error as error:
            failure = failed(error)
            self._parts.say(name, failure.condition, failure.text)
            if not self._session.is_open:
                raise
        else:
            self._parts.say(name, DatabaseCondition.OK, text)

    def _find_extensions(self) -> None:
        present = time.monotonic()
        if STATEMENTS not in self._extensions or present - self._extensions_at >= EXTENSIONS_EVERY_S:
            self._extensions = self._session.extensions()
            self._extensions_at = present

    def _read_statements(self, activity: Activity, numbers: Numbers) -> str:
        if not activity.may_read:
            raise TroubleError(DatabaseCondition.NO_PRIVILEGE, NO_PRIVILEGE)
        extension = self._extensions.get(STATEMENTS)
        facts = self._session.facts
        if extension is None:
            if facts.libraries is not None and STATEMENTS not in facts.libraries:
                raise TroubleError(DatabaseCondition.NOT_LOADED, NOT_LOADED)
            text = f"run CREATE EXTENSION {STATEMENTS} in the database {facts.database}"
            raise TroubleError(DatabaseCondition.MISSING_EXTENSION, text)
        try:
            sample = self._statements.sample(
                self._session,
                extension,
                self._databases,
                numbers,
                activity.excluded,
                times_io=activity.times_io,
            )
        except psycopg.errors.InsufficientPrivilege:
            raise TroubleError(DatabaseCondition.NO_PRIVILEGE, NO_USAGE) from None
        self._rows += sample.rows
        if sample.since is not None and self._sampler is not None:
            pauses = Numbers(self._target, METRICS, sample.at)
            pauses.add("activity_gap_max_ms", self._sampler.longest_pause_ms())
            self._rows += pauses.samples
            self._drain(sample.since, sample.at, is_counting=True)
        if sample.evictions:
            self._evicted_at = time.monotonic()
        if time.monotonic() - self._evicted_at < EVICTED_FOR_S:
            raise TroubleError(DatabaseCondition.INCOMPLETE, EVICTED)
        return ""

    def _read_sessions(self, activity: Activity, at: datetime) -> str:
        """Who waits for whom, and the sampler's word."""
        if not activity.may_read:
            raise TroubleError(DatabaseCondition.NO_PRIVILEGE, NO_PRIVILEGE)
        if activity.waiting:
            self._rows += read_waits(self._session, self._target, self._book, activity.excluded, at)
        if self._sampler is None:
            return "running queries are not sampled: sample_activity_ms is not set"
        self._sampler.watch(activity.excluded)
        if STATEMENTS not in self._extensions and self._drained_at is not None:
            self._drain(self._drained_at, at, is_counting=False)
        self._drained_at = self._drained_at or at
        trouble = self._sampler.trouble()
        if trouble is not None:
            raise trouble
        return f"running queries are looked at every {self._sampler.period_ms} ms"

    def _drain(self, since: datetime, at: datetime, *, is_counting: bool) -> None:
        assert self._sampler is not None
        since = since if self._drained_at is None else max(since, self._drained_at)
        self._rows += self._sampler.drain(since, at, self._book, self._databases, is_counting=is_counting)
        self._drained_at = at

    def _read_tables(self, numbers: Numbers) -> str:
        self._tables.sample(self._session, self._extensions.get(PGSTATTUPLE), numbers)
        return ""
