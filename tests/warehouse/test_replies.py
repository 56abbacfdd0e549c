"""What the client makes of answers: the frames that Polars itself would, and errors of what is none."""

import random

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from warehouse.export import render
from warehouse.model import now
from warehouse.replies import frame_of

NAMES = ["a", "b", None]


def table(rows: int) -> pa.Table:
    """Every type an answer has, with and without numbers for names."""
    return pa.table(
        {
            "at": pa.array([now()] * rows, pa.timestamp("ms", "UTC")),
            "name": pa.array([NAMES[row % 3] for row in range(rows)], pa.string()),
            "target": pa.array([NAMES[row % 3] for row in range(rows)]).dictionary_encode()
            if rows
            else pa.array([], pa.dictionary(pa.int32(), pa.string())),
            "none": pa.nulls(rows, pa.string()).dictionary_encode(),
            "share": pa.array([row / 3 for row in range(rows)], pa.float64()),
            "status": pa.array([row % 7 for row in range(rows)], pa.uint16()),
            "above": pa.array([row % 2 == 0 for row in range(rows)], pa.bool_()),
            "list": pa.array([[row] for row in range(rows)], pa.list_(pa.int64())),
        }
    )


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_an_answer_is_the_frame_that_it_says_with_names_in_full(rows: int) -> None:
    body = render("question", table(rows), "arrow")
    expected = pl.read_ipc_stream(body).cast({pl.Categorical: pl.String})
    assert_frame_equal(frame_of(body), expected)
    assert frame_of(body).schema["target"] == pl.String


def test_a_damaged_answer_is_refused_or_read_but_crashes_nobody() -> None:
    body, chance = render("question", table(50), "arrow"), random.Random(5)
    refused = 0
    for _ in range(300):
        damaged = bytearray(body)
        damaged[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        try:
            frame_of(bytes(damaged))
        except (pa.ArrowException, OSError, UnicodeDecodeError, pl.exceptions.PolarsError):
            refused += 1
    assert refused
