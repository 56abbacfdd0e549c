"""What the tiers hold: until when cells are sealed, and which hours of which series changed since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.series import ATTEMPT_SERIES, SAMPLE_SERIES
from warehouse.shapes import SHAPE_OF_STAT, STATS_WITH_SHAPES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.checks import Incoming

ATTEMPT, SAMPLE, QUERY_STAT = "attempt", "sample", "query_stat"
"""Tables of raw rows that have cells; the tier of each is called by its name, that of its days NAME_1d."""

FINE_DAYS = 30
"""For how many days cells of 5 minutes have a histogram."""

CELLS, FINE, FINE_CELLS = f"{ATTEMPT}_cells", f"{ATTEMPT}_fine", f"{ATTEMPT}_fine_cells"
"""Their `raw_from` tells since when there are cells of hours, histograms of 5 minutes, cells of 5 minutes."""


@dataclass(frozen=True)
class Tier:
    """How far a tier has come (UTC, naive).

    Raw rows before `sealing_until` may be in cells, so that a row that comes later is noted as dirty; what
    lies before `sealed_until` is in cells, or dirty. Raw rows before `raw_from` are deleted.
    """

    name: str
    sealing_until: datetime | None = None
    sealed_until: datetime | None = None
    raw_from: datetime | None = None


def read(connection: DuckDBPyConnection, name: str) -> Tier:
    """The tier as it stands."""
    rows = connection.execute(
        "SELECT name, sealing_until, sealed_until, raw_from FROM tier WHERE name = ?", [name]
    ).fetchall()
    return Tier(*rows[0]) if rows else Tier(name)


def write(connection: DuckDBPyConnection, tier: Tier) -> None:
    """Replace what stands of the tier."""
    connection.execute("DELETE FROM tier WHERE name = ?", [tier.name])
    connection.execute(
        "INSERT INTO tier VALUES (?, ?, ?, ?)",
        [tier.name, tier.sealing_until, tier.sealed_until, tier.raw_from],
    )


def move(connection: DuckDBPyConnection, name: str, **to: datetime) -> None:
    """Change some of a tier."""
    write(connection, replace(read(connection, name), **to))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Dirty:
    """Hours of series whose cells are to be computed again: `wanted` (series_id, hour), in Unix hours.

    `number` is the newest note among them: what is noted later comes again.
    """

    number: int
    wanted: pa.Table

    @property
    def days(self) -> list[int]:
        """The days they lie in, in Unix days."""
        found: list[int] = pc.unique(pc.divide(self.wanted["hour"], 24)).to_pylist()
        return sorted(found)

    def of_day(self, day: int) -> pa.Table:
        """Those of one day."""
        return self.wanted.filter(pc.equal(pc.divide(self.wanted["hour"], 24), day))


def dirty(connection: DuckDBPyConnection, name: str, until: datetime, since: datetime | None = None) -> Dirty:
    """What is noted of a tier and begins before `until`, and not before `since`."""
    newest = connection.execute("SELECT max(number) FROM dirty WHERE tier = ?", [name]).fetchall()[0][0]
    wanted = connection.sql(
        "SELECT DISTINCT series_id, epoch_ms(hour) // 3600000 AS hour FROM dirty "
        "WHERE tier = $tier AND hour < $until AND hour >= $since ORDER BY 2, 1",
        params={"tier": name, "until": until, "since": since or of_unix(0)},
    ).to_arrow_table()
    return Dirty(newest or 0, wanted)


def has_fine_cells(connection: DuckDBPyConnection, start: datetime) -> bool:
    """Whether cells of 5 minutes are kept of the day that `start` lies in."""
    since = read(connection, FINE_CELLS).raw_from
    return since is None or start >= since


def celled_until(connection: DuckDBPyConnection, name: str, limit: datetime) -> datetime | None:
    """Until when, at most `limit`, raw rows are in cells of hours and days, none of them dirty."""
    days = read(connection, f"{name}_1d").sealed_until
    if days is None:
        return None
    noted = connection.execute("SELECT min(hour) FROM dirty WHERE tier = ?", [name]).fetchall()[0][0]
    return floor(min(limit, days, noted or limit), 3600)


def next_day(connection: DuckDBPyConnection, table: str, start: datetime, until: datetime) -> datetime:
    """The day of the first row from `start` on, where that is before `until`; else `until`."""
    ((first,),) = connection.execute(
        f"SELECT min(ts) FROM {table} WHERE ts >= ? AND ts < ?",  # noqa: S608 - our own tables
        [start, until],
    ).fetchall()
    return until if first is None else max(start, floor(first, 86_400))


def forget(connection: DuckDBPyConnection, name: str, done: Dirty, wanted: pa.Table) -> None:
    """Take hours off the list, as far as they were not noted anew."""
    connection.register("wanted", wanted)
    connection.execute(
        "DELETE FROM dirty WHERE tier = ? AND number <= ? "
        "AND (series_id, epoch_ms(hour) // 3600000) IN (SELECT (series_id, hour) FROM wanted)",
        [name, done.number],
    )


_LATE = {
    ATTEMPT: ("attempts", f"incoming_attempts AS incoming JOIN series {ATTEMPT_SERIES}"),
    SAMPLE: ("samples", f"incoming_samples AS incoming JOIN series {SAMPLE_SERIES}"),
    QUERY_STAT: ("query_stats", STATS_WITH_SHAPES),
}


_KEYS = {QUERY_STAT: SHAPE_OF_STAT}
"""SQL of what the rows of a tier are told apart by, where it is not the series."""


def note_late(connection: DuckDBPyConnection, incoming: Incoming) -> datetime | None:
    """Within the transaction of a batch: note the hours of its rows that cells may hold already.

    The oldest of these rows; None where there are none.
    """
    late = None
    for name, (kind, joined) in _LATE.items():
        if not incoming.rows(kind):
            continue
        sealing = read(connection, name).sealing_until
        oldest: datetime = pc.min(incoming.tables[kind]["at"]).as_py().replace(tzinfo=None)
        if sealing is not None and oldest < sealing:
            late = min(oldest, late or oldest)
            connection.execute(
                f"""
                INSERT INTO dirty (tier, series_id, hour)
                SELECT DISTINCT ?, {_KEYS.get(name, "series_id")},
                    date_trunc('hour', incoming.at::TIMESTAMP)
                FROM {joined} WHERE incoming.at::TIMESTAMP < ?
                """,  # noqa: S608 - constants
                [name, sealing],
            )
    return late


def floor(instant: datetime, width_s: int) -> datetime:
    """The last multiple of the width (Unix time) that is not after the instant."""
    return of_unix(int(instant.replace(tzinfo=UTC).timestamp()) // width_s * width_s)


def following(instant: datetime, width_s: int) -> datetime:
    """The first multiple of the width after the instant."""
    return floor(instant, width_s) + timedelta(seconds=width_s)


def of_unix(seconds: int) -> datetime:
    """The instant so many seconds of Unix time are."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
