"""What CSV and Parquet hold: exact types, UTC, and no live formula, read back by others' readers."""

import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.servers.warehouse import running_warehouse
from tests.warehouse.records import attempt
from warehouse.client import pack
from warehouse.export import render
from warehouse.model import Batch, Outcome

AT = datetime(2026, 11, 23, 12, 0, 0, 7000, tzinfo=UTC)
SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
"""What starts a formula, plain, full-width and small."""

HOSTILE = "=cmd|' /C calc'!A0"

cells = st.one_of(
    st.text(max_size=20),
    st.builds(
        "".join,
        st.tuples(
            st.text(" \t\r\n\v\f\x00\u00a0\u3000\u200b\ufeff\x1c", max_size=3),
            st.sampled_from([*SIGNS, "x", "'", ""]),
            st.text("=+-@1A!\n\r,;\"' ", max_size=8),
        ),
    ),
)


@settings(deadline=None)  # the machine is shared
@given(st.lists(st.one_of(st.none(), cells), min_size=1, max_size=8))
@example(["a\n=1+1", "\n=1", "\u3000\uff20SUM", "x;=1", 'say "=1"', "", None])
def test_any_text_comes_back_and_none_is_live(texts: list[str | None]) -> None:
    """Every cell is the text but for apostrophes; a cell of many lines stays one cell."""
    table = pa.table({"text": pa.array(texts, pa.string()), "n": pa.array(range(len(texts)), pa.int64())})
    rows = list(csv.reader(io.StringIO(render("q", table, "csv").decode(), newline=""), strict=True))
    assert rows[0] == ["text", "n"]
    assert [row[1] for row in rows[1:]] == [str(number) for number in range(len(texts))]
    for (cell, _), text in zip(rows[1:], texts, strict=True):
        assert cell.replace("'", "") == (text or "").replace("'", "")
        assert not re.match(rf"\A([\t\r]|\s*[={re.escape(SIGNS)}])", cell)
    parquet = pl.read_parquet(render("q", table, "parquet"))
    assert parquet["text"].to_list() == texts


def test_numbers_and_instants_are_never_touched() -> None:
    """A negative number is no formula."""
    table = pa.table(
        {
            "at": pa.array([AT, None], pa.timestamp("ms", "UTC")),
            "n": pa.array([-5, 2**53 + 1], pa.int64()),
            "ratio": pa.array([-0.1, None], pa.float64()),
            "above": pa.array([True, False]),
        }
    )
    assert render("q", table, "csv").decode().splitlines() == [
        '"at","n","ratio","above"',
        '"2026-11-23T12:00:00.007Z",-5,-0.1,true',
        ",9007199254740993,,false",
    ]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three attempts as files: an ok one, a timeout without a status, a hostile name."""
    folder = tmp_path_factory.mktemp("formats")
    attempts = (
        attempt(AT, ms=12.345, status=200, bytes=0),
        attempt(AT.replace(microsecond=8000), ms=None),
        attempt(
            AT.replace(microsecond=9000), endpoint=HOSTILE, outcome=Outcome.BAD_STATUS, status=500, ms=4.0
        ),
    )
    batch = Batch(batch_id="formats-of-exports", attempts=attempts)
    with running_warehouse(folder) as process, process.client("collect") as client:
        client.send(batch.batch_id, pack(batch))
        window = {"start": AT.replace(microsecond=0), "end": AT.replace(second=1)}
        files = {form: folder / f"attempts.{form}" for form in ("csv", "parquet", "arrow")}
        with process.client("cli") as reader:
            for form, file in files.items():
                reader.export("attempts", form, file, **window)
    return files


def test_parquet_is_the_same_to_polars_duckdb_and_pandas(exported: dict[str, Path]) -> None:
    truth = pl.read_ipc_stream(exported["arrow"])
    assert truth["at"].dtype == pl.Datetime("ms", "UTC")
    assert truth["outcome"].dtype == truth["endpoint"].dtype == pl.String
    assert truth["total_us"].dtype == pl.UInt32
    assert truth["at"].to_list()[0] == AT
    assert truth["status"].to_list() == [200, None, 500]
    assert truth["total_us"].to_list() == [12345, None, 4000]
    assert HOSTILE in truth["endpoint"].to_list()

    assert pl.read_parquet(exported["parquet"]).equals(truth)
    frame = pd.read_parquet(exported["parquet"], dtype_backend="pyarrow")
    assert pl.from_arrow(pa.Table.from_pandas(frame)).equals(truth)
    assert str(frame["at"].dtype) == "timestamp[ms, tz=UTC][pyarrow]"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.sql(f'SELECT epoch_ms("at") AS ms, * EXCLUDE ("at") FROM \'{exported["parquet"]}\'')
        kinds = dict(zip(rows.columns, map(str, rows.types), strict=True))
        assert kinds["total_us"] == "UINTEGER"
        assert kinds["outcome"] == "VARCHAR"
        ours = truth.select(pl.col("at").dt.epoch("ms").alias("ms"), pl.exclude("at"))
        assert rows.fetchall() == ours.rows()


def test_csv_holds_the_same_rows_in_utc(exported: dict[str, Path]) -> None:
    truth = pl.read_ipc_stream(exported["arrow"])
    with exported["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["at"] for row in rows] == [f"2026-11-23T12:00:00.00{digit}Z" for digit in "789"]
    assert [row["total_us"] for row in rows] == ["12345", "", "4000"]
    assert [row["endpoint"] for row in rows] == ["GET /", "GET /", f"'{HOSTILE}"]
    assert list(rows[0]) == truth.columns
