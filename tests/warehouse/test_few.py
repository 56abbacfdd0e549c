"""Few attempts that are ranked outside of the database come to the same numbers as in it."""

import random
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from warehouse.cells import CENSORED
from warehouse.questions import few
from warehouse.questions.asking import Brief, Piece
from warehouse.staged import found

RANKED = """
    SELECT bucket, series_id, count(*) AS attempts,
        count(*) FILTER (rank < {censored}) AS n_ok, count(*) FILTER (rank >= {censored}) AS timeouts,
        max(rank) FILTER (rank < {censored}) AS max_us, quantile_disc(rank, [0.50, 0.95, 0.99]) AS ranks
    FROM attempts GROUP BY 1, 2 ORDER BY 1, 2
"""


def attempts_of(chance: random.Random, n: int) -> pa.Table:
    def rank() -> int | None:
        kind = chance.random()
        return None if kind < 0.2 else chance.randrange(1000) + (CENSORED if kind < 0.3 else 0)

    rows = [
        {"bucket": chance.randrange(3), "series_id": chance.randrange(4), "rank": rank()} for _ in range(n)
    ]
    kinds = [("bucket", pa.int64()), ("series_id", pa.int32()), ("rank", pa.uint64())]
    return pa.Table.from_pylist(rows, pa.schema(kinds))


@pytest.mark.parametrize("n", [0, 1, 2, 7, 30, 300, 3000])
def test_ranks_are_those_of_the_database(n: int) -> None:
    for seed in range(20):
        attempts = attempts_of(random.Random(seed), n)  # read by name below
        expected = duckdb.sql(RANKED.format(censored=CENSORED)).to_arrow_table()
        assert few.ranked(attempts).to_pylist() == expected.to_pylist()


def test_many_rows_are_left_to_the_statement_itself() -> None:
    def of(most: int) -> list[dict[str, Any]]:
        brief = Brief(
            f"SELECT unnest(range(10)) AS n LIMIT {most + 1}", most, lambda _: pa.table({"told": ["few"]})
        )
        return found(duckdb.connect(), Piece("raw", "SELECT 'all' AS told", brief=brief)).to_pylist()

    assert of(10) == [{"told": "few"}]
    assert of(9) == [{"told": "all"}]
