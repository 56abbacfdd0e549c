"""Closed days of attempts as Parquet files beside the warehouse: written, proved, asked, forgotten.

A day goes cold once its cells are sealed and nothing of it is to be computed again. Its rows are deleted in
the transaction that notes its file in `cold_day`. What comes later for such a day is folded into its cells
and kept in `attempt_late`. docs/cold.md describes the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet

from warehouse import baseline_rows, store, tiers
from warehouse.backup import tables_of
from warehouse.cells import DAY
from warehouse.errors import StorageError
from warehouse.lock import make_private
from warehouse.placing import DAYS
from warehouse.restore import sync
from warehouse.rowhash import row_hash
from warehouse.tiers import ATTEMPT
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOLDER = Path("cold") / "attempt"
NAME = "attempts.parquet"
ROWS_PER_GROUP = 122_880
OF_DAY = "ts >= $start AND ts < $end"


@dataclass(frozen=True)
class ColdDay:
    """A day that was written to `file`, below the data directory."""

    day: date
    file: str
    rows: int
    row_hash: str
    bytes: int


def span_of(day: date) -> dict[str, datetime]:
    """From its midnight to the next one (UTC, naive), to bind."""
    start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - as the warehouse keeps instants
    return {"start": start, "end": start + timedelta(seconds=DAY)}


def due(connection: DuckDBPyConnection, before: date) -> date | None:
    """The oldest day with attempts, if it lies before `before`, is sealed, and has nothing to be renewed."""
    oldest = connection.execute("SELECT min(ts) FROM attempt").fetchall()[0][0]
    if oldest is None or oldest.date() >= before:
        return None
    day: date = oldest.date()
    return day if _is_closed(connection, day) else None


def _is_closed(connection: DuckDBPyConnection, day: date) -> bool:
    end = span_of(day)["end"]
    sealed = tiers.read(connection, DAYS).sealed_until
    ((dirty,),) = connection.execute(
        "SELECT count(*) FROM dirty WHERE tier = ? AND hour < ?", [ATTEMPT, end]
    ).fetchall()
    return sealed is not None and sealed >= end and not dirty


def write(connection: DuckDBPyConnection, data_dir: Path, day: date) -> ColdDay:
    """Write a day's attempts to its file and prove it, on a connection that sees the rows of one moment.

    Raises StorageError where the file does not hold exactly these rows, or cannot be written.
    """
    folder = data_dir / FOLDER / f"day={day:%Y-%m-%d}"
    columns = tables_of(connection)["attempt"]
    values = span_of(day)
    ((rows, total),) = connection.execute(
        f"SELECT count(*), {row_hash(columns)} FROM attempt WHERE {OF_DAY}", values
    ).fetchall()
    names = ", ".join(f"attempt.{name}" for name in columns)
    blocks = connection.sql(
        f"SELECT {names}, target, object AS endpoint FROM attempt JOIN series USING (series_id) "
        f"WHERE {OF_DAY} ORDER BY series_id, ts",
        params=values,
    ).to_arrow_reader(ROWS_PER_GROUP)
    draft = folder / f"{NAME}.draft"
    try:
        for each in (data_dir / FOLDER.parent, data_dir / FOLDER, folder):
            make_private(each)
        _write_parquet(draft, blocks)
        if _proof(draft, columns) != (rows, total):
            raise StorageError(f"{draft} does not hold what was written", "Look at the disk.")
        sync(draft)
        file = draft.rename(folder / NAME)
        sync(folder)
    except (OSError, pa.ArrowException) as error:
        draft.unlink(missing_ok=True)
        raise StorageError(f"{draft}: {error}", "Look at free space; nothing was deleted.") from error
    return ColdDay(day, str(file.relative_to(data_dir)), rows, str(total), file.stat().st_size)


def _write_parquet(file: Path, blocks: pa.RecordBatchReader) -> None:
    schema = pa.schema([field.with_type(_outward(field.type)) for field in blocks.schema])
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for block in blocks:
            writer.write_table(pa.Table.from_batches([block]).cast(schema), ROWS_PER_GROUP)


def _outward(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ms", "UTC")
    return pa.string() if pa.types.is_dictionary(kind) else kind


def _proof(file: Path, columns: Mapping[str, str]) -> tuple[int, int]:
    """Rows of a file and the hash over them, as the warehouse would have them."""
    connection = store.in_memory()
    try:
        _register(connection, [file])
        plain = {name: "VARCHAR" if kind.startswith("ENUM") else kind for name, kind in columns.items()}
        found = connection.execute(
            f"SELECT count(*), {row_hash(plain)} FROM (SELECT {_inward(plain)} FROM cold_attempt)"
        ).fetchall()[0]
    finally:
        connection.close()
    return int(found[0]), int(found[1])


def settle(connection: DuckDBPyConnection, cold: ColdDay, at: datetime) -> bool:
    """Delete the day's rows and note its file, in one transaction; False where the day changed meanwhile."""
    values = span_of(cold.day)
    with transaction(connection):
        ((rows,),) = connection.execute(f"SELECT count(*) FROM attempt WHERE {OF_DAY}", values).fetchall()
        if rows != cold.rows or not _is_closed(connection, cold.day):
            return False
        baseline_rows.keep(connection, OF_DAY, values)
        connection.execute(f"DELETE FROM attempt WHERE {OF_DAY}", values)
        connection.execute(
            "INSERT INTO cold_day VALUES (?, ?, ?, ?, ?, ?)",
            [cold.day, cold.file, cold.rows, cold.row_hash, cold.bytes, at],
        )
        raw_from = tiers.read(connection, ATTEMPT).raw_from
        tiers.move(connection, ATTEMPT, raw_from=max(raw_from or values["end"], values["end"]))
    return True


