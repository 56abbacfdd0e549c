"""Samples one PostgreSQL server within its deadline, whatever the server does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from collectors.names import clean_name
from collectors.parts import Parts
from collectors.postgres.watch import Watch
from collectors.record import Row
from warehouse.model import DatabaseCondition, Engine, now
from warehouse.settings import DatabaseSettings

TIMED_OUT = "the server did not answer within the deadline"


class PostgresCollector:
    """Samples one server. What a sample that came too late has measured goes with the next one."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._deadline_s = settings.deadline_s
        self._parts = Parts(clean_name(settings.name), Engine.POSTGRES)
        self._watch = Watch(settings, self._parts)
        self._done: deque[Sequence[Row]] = deque()
        self._failures: deque[BaseException] = deque()
        self._worker: threading.Thread | None = None

    @property
    def own_queries(self) -> int:
        """How many queries it has run that the server has counted as transactions."""
        return self._watch.own_queries

    def collect(self) -> list[Row]:
        """What is measured now, or a state that says why nothing is. Raises its own defects only."""
        if self._worker is None or not self._worker.is_alive():
            self._watch.arm()
            self._worker = threading.Thread(target=self._work, name="postgres", daemon=True)
            self._worker.start()
        self._worker.join(self._deadline_s)
        if self._worker.is_alive():
            self._watch.abort()
            self._parts.say("connection", DatabaseCondition.TIMEOUT, TIMED_OUT)
        rows: list[Row] = []
        while self._done:
            rows += self._done.popleft()
        if self._failures and not rows:
            raise self._failures.popleft()
        return [*rows, *self._parts.rows(now())]

    def close(self) -> None:
        """Give the connections back. Does not wait for a server that does not answer."""
        self._watch.shut()

    def _work(self) -> None:
        try:
            self._done.append(self._watch.sample())
        except BaseException as error:  # noqa: BLE001 - raised by whoever collects
            self._failures.append(error)
