"""Writes a made-up history into a new warehouse, a day at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from warehouse import VERSION
from warehouse.copying import SPAN_DAYS
from warehouse.model import now
from warehouse.simulation import changes as drawn_changes
from warehouse.simulation import queries, runs
from warehouse.simulation import scene as drawn_scene
from warehouse.simulation.attempts import Attempts
from warehouse.simulation.changes import DAY_MS, Change, of_kind
from warehouse.simulation.samples import SOURCE, Samples, directions
from warehouse.simulation.scene import ENDPOINTS, Scene
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_AT_ONCE = 2_000_000
"""Attempts that are made and stored in one go."""

PHASES = ("dns_us", "connect_us", "tls_us", "first_byte_us", "bytes", "loop_lag_us")


@dataclass(frozen=True)
class Wanted:
    """A history from `start` to before `end` (UTC); `attempts` are rounded down to whole turns of all
    endpoints. Without `phases` an attempt is what it must be: when, whose, how it ended, how long it took.
    """

    seed: int
    start: datetime
    end: datetime
    attempts: int
    phases: bool = True

    @property
    def span_ms(self) -> tuple[int, int]:
        """The history in milliseconds since 1970."""
        return int(self.start.timestamp() * 1000), int(self.end.timestamp() * 1000)

    @property
    def per_endpoint(self) -> int:
        """Attempts of each endpoint, before outages."""
        return max(1, self.attempts // ENDPOINTS)


class History:
    """Fills a new, empty warehouse. The same `wanted` gives the same rows."""

    def __init__(self, connection: DuckDBPyConnection, wanted: Wanted) -> None:
        self._connection = connection
        self._wanted = wanted
        self._from_ms, self._until_ms = wanted.span_ms
        self._scene = drawn_scene.draw(wanted.seed)
        self._changes = drawn_changes.draw(wanted.seed, self._scene, self._from_ms, self._until_ms)
        span = {"from_ms": self._from_ms, "until_ms": self._until_ms}
        self._attempts = Attempts(self._scene, self._changes, per_endpoint=wanted.per_endpoint, **span)
        self._samples = Samples(self._scene, self._changes, **span)

    def write(self, on_rows: Callable[[int], None]) -> int:
        """Write everything; returns how many attempts were made. `on_rows` hears of them on the way."""
        with transaction(self._connection):
            _mark(self._connection, self._wanted, self._changes)
            first_sample = _declare(self._connection, self._scene, self._samples, self._wanted)
            _tell_outages(self._connection, self._scene, self._changes, self._attempts.period_ms)
        done = 0
        for number, (from_ms, until_ms) in enumerate(self._spans()):
            random = np.random.default_rng([self._wanted.seed, 3, number])
            with transaction(self._connection):
                turns = self._attempts.turns(from_ms, until_ms)
                if turns[0] < turns[1]:
                    table = self._attempts.table(turns, random, phases=self._wanted.phases)
                    _store_attempts(self._connection, table)
                    done += table.num_rows
                self._store_others(from_ms, until_ms, first_sample, random)
            on_rows(done)
        for at_ms in runs.instants(self._from_ms, self._until_ms):
            random = np.random.default_rng([self._wanted.seed, 4, at_ms])
            with transaction(self._connection):
                runs.store(self._connection, self._scene, self._changes, at_ms, random)
        self._connection.execute("CHECKPOINT")
        return done

    def _spans(self) -> Iterator[tuple[int, int]]:
        """Spans as compacting would sort them, in parts where a day holds too many attempts."""
        per_day = self._wanted.per_endpoint * ENDPOINTS * DAY_MS / (self._until_ms - self._from_ms)
        week = DAY_MS * SPAN_DAYS
        is_small = per_day * SPAN_DAYS <= MOST_AT_ONCE
        step = week if is_small else DAY_MS // max(1, round(per_day / MOST_AT_ONCE))
        at = self._from_ms
        while at < self._until_ms:
            end = min((at // step + 1) * step, self._until_ms)
            yield at, end
            at = end

    def _store_others(
        self, from_ms: int, until_ms: int, first_sample: int, random: np.random.Generator
    ) -> None:
        at_ms = self._samples.instants(from_ms, until_ms)
        if not len(at_ms):
            return
        _insert(
            self._connection,
            self._samples.table(at_ms, random),
            f"INSERT INTO sample SELECT ts, series + {first_sample}, value, 'ok' FROM made",  # noqa: S608 - a number
        )
        _insert(
            self._connection,
            queries.table(self._scene, self._changes, at_ms, self._samples.step_ms, random),
            """
            INSERT INTO query_stat (ts, since_ts, shape_id, calls, total_us, squares_us2, min_us, max_us,
                rows, blocks_hit, blocks_read, io_us, is_partial)
            SELECT ts, since_ts, query + 1, calls, total_us, squares_us2, min_us, max_us, rows,
                blocks_hit, blocks_read, io_us, false
            FROM made
            """,
        )
        self._connection.execute(
            "INSERT INTO database_state SELECT make_timestamp_ms(?), ?, ?, 'postgres', unnest(?), 'ok', ''",
            [int(at_ms[0]), SOURCE, self._scene.database, ["connection", "statements", "activity"]],
        )


def _mark(connection: DuckDBPyConnection, wanted: Wanted, changes: Sequence[Change]) -> None:
    """Say that everything here is made up, before anything is."""
    connection.execute(
        "INSERT INTO simulation VALUES (?, ?, ?, ?, ?, ?)",
        [
            *(wanted.seed, _naive(wanted.start), _naive(wanted.end), wanted.per_endpoint * ENDPOINTS),
            *(_naive(now()), VERSION),
        ],
    )
    connection.executemany(
        "INSERT INTO simulated_change VALUES (make_timestamp_ms(?), make_timestamp_ms(?), ?, ?, ?, ?, ?)",
        [
            (each.at_ms, each.until_ms, each.kind, each.target, each.object, each.factor, each.text)
            for each in changes
        ],
    )


def _declare(connection: DuckDBPyConnection, scene: Scene, samples: Samples, wanted: Wanted) -> int:
    """Make the series and query shapes; returns the number of the first series of samples."""
    at = _naive(wanted.start)
    keys = samples.keys()
    rows: list[tuple[str | None, ...]] = [
        ("probe", each.target, each.label, "latency", "us", "lower") for each in scene.endpoints
    ]
    rows += [(*key, direction) for key, direction in zip(keys, directions(keys), strict=True)]
    connection.executemany(
        "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(*row, SOURCE, at) for row in rows],
    )
    connection.executemany(
        "INSERT INTO query_shape (target, database, shape, category, query, source, first_seen_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (scene.database, scene.database, each.shape, each.category, each.text, SOURCE, at)
            for each in scene.queries
        ],
    )
    return len(scene.endpoints) + 1


def _tell_outages(
    connection: DuckDBPyConnection, scene: Scene, changes: Sequence[Change], period_ms: float
) -> None:
    """A gap of each endpoint for each time that nothing was collected."""
    outages = of_kind(changes, "outage", 0, 1 << 62)
    rows = [
        (change.at_ms, change.until_ms, SOURCE, f"probe {each.target} {each.label}", missed)
        for change in outages
        for each in scene.endpoints
        if change.until_ms is not None and (missed := int((change.until_ms - change.at_ms) / period_ms)) > 0
    ]
    if rows:
        connection.executemany(
            "INSERT INTO gap VALUES (make_timestamp_ms(?), make_timestamp_ms(?), ?, ?, 'down', ?)", rows
        )


def _store_attempts(connection: DuckDBPyConnection, table: pa.Table) -> None:
    """Endpoints are the first series, so that their numbers begin at 1."""
    phases = ", ".join(name if name in table.column_names else "NULL" for name in PHASES[:4])
    rest = ", ".join(name if name in table.column_names else "NULL" for name in PHASES[4:])
    _insert(
        connection,
        table,
        f"INSERT INTO attempt SELECT ts, series + 1, outcome, status, {phases}, total_us, {rest}, 3000000 "  # noqa: S608 - our own names
        "FROM made",
    )


def _insert(connection: DuckDBPyConnection, table: pa.Table, statement: str) -> None:
    connection.register("made", table)
    try:
        connection.execute(statement)
    finally:
        connection.unregister("made")


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