def forget(connection: DuckDBPyConnection, before: date) -> list[str]:
    """Take the days before `before` off the list; their files, which the caller deletes."""
    with transaction(connection):
        rows = connection.execute("DELETE FROM cold_day WHERE day < ? RETURNING file", [before]).fetchall()
        connection.execute("DELETE FROM attempt_late WHERE ts < ?", [before])
    return [file for (file,) in rows]


def flaw(data_dir: Path, noted: ColdDay, columns: Mapping[str, str]) -> str:
    """What is wrong with a cold day's file, in words: every row is read and hashed. Empty: nothing is."""
    file = data_dir / noted.file
    try:
        rows, total = _proof(file, columns)
    except (StorageError, duckdb.Error, pa.ArrowException, OSError) as error:
        return str(error).splitlines()[0]
    if rows != noted.rows:
        return f"holds {rows:,} rows of the {noted.rows:,} that were written"
    return "" if str(total) == noted.row_hash else "its rows are not those that were written"


def noted(connection: DuckDBPyConnection) -> list[ColdDay]:
    """The days that went cold, the oldest first."""
    rows = connection.execute("SELECT day, file, rows, row_hash, bytes FROM cold_day ORDER BY day").fetchall()
    return [ColdDay(*row) for row in rows]


def with_cold(connection: DuckDBPyConnection, data_dir: Path, sql: str, values: Mapping[str, object]) -> str:
    """The statement over a window, with `attempt` standing for the rows of cold days too.

    Only files of days in the window are opened. Raises StorageError naming a file that is gone.
    """
    days = connection.execute(
        "SELECT file FROM cold_day WHERE day BETWEEN ?::TIMESTAMP::DATE AND ?::TIMESTAMP::DATE ORDER BY day",
        [values["start"], values["end"]],
    ).fetchall()
    if not days:
        return sql
    _register(connection, [data_dir / file for (file,) in days])
    columns = tables_of(connection)["attempt"]
    return (
        "WITH attempt AS (FROM main.attempt UNION ALL FROM attempt_late "
        f"UNION ALL SELECT {_inward(columns)} FROM cold_attempt) FROM ({sql})"
    )


def _register(connection: DuckDBPyConnection, files: list[Path]) -> None:
    """The files' rows as the view `cold_attempt`: through Arrow, since the connection opens no file."""
    from pyarrow import dataset  # noqa: PLC0415 - slow to load, and most warehouses have no cold days

    gone = next((file for file in files if not file.is_file()), None)
    if gone is not None:
        raise StorageError(f"{gone} is gone", "Put it back: docs/cold.md says what belongs to a backup.")
    try:
        connection.register("cold_attempt", dataset.dataset([str(file) for file in files], format="parquet"))
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"a cold day cannot be read: {error}", "Put the file back from a backup."
        ) from error
    except duckdb.Error as error:
        raise StorageError(str(error)) from error


def _inward(columns: Mapping[str, str]) -> str:
    """SQL of a file's columns as those of `attempt`."""
    special = {"ts": "make_timestamp_ms(epoch_ms(ts))::TIMESTAMP_MS AS ts"}
    return ", ".join(special.get(name, f"{name}::{kind} AS {name}") for name, kind in columns.items())
